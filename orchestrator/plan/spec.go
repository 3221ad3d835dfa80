// Package plan decides, purely, what a router has to be: its domain, its
// config drive, its spec, and which step comes next to get there. A view and
// an observation go in, values come out; there is no clock, no random number
// and no effect here.
package plan

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Service is one network service: it adds its part to a router's content. It
// is pure.
type Service interface {
	// Name is the service's name, such as dhcp.
	Name() string
	// Offer is what an L3 network attaches for it, and whose it is.
	Offer() model.ServiceType
	// Contribute adds what the service wants of router r.
	Contribute(v *model.View, r *v1.VirtualRouter, c *agentv1.Content) error
}

// Offers are what services offer, in their order.
func Offers(services []Service) []model.ServiceType {
	all := make([]model.ServiceType, len(services))
	for i, s := range services {
		all[i] = s.Offer()
	}
	return all
}

// Content is what the router has to do, by everything the view knows. Equal
// views give equal bytes: every list is sorted.
func Content(v *model.View, r *v1.VirtualRouter, services []Service) (agentv1.Content, error) {
	c := agentv1.Content{Hostname: Hostname(r), Interfaces: Interfaces(v, r)}
	for _, s := range services {
		if err := s.Contribute(v, r, &c); err != nil {
			return agentv1.Content{}, fmt.Errorf("plan %s of router %s: %w", s.Name(), r.UUID, err)
		}
	}
	return c, nil
}

// Hostname of the router itself.
func Hostname(r *v1.VirtualRouter) string { return "router-" + short(r.UUID) }

// short is the random tail of a UUIDv7; its head is the time, alike for
// everything made together.
func short(uuid string) string { return uuid[len(uuid)-8:] }

// Interfaces are the router's own nics. One default route: by the public nic,
// or by management where both are one network.
func Interfaces(v *model.View, r *v1.VirtualRouter) []agentv1.Interface {
	out := make([]agentv1.Interface, 0, len(r.Nics))
	for _, n := range r.Nics {
		i := agentv1.Interface{
			Name: n.Name, MAC: n.MAC, L3NetworkUUID: n.L3NetworkUUID, MTU: mtu(v, n.L3NetworkUUID),
			Addresses: []netip.Prefix{netip.PrefixFrom(n.IP, n.Prefix.Bits())},
		}
		for _, role := range n.Roles {
			i.Roles = append(i.Roles, agentv1.Role(role))
		}
		if n.HasRole(string(agentv1.RolePublic)) && n.Gateway != n.IP {
			i.Gateway = n.Gateway
		}
		if n.HasRole(string(agentv1.RoleManagement)) {
			i.Routes = managementRoutes(v, n.L3NetworkUUID)
		}
		out = append(out, i)
	}
	return out
}

// managementRoutes are the host routes of a System network: they lead to
// orchestrators that are not on it. On other networks they are for its guests.
func managementRoutes(v *model.View, l3 string) (routes []agentv1.Route) {
	if n := model.Get[v1.L3Network](v, l3); n != nil && n.Category == v1.System {
		for _, r := range n.HostRoutes {
			routes = append(routes, agentv1.Route{Prefix: r.Prefix, NextHop: r.NextHop})
		}
	}
	return routes
}

func mtu(v *model.View, l3 string) int {
	if n := model.Get[v1.L3Network](v, l3); n != nil && n.MTU != 0 {
		return n.MTU
	}
	return 1500
}

// Guest is a running guest's nic on a router's guest network.
type Guest struct {
	Nic *v1.VMNic
	VM  *v1.VMInstance
}

// Guests yields the nics of running VMs on the router's guest network.
func Guests(v *model.View, r *v1.VirtualRouter) iter.Seq[Guest] {
	return func(yield func(Guest) bool) {
		for nic := range model.Related[v1.VMNic](v, model.NicsOfL3, r.L3NetworkUUID) {
			if vm := running(v, nic); vm != nil && !yield(Guest{nic, vm}) {
				return
			}
		}
	}
}

// Runs reports whether the VM of a nic runs.
func Runs(v *model.View, nic *v1.VMNic) bool { return running(v, nic) != nil }

func running(v *model.View, nic *v1.VMNic) *v1.VMInstance {
	if vm := model.Get[v1.VMInstance](v, nic.VMInstanceUUID); vm != nil && vm.State == v1.StateRunning {
		return vm
	}
	return nil
}

// Serves reports whether the VirtualRouter provider gives the service on the
// router's guest network.
func Serves(v *model.View, r *v1.VirtualRouter, service string) bool {
	l3 := model.Get[v1.L3Network](v, r.L3NetworkUUID)
	return l3 != nil && l3.Provider(service) == v1.ProviderVirtualRouter
}
