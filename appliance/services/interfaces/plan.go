// Package interfaces plans the router's own nics: up, with MTU, addresses and
// routes, and the agent's port open on the management side. It is
// pure; the data plane carries it out.
package interfaces

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Service is the interfaces service. Zero is ready.
type Service struct{}

// New is the service.
func New() Service { return Service{} }

// Name is the service's name in specs, status and logs.
func (Service) Name() string { return "interfaces" }

// Names are the names that the spec gives to nics, by MAC, for
// dataplane.Plane.Rename; in a namespace nics keep theirs.
func Names(c agentv1.Content) map[string]string {
	names := make(map[string]string, len(c.Interfaces))
	for _, i := range c.Interfaces {
		names[i.MAC] = i.Name
	}
	return names
}

// Want is what the spec's nics need. A wrong value is a
// *dataplane.FieldError; a nic that is not there is Missing, no error.
func (s Service) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	if err := validate(c); err != nil {
		return dataplane.Want{}, err
	}
	w := dataplane.Want{}
	first := firstGateway(c)
	for at, i := range c.Interfaces {
		link, ok := links[i.MAC]
		if !ok {
			w.Missing = append(w.Missing, dataplane.Missing{MAC: i.MAC, Owner: s.Name()})
			continue
		}
		s.nic(&w, i, link, at == first)
	}
	return w, nil
}

// firstGateway is which interface has the default route; -1: none.
func firstGateway(c agentv1.Content) int {
	return slices.IndexFunc(c.Interfaces, func(i agentv1.Interface) bool { return i.Gateway.IsValid() })
}

// leadsOut is whether guests may leave by an interface.
func leadsOut(i agentv1.Interface) bool {
	return i.HasRole(agentv1.RolePublic) && !i.HasRole(agentv1.RoleGuest)
}

func (s Service) nic(w *dataplane.Want, i agentv1.Interface, link string, first bool) {
	n := dataplane.Nic{
		Link: link, MTU: i.MTU, Owner: s.Name(),
		Management: i.HasRole(agentv1.RoleManagement), Public: i.HasRole(agentv1.RolePublic), Guest: i.HasRole(agentv1.RoleGuest),
	}
	if first {
		n.Gateway = i.Gateway
	}
	if leadsOut(i) {
		n.NextHop = i.Gateway
	}
	for _, r := range i.Routes {
		n.Routes = append(n.Routes, dataplane.GatewayRoute{Prefix: r.Prefix, Gateway: r.NextHop})
	}
	for _, p := range i.Addresses {
		w.Addresses = append(w.Addresses, dataplane.Address{Link: link, Prefix: p, Owner: s.Name()})
		if n.Guest {
			n.Subnets = append(n.Subnets, p.Masked())
		}
	}
	w.Nics = append(w.Nics, n)
	if n.Management {
		w.Inputs = append(w.Inputs, dataplane.Input{Link: link, Protocol: "tcp", Port: agentv1.AgentPort, Owner: "agent"})
	}
}

var (
	nameForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$`) // IFNAMSIZ is 16 with its zero
	macForm  = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)
)

// seen is what the interfaces so far have.
type seen struct {
	names, macs map[string]bool
	addrs       map[netip.Addr]bool
	// gateway is one that has a gateway.
	gateway *agentv1.Interface
	// subnets, with whether they are a guest's.
	subnets []subnet
}

type subnet struct {
	prefix netip.Prefix
	guest  bool
	nic    string
}

func validate(c agentv1.Content) error {
	s := seen{names: map[string]bool{}, macs: map[string]bool{}, addrs: map[netip.Addr]bool{}}
	for i, n := range c.Interfaces {
		at := fmt.Sprintf("/content/interfaces/%d", i)
		if err := errors.Join(s.identity(at, n), s.addresses(at, n), s.route(at, n)); err != nil {
			return err
		}
	}
	return s.routes(c)
}

func (s *seen) identity(at string, n agentv1.Interface) error {
	switch {
	case !nameForm.MatchString(n.Name) || n.Name == "lo" || n.Name == "all" || n.Name == "default":
		return dataplane.Fieldf(at+"/name", "%q is no name for an interface", n.Name)
	case s.names[n.Name]:
		return dataplane.Fieldf(at+"/name", "%q is used twice", n.Name)
	case !macForm.MatchString(n.MAC):
		return dataplane.Fieldf(at+"/mac", "%q is no MAC in lower case with colons", n.MAC)
	case s.macs[n.MAC]:
		return dataplane.Fieldf(at+"/mac", "%q is used twice", n.MAC)
	case n.MTU < 576 || n.MTU > 9216:
		return dataplane.Fieldf(at+"/mtu", "%d is not between 576 and 9216", n.MTU)
	case len(n.Roles) == 0:
		return dataplane.Fieldf(at+"/roles", "no role")
	}
	for i, r := range n.Roles {
		if r != agentv1.RoleManagement && r != agentv1.RolePublic && r != agentv1.RoleGuest {
			return dataplane.Fieldf(fmt.Sprintf("%s/roles/%d", at, i), "%q is no role", r)
		}
	}
	s.names[n.Name], s.macs[n.MAC] = true, true
	return nil
}

func (s *seen) addresses(at string, n agentv1.Interface) error {
	for i, p := range n.Addresses {
		at := fmt.Sprintf("%s/addresses/%d", at, i)
		a := p.Addr()
		if !p.IsValid() || !a.Is4() || p.Bits() == 0 || a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() {
			return dataplane.Fieldf(at, "%v is no IPv4 address with the length of its subnet", p)
		}
		if s.addrs[a] {
			return dataplane.Fieldf(at, "%s is used twice", a)
		}
		s.addrs[a] = true
		if err := s.overlap(at, n, p.Masked()); err != nil {
			return err
		}
	}
	return nil
}

// overlap refuses a guest network that overlaps another network of the router:
// which side an address is on would be a guess.
func (s *seen) overlap(at string, n agentv1.Interface, p netip.Prefix) error {
	guest := n.HasRole(agentv1.RoleGuest)
	for _, x := range s.subnets {
		if x.nic != n.Name && (x.guest || guest) && x.prefix.Overlaps(p) {
			return dataplane.Fieldf(at, "subnet %s overlaps %s of %s", p, x.prefix, x.nic)
		}
	}
	s.subnets = append(s.subnets, subnet{p, guest, n.Name})
	return nil
}

func (s *seen) route(at string, n agentv1.Interface) error {
	if !n.Gateway.IsValid() {
		return nil
	}
	if s.gateway != nil && !(leadsOut(*s.gateway) && leadsOut(n)) {
		return dataplane.Fieldf(at+"/gateway", "%s has one too, and not both are public alone", s.gateway.Name)
	}
	s.gateway = &n
	if neighbour(n, n.Gateway) {
		return nil
	}
	return dataplane.Fieldf(at+"/gateway", "%s is not in a subnet of the interface, or its own address", n.Gateway)
}

// neighbour is whether an address is another host's of a subnet of the nic.
func neighbour(n agentv1.Interface, a netip.Addr) bool {
	return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Contains(a) && p.Addr() != a })
}

// routes are those of management nics. One to a part of a network that the router
// is on would take that away from it.
func (s *seen) routes(c agentv1.Content) error {
	prefixes := map[netip.Prefix]bool{}
	for i, n := range c.Interfaces {
		for j, r := range n.Routes {
			at := fmt.Sprintf("/content/interfaces/%d/routes/%d", i, j)
			p := r.Prefix
			switch on := s.on(p); {
			case !n.HasRole(agentv1.RoleManagement):
				return dataplane.Fieldf(at, "only nics with the role management have routes")
			case !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() == 0:
				return dataplane.Fieldf(at+"/prefix", "%v is no IPv4 prefix, or the default route", p)
			case prefixes[p]:
				return dataplane.Fieldf(at+"/prefix", "%s is routed twice", p)
			case on.nic != "":
				return dataplane.Fieldf(at+"/prefix", "%s is within %s of %s", p, on.prefix, on.nic)
			case !neighbour(n, r.NextHop):
				return dataplane.Fieldf(at+"/nextHop", "%s is not in a subnet of the interface, or its own address", r.NextHop)
			}
			prefixes[p] = true
		}
	}
	return nil
}

// on is a subnet of the router's that a prefix is within, or none. A wider one
// takes nothing away: the longest prefix wins.
func (s *seen) on(p netip.Prefix) subnet {
	for _, x := range s.subnets {
		if p.IsValid() && p.Bits() >= x.prefix.Bits() && x.prefix.Contains(p.Addr()) {
			return x
		}
	}
	return subnet{}
}
