// Package snat plans the way out: a guest network leaves with its router's
// public address.
package snat

import (
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// DisabledTag turns the service off on one router.
const DisabledTag = "disabledService::SNAT"

// Service implements plan.Service.
type Service struct{}

// Name is snat.
func (Service) Name() string { return "snat" }

// Offer is SNAT by the virtual router.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{Name: v1.SNAT, Provider: v1.ProviderVirtualRouter}
}

// Contribute adds one rule: guest CIDR to the router's public address.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, _ plan.Nics, c *agentv1.Content) error {
	guest, hasGuest := r.NicWithRole(string(agentv1.RoleGuest))
	public, hasPublic := r.NicWithRole(string(agentv1.RolePublic))
	if !hasGuest || !hasPublic || guest.MAC == public.MAC || !plan.Serves(v, r, v1.SNAT) || slices.Contains(r.SystemTags, DisabledTag) {
		return nil
	}
	c.SNAT = append(c.SNAT, agentv1.SNAT{Source: guest.Prefix.Masked(), Interface: public.MAC, Address: public.IP})
	return nil
}
