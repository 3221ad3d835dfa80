// Package eip plans elastic IPs: 1:1 mappings of a VIP to a running guest.
package eip

import (
	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// Service implements plan.Service.
type Service struct{}

// Name is eip.
func (Service) Name() string { return "eip" }

// Offer is EIP by the virtual router.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{
		Name: v1.EIPService, Provider: v1.ProviderVirtualRouter, Needs: []string{v1.SNAT},
		Users: model.EIPsOn, Free: model.DeleteEIP,
	}
}

// Contribute adds the enabled EIPs attached to running guests: outbound traffic
// uses the oldest of a guest.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, nics plan.Nics, c *agentv1.Content) error {
	guest, hasGuest := r.NicWithRole(string(agentv1.RoleGuest))
	public, hasPublic := r.NicWithRole(string(agentv1.RolePublic))
	if !hasGuest || !hasPublic || !plan.Serves(v, r, v1.EIPService) {
		return nil
	}
	for nic := range nics {
		for e := range model.Related[v1.EIP](v, model.EIPsOfNic, nic.UUID) {
			vip := model.Get[v1.VIP](v, e.VIPUUID)
			if e.State != v1.Enabled || vip == nil || vip.State != v1.Enabled || model.Withheld(vip) || vip.L3NetworkUUID != public.L3NetworkUUID || !plan.Runs(v, nic) {
				continue
			}
			c.EIPs = append(c.EIPs, agentv1.EIP{
				UUID: e.UUID, Interface: public.MAC, VIP: vip.IP,
				GuestInterface: guest.MAC, GuestIP: nic.IP, Order: e.CreateDate.UnixMilli(),
			})
		}
	}
	return nil
}
