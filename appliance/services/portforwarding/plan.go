// Package portforwarding plans port forwarding: ranges of ports of a public
// address lead, one to one, to ports of a guest. It is pure; the data plane
// carries it out.
package portforwarding

import (
	"fmt"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Service is the port forwarding service. Zero is ready.
type Service struct{}

// New is the service.
func New() Service { return Service{} }

// Name is the service's name in specs, status and logs.
func (Service) Name() string { return "port-forwarding" }

// Want is what the spec's rules need; a VIP is a /32 on its public nic, unless
// it is the router's own address. A wrong value is a *dataplane.FieldError;
// what needs a nic that is not there is left out.
func (s Service) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	w := dataplane.Want{}
	vips := map[carried]bool{}
	for i, f := range c.PortForwardings {
		at := fmt.Sprintf("/content/portForwardings/%d", i)
		if err := validate(c, at, f); err != nil {
			return dataplane.Want{}, err
		}
		s.add(&w, f, links, vips)
	}
	if err := overlaps(c.PortForwardings); err != nil {
		return dataplane.Want{}, err
	}
	return w, nil
}

// carried is an address on a nic. One that rules want on two nics is had twice,
// for Merge to refuse.
type carried struct {
	vip  netip.Addr
	link string
}

// add has each address of a nic once; vips are those there are.
func (s Service) add(w *dataplane.Want, f agentv1.PortForwarding, links dataplane.Links, vips map[carried]bool) {
	public, ok := links[f.Interface]
	if _, guest := links[f.GuestInterface]; !ok || !guest {
		return
	}
	w.Forwards = append(w.Forwards, dataplane.Forward{
		VIP: f.VIP, Protocol: f.Protocol, First: f.VIPPortStart, Last: f.VIPPortEnd,
		Guest: f.GuestIP, To: f.PrivatePortStart, Allowed: f.AllowedCIDR, Owner: s.Name(),
	})
	if at := (carried{f.VIP, public}); !f.VIPIsRouter && !vips[at] {
		vips[at] = true
		w.Addresses = append(w.Addresses, dataplane.Address{Link: public, Prefix: netip.PrefixFrom(f.VIP, 32), Owner: s.Name()})
	}
}

func validate(c agentv1.Content, at string, f agentv1.PortForwarding) error {
	if err := validatePorts(at, f); err != nil {
		return err
	}
	if err := validateVIP(c, at, f); err != nil {
		return err
	}
	guest, ok := c.Interface(f.GuestInterface)
	if !ok || !guest.HasRole(agentv1.RoleGuest) || guest.HasRole(agentv1.RolePublic) {
		return dataplane.Fieldf(at+"/guestInterface", "%q is no guest nic of this router", f.GuestInterface)
	}
	for _, p := range guest.Addresses {
		if p.Contains(f.GuestIP) && p.Addr() != f.GuestIP {
			return nil
		}
	}
	return dataplane.Fieldf(at+"/guestIp", "%v is no guest's address on %s", f.GuestIP, guest.Name)
}

func validatePorts(at string, f agentv1.PortForwarding) error {
	last := int(f.PrivatePortStart) + int(f.VIPPortEnd) - int(f.VIPPortStart)
	switch {
	case f.Protocol != "tcp" && f.Protocol != "udp":
		return dataplane.Fieldf(at+"/protocol", "%q is neither tcp nor udp", f.Protocol)
	case f.VIPPortStart == 0:
		return dataplane.Fieldf(at+"/vipPortStart", "0 is no port")
	case f.VIPPortEnd < f.VIPPortStart:
		return dataplane.Fieldf(at+"/vipPortEnd", "%d is before the start, %d", f.VIPPortEnd, f.VIPPortStart)
	case f.PrivatePortStart == 0:
		return dataplane.Fieldf(at+"/privatePortStart", "0 is no port")
	case last > 65535:
		return dataplane.Fieldf(at+"/privatePortStart", "the range would end at %d", last)
	}
	if a := f.AllowedCIDR; a != (netip.Prefix{}) && (!a.IsValid() || !a.Addr().Is4()) {
		return dataplane.Fieldf(at+"/allowedCidr", "%v is no IPv4 prefix", a)
	}
	return nil
}

func validateVIP(c agentv1.Content, at string, f agentv1.PortForwarding) error {
	public, ok := c.Interface(f.Interface)
	if !ok || !public.HasRole(agentv1.RolePublic) || public.HasRole(agentv1.RoleGuest) {
		return dataplane.Fieldf(at+"/interface", "%q is no public nic of this router", f.Interface)
	}
	if !f.VIP.Is4() || !f.VIP.IsGlobalUnicast() {
		return dataplane.Fieldf(at+"/vip", "%v is no unicast IPv4 address", f.VIP)
	}
	own := false
	for _, nic := range c.Interfaces {
		if nic.Gateway == f.VIP {
			return dataplane.Fieldf(at+"/vip", "%s is the gateway of %s: nothing would leave any more", f.VIP, nic.Name)
		}
		for _, p := range nic.Addresses {
			if nic.HasRole(agentv1.RoleGuest) && p.Contains(f.VIP) {
				return dataplane.Fieldf(at+"/vip", "%s is inside the guest network %s", f.VIP, p.Masked())
			}
			if p.Addr() == f.VIP && nic.MAC != f.Interface {
				return dataplane.Fieldf(at+"/vip", "%s is the router's own address on %s", f.VIP, nic.Name)
			}
			own = own || p.Addr() == f.VIP
		}
	}
	if own != f.VIPIsRouter {
		return dataplane.Fieldf(at+"/vipIsRouter", "%t, but %s is an address of %s itself: %t", f.VIPIsRouter, f.VIP, public.Name, own)
	}
	return nil
}
