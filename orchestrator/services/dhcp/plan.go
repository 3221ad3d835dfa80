// Package dhcp plans the DHCP service of a router: one fixed binding for each
// running guest's nic.
package dhcp

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// LeaseSeconds is a day: bindings are fixed, so a lease only bounds how long a
// guest keeps an address that was taken from it while it slept.
const LeaseSeconds = 86400

// Service implements plan.Service.
type Service struct{}

// Name is dhcp.
func (Service) Name() string { return "dhcp" }

// Offer is DHCP by the virtual router.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{Name: v1.DHCP, Provider: v1.ProviderVirtualRouter}
}

// Contribute adds the guest network with a binding for each running guest.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, nics plan.Nics, c *agentv1.Content) error {
	nic, ok := r.NicWithRole(string(agentv1.RoleGuest))
	if !ok || !plan.Serves(v, r, v1.DHCP) {
		return nil
	}
	l3 := model.Get[v1.L3Network](v, r.L3NetworkUUID)
	n := agentv1.DHCPNetwork{
		Interface: nic.MAC, ServerID: nic.IP, Subnet: nic.Prefix.Masked(), Router: nic.Gateway,
		DNS: nameServers(v, r, l3, nic), Domain: l3.DNSDomain, MTU: max(l3.MTU, 576), LeaseSeconds: LeaseSeconds,
		Relays: l3.DHCPRelays,
	}
	for _, hr := range l3.HostRoutes {
		n.Routes = append(n.Routes, agentv1.Route{Prefix: hr.Prefix, NextHop: hr.NextHop})
	}
	for g := range plan.Guests(v, nics) {
		b, err := binding(g)
		if err != nil {
			return err
		}
		n.Bindings = append(n.Bindings, b)
	}
	c.DHCP = append(c.DHCP, n)
	return nil
}

// nameServers: the router itself where it serves DNS (it forwards to the L3's
// servers), else the L3's servers.
func nameServers(v *model.View, r *v1.VirtualRouter, l3 *v1.L3Network, nic v1.RouterNic) []netip.Addr {
	if plan.Serves(v, r, v1.DNS) {
		return []netip.Addr{nic.IP}
	}
	return l3.DNS
}

func binding(g plan.Guest) (agentv1.DHCPBinding, error) {
	b := agentv1.DHCPBinding{MAC: g.Nic.MAC, IP: g.Nic.IP, Hostname: g.VM.Hostname, IsDefault: g.Nic.IsDefault}
	for _, r := range g.Nic.StaticRoutes {
		b.Routes = append(b.Routes, agentv1.Route{Prefix: r.Prefix, NextHop: r.NextHop})
	}
	for number, value := range g.Nic.DHCPOptions {
		code, err := strconv.ParseUint(number, 10, 8)
		if err != nil {
			return b, fmt.Errorf("DHCP option %q of nic %s: not a number from 1 to 254", number, g.Nic.UUID)
		}
		if b.Options == nil {
			b.Options = map[uint8]string{}
		}
		b.Options[uint8(code)] = value
	}
	return b, nil
}
