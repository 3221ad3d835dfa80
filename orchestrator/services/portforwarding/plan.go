// Package portforwarding plans forwarded ports: ports of a VIP mapped to ports
// of a running guest.
package portforwarding

import (
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// Service implements plan.Service.
type Service struct{}

// Name is port-forwarding.
func (Service) Name() string { return "port-forwarding" }

// Offer is PortForwarding by the virtual router.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{
		Name: v1.PortForwarding, Provider: v1.ProviderVirtualRouter, Needs: []string{v1.SNAT},
		Users: model.ForwardingsOn, Free: model.DeletePortForwardingRule,
	}
}

// Contribute adds the enabled rules attached to running guests.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, nics plan.Nics, c *agentv1.Content) error {
	guest, hasGuest := r.NicWithRole(string(agentv1.RoleGuest))
	public, hasPublic := r.NicWithRole(string(agentv1.RolePublic))
	if !hasGuest || !hasPublic || !plan.Serves(v, r, v1.PortForwarding) {
		return nil
	}
	for nic := range nics {
		for rule := range model.Related[v1.PortForwardingRule](v, model.ForwardingsOfNic, nic.UUID) {
			vip := model.Get[v1.VIP](v, rule.VIPUUID)
			if rule.State != v1.Enabled || vip == nil || vip.State != v1.Enabled || model.Withheld(vip) || vip.L3NetworkUUID != public.L3NetworkUUID || !plan.Runs(v, nic) {
				continue
			}
			c.PortForwardings = append(c.PortForwardings, agentv1.PortForwarding{
				UUID: rule.UUID, Interface: public.MAC, VIP: vip.IP, VIPIsRouter: vip.IP == public.IP,
				Protocol:     strings.ToLower(rule.Protocol),
				VIPPortStart: uint16(rule.VIPPortStart), VIPPortEnd: uint16(rule.VIPPortEnd), PrivatePortStart: uint16(rule.PrivatePortStart),
				GuestInterface: guest.MAC, GuestIP: nic.IP, AllowedCIDR: rule.AllowedCIDR,
			})
		}
	}
	return nil
}
