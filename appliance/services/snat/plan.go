// Package snat plans general source NAT: a guest network leaves by one public
// address. It is pure; the data plane carries it out.
package snat

import (
	"fmt"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Service is the SNAT service. Zero is ready.
type Service struct{}

// New is the service.
func New() Service { return Service{} }

// Name is the service's name in specs, status and logs.
func (Service) Name() string { return "snat" }

// Want is what the spec's SNAT needs. A wrong value is a
// *dataplane.FieldError; what needs a nic that is not there is left out.
func (s Service) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	w := dataplane.Want{}
	seen := map[netip.Prefix]bool{}
	for i, x := range c.SNAT {
		at := fmt.Sprintf("/content/snat/%d", i)
		if err := validate(c, at, x); err != nil {
			return dataplane.Want{}, err
		}
		if seen[x.Source.Masked()] {
			return dataplane.Want{}, dataplane.Fieldf(at+"/source", "%s has SNAT already", x.Source)
		}
		seen[x.Source.Masked()] = true
		if link, ok := links[x.Interface]; ok {
			w.SNAT = append(w.SNAT, dataplane.SNAT{Source: x.Source.Masked(), Link: link, Address: x.Address, Owner: s.Name()})
		}
	}
	return w, nil
}

func validate(c agentv1.Content, at string, x agentv1.SNAT) error {
	nic, ok := c.Interface(x.Interface)
	switch {
	case !ok || !nic.HasRole(agentv1.RolePublic):
		return dataplane.Fieldf(at+"/interface", "%q is no public nic of this router", x.Interface)
	case nic.HasRole(agentv1.RoleGuest):
		return dataplane.Fieldf(at+"/interface", "%q is public and guest at once: there is nothing to translate", x.Interface)
	case !x.Address.Is4() || x.Address.IsUnspecified() || x.Address.IsMulticast():
		return dataplane.Fieldf(at+"/address", "%v is no IPv4 address", x.Address)
	case !x.Source.IsValid() || !x.Source.Addr().Is4() || !within(c, x.Source):
		return dataplane.Fieldf(at+"/source", "%v is not in a guest network of this router", x.Source)
	}
	for _, p := range nic.Addresses {
		if p.Addr() == x.Address {
			return nil
		}
	}
	return dataplane.Fieldf(at+"/address", "%s is not an address of %s", x.Address, nic.Name)
}

func within(c agentv1.Content, source netip.Prefix) bool {
	for _, nic := range c.Interfaces {
		for _, p := range nic.Addresses {
			if nic.HasRole(agentv1.RoleGuest) && p.Bits() <= source.Bits() && p.Contains(source.Addr()) {
				return true
			}
		}
	}
	return false
}
