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
	// Contribute adds what the service wants of router r for these nics. What it
	// wants for one depends on no others, but those of the same VM as v has them:
	// Concerned names them together.
	Contribute(v *model.View, r *v1.VirtualRouter, nics Nics, c *agentv1.Content) error
}

// Nics are those of a router's guest network, or some of them.
type Nics = iter.Seq[*v1.VMNic]

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
	return part(v, r, nicsOf(v, r), services)
}

func nicsOf(v *model.View, r *v1.VirtualRouter) Nics {
	return model.Related[v1.VMNic](v, model.NicsOfL3, r.L3NetworkUUID)
}

// part is the content as it would be with these nics only.
func part(v *model.View, r *v1.VirtualRouter, nics Nics, services []Service) (agentv1.Content, error) {
	c := agentv1.Content{Hostname: Hostname(r), Interfaces: Interfaces(v, r)}
	for _, s := range services {
		if err := s.Contribute(v, r, nics, &c); err != nil {
			return agentv1.Content{}, fmt.Errorf("plan %s of router %s: %w", s.Name(), r.UUID, err)
		}
	}
	c.Sort()
	return c, nil
}

// Difference is the change from the content that one view wants of a router to
// that of another, at the cost of the nics, each named once, that concerned it in
// between; ok is false where that cannot be said by them.
func Difference(was, is *model.View, router string, nics []string, services []Service) (ch agentv1.Change, ok bool) {
	before, ok := partOf(was, router, nics, services)
	after, also := partOf(is, router, nics, services)
	if !ok || !also {
		return agentv1.Change{}, false
	}
	return before.Difference(after)
}

// partOf is the part of a content that is about these nics.
func partOf(v *model.View, router string, nics []string, services []Service) (agentv1.Content, bool) {
	r := model.Get[v1.VirtualRouter](v, router)
	if r == nil {
		return agentv1.Content{}, false
	}
	c, err := part(v, r, func(yield func(*v1.VMNic) bool) {
		for _, uuid := range nics {
			if nic := model.Get[v1.VMNic](v, uuid); nic != nil && nic.L3NetworkUUID == r.L3NetworkUUID && !yield(nic) {
				return
			}
		}
	}, services)
	return c, err == nil
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

// Guests yields those of nics whose VMs run.
func Guests(v *model.View, nics Nics) iter.Seq[Guest] {
	return func(yield func(Guest) bool) {
		for nic := range nics {
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
