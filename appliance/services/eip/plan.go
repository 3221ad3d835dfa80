// Package eip plans elastic IPs: a public address for one guest, in both
// directions. It is pure; the data plane carries it out.
package eip

import (
	"fmt"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Service is the EIP service. Zero is ready.
type Service struct{}

// New is the service.
func New() Service { return Service{} }

// Name is the service's name in specs, status and logs.
func (Service) Name() string { return "eip" }

// Want is what the spec's EIPs need; each VIP is a /32 on its public nic. A
// wrong value is a *dataplane.FieldError; what needs a nic that is not there
// is left out.
func (s Service) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	w := dataplane.Want{}
	seen := make(map[netip.Addr]bool, len(c.EIPs))
	for i, e := range c.EIPs {
		at := fmt.Sprintf("/content/eips/%d", i)
		if err := validate(c, at, e); err != nil {
			return dataplane.Want{}, err
		}
		if seen[e.VIP] {
			return dataplane.Want{}, dataplane.Fieldf(at+"/vip", "%s is another EIP's", e.VIP)
		}
		seen[e.VIP] = true
		s.add(&w, e, links)
	}
	return w, nil
}

func (s Service) add(w *dataplane.Want, e agentv1.EIP, links dataplane.Links) {
	public, ok := links[e.Interface]
	if _, guest := links[e.GuestInterface]; !ok || !guest {
		return
	}
	w.EIPs = append(w.EIPs, dataplane.EIP{VIP: e.VIP, Guest: e.GuestIP, Order: e.Order, Owner: s.Name()})
	w.Addresses = append(w.Addresses, dataplane.Address{Link: public, Prefix: netip.PrefixFrom(e.VIP, 32), Owner: s.Name()})
}

func validate(c agentv1.Content, at string, e agentv1.EIP) error {
	public, ok := c.Interface(e.Interface)
	if !ok || !public.HasRole(agentv1.RolePublic) || public.HasRole(agentv1.RoleGuest) {
		return dataplane.Fieldf(at+"/interface", "%q is no public nic of this router", e.Interface)
	}
	guest, ok := c.Interface(e.GuestInterface)
	if !ok || !guest.HasRole(agentv1.RoleGuest) || guest.HasRole(agentv1.RolePublic) {
		return dataplane.Fieldf(at+"/guestInterface", "%q is no guest nic of this router", e.GuestInterface)
	}
	if !e.VIP.Is4() || !e.VIP.IsGlobalUnicast() {
		return dataplane.Fieldf(at+"/vip", "%v is no unicast IPv4 address", e.VIP)
	}
	for _, nic := range c.Interfaces {
		if nic.Gateway == e.VIP {
			return dataplane.Fieldf(at+"/vip", "%s is the gateway of %s: nothing would leave any more", e.VIP, nic.Name)
		}
		for _, p := range nic.Addresses {
			if p.Addr() == e.VIP {
				return dataplane.Fieldf(at+"/vip", "%s is the router's own address on %s", e.VIP, nic.Name)
			}
			if nic.HasRole(agentv1.RoleGuest) && p.Contains(e.VIP) {
				return dataplane.Fieldf(at+"/vip", "%s is inside the guest network %s", e.VIP, p.Masked())
			}
		}
	}
	for _, p := range guest.Addresses {
		if p.Contains(e.GuestIP) && p.Addr() != e.GuestIP {
			return nil
		}
	}
	return dataplane.Fieldf(at+"/guestIp", "%v is no guest's address on %s", e.GuestIP, guest.Name)
}
