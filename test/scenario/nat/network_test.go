package nat

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// A second guest network of the same router, with one guest.
const (
	macOther    = "02:00:00:00:00:04"
	routerOther = "10.1.0.1"
	cIP         = "10.1.0.10"
)

// addNetwork gives the router a second guest network.
func (w *world) addNetwork(c *agentv1.Content) *kerneltest.Namespace {
	guest := kerneltest.NewNamespace(w.t, "c")
	w.cable(w.router, "lan1", macOther, guest, "c0", cIP+"/24")
	guest.Run(w.t, "ip route add default via "+routerOther)
	prefix := netip.MustParsePrefix
	c.Interfaces = append(c.Interfaces, agentv1.Interface{
		Name: "eth3", MAC: macOther, MTU: 1500, Roles: []agentv1.Role{agentv1.RoleGuest}, Addresses: []netip.Prefix{prefix(routerOther + "/24")}})
	c.SNAT = append(c.SNAT, agentv1.SNAT{Source: prefix("10.1.0.0/24"), Interface: macPublic, Address: addr(routerIP)})
	return guest
}

func TestSourceNATWithSeveralAddresses(t *testing.T) {
	w := newWorld(t)
	c := content()
	const second = "203.0.113.3"
	prefix := netip.MustParsePrefix
	c.Interfaces[1].Addresses = append(c.Interfaces[1].Addresses, prefix(second+"/24"))
	c.SNAT = append(c.SNAT, agentv1.SNAT{Source: prefix(bIP + "/32"), Interface: macPublic, Address: addr(second)})
	other := w.addNetwork(&c)
	c.SNAT[2].Address = addr(second)
	w.apply(c)
	serve(t, w.internet, "far", farIP+":7")
	for _, network := range []string{"tcp", "udp"} {
		w.reaches(w.a, network, "", farIP+":7", "far", routerIP)
		w.reaches(w.b, network, "", farIP+":7", "far", second) // the longest source wins
		w.reaches(other, network, "", farIP+":7", "far", second)
	}
	t.Run("moved to another address, with traffic running", func(t *testing.T) {
		kept, cut := w.open(w.a, "tcp", "", farIP+":7"), w.open(w.b, "udp", "", farIP+":7")
		c.SNAT[1].Address = addr(routerIP)
		w.apply(c)
		w.goesOn("a flow of another source", kept)
		if _, saw, err := cut.say("again", soon); err != nil || saw.Addr() != addr(routerIP) {
			t.Errorf("after its SNAT changed, a guest is seen as %s (%v), want %s", saw, err, routerIP)
		}
	})
}

func TestSourceNATDisabledLive(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 80, 80, bIP, 7)}
	w.apply(c)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.b, "b", ":7")
	tcp, udp := w.open(w.b, "tcp", "", farIP+":7"), w.open(w.b, "udp", "", farIP+":7")
	eip, in := w.open(w.a, "tcp", "", farIP+":7"), w.open(w.internet, "tcp", farIP, vipP+":80")
	c.SNAT = nil
	w.apply(c)
	w.ended("tcp", tcp)
	w.ended("udp", udp)
	w.isolated(w.b, "tcp", "", farIP+":7")
	w.goesOn("another guest's by its EIP", eip)
	w.goesOn("an inbound one of the same guest", in)
	c.SNAT = content().SNAT
	w.apply(c)
	w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
}

func TestElasticIPFollowsItsGuest(t *testing.T) {
	w := newWorld(t)
	c := content()
	other := w.addNetwork(&c)
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1), eipOf(vipB, bIP, 1)}
	w.apply(c)
	for name, ns := range map[string]*kerneltest.Namespace{"a": w.a, "b": w.b, "c": other} {
		serve(t, ns, name, ":7")
	}
	serve(t, w.internet, "far", farIP+":7")
	t.Run("hairpin", func(t *testing.T) {
		for _, network := range []string{"tcp", "udp"} {
			w.reaches(w.a, network, "", vipA+":7", "a", routerGuest)
			w.reaches(w.a, network, "", vipB+":7", "b", routerGuest)
			w.reaches(other, network, "", vipA+":7", "a", routerGuest)
			w.reaches(w.internet, network, gatewayIP, vipB+":7", "b", gatewayIP)
		}
	})
	t.Run("stopped guest", func(t *testing.T) { // its EIP leaves the spec, the VIP goes
		out := w.open(w.b, "udp", "", farIP+":7")
		w.apply(without(c, vipB))
		w.isolated(w.internet, "tcp", farIP, vipB+":7")
		if err := ping(w.internet, vipB, never); err == nil {
			t.Error("a VIP that nothing uses is answered for")
		}
		if _, saw, err := out.say("still", soon); err != nil || saw.Addr() != addr(routerIP) {
			t.Errorf("without its EIP a guest is seen as %s (%v)", saw, err)
		}
		w.apply(c)
		w.reaches(w.internet, "tcp", farIP, vipB+":7", "b", farIP)
	})
	t.Run("guest's address changed", func(t *testing.T) {
		const moved = "10.0.0.77"
		in := w.open(w.internet, "udp", farIP, vipA+":7")
		w.a.Run(t, "ip addr flush dev a0")
		w.a.Run(t, "ip addr add "+moved+"/24 dev a0")
		w.a.Run(t, "ip route add default via "+routerGuest)
		c.EIPs[0].GuestIP = addr(moved)
		w.apply(c)
		w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
		w.reaches(w.a, "udp", "", farIP+":7", "far", vipA)
		w.goesOn("a datagram flow, at the new address", in)
	})
	t.Run("to another network", func(t *testing.T) {
		e := eipOf(vipB, cIP, 1)
		e.GuestInterface = macOther
		c.EIPs[1] = e
		w.apply(c)
		w.reaches(w.internet, "udp", farIP, vipB+":7", "c", farIP)
		w.reaches(other, "tcp", "", farIP+":7", "far", vipB)
		w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
		w.reaches(w.b, "tcp", "", vipB+":7", "c", routerOther)
	})
	t.Run("several on a nic: out by the oldest, as long as it is there", func(t *testing.T) {
		const third = "203.0.113.52"
		c.EIPs = []agentv1.EIP{eipOf(third, bIP, 30), eipOf(vipA, bIP, 10), eipOf(vipB, bIP, 20)}
		w.apply(c)
		for _, vip := range []string{vipA, vipB, third} {
			w.reaches(w.internet, "udp", farIP, vip+":7", "b", farIP)
		}
		w.reaches(w.b, "udp", "", farIP+":7", "far", vipA)
		w.apply(without(c, vipA))
		w.reaches(w.b, "udp", "", farIP+":7", "far", vipB)
	})
}

// without leaves one EIP out.
func without(c agentv1.Content, vip string) agentv1.Content {
	var kept []agentv1.EIP
	for _, e := range c.EIPs {
		if e.VIP != addr(vip) {
			kept = append(kept, e)
		}
	}
	c.EIPs = kept
	return c
}

func TestAddressAppearsWithItsFirstUse(t *testing.T) {
	w := newWorld(t)
	c := content()
	first, second := forward(vipP, "tcp", 80, 80, aIP, 7), forward(vipP, "udp", 80, 80, bIP, 7)
	for _, step := range []struct {
		rules []agentv1.PortForwarding
		there bool
	}{
		{nil, false},
		{[]agentv1.PortForwarding{first}, true},
		{[]agentv1.PortForwarding{first, second}, true},
		{[]agentv1.PortForwarding{second}, true},
		{nil, false},
	} {
		c.PortForwardings = step.rules
		w.apply(c)
		w.internet.Run(t, "ip neigh flush all")
		if err := ping(w.internet, vipP, map[bool]time.Duration{true: soon, false: never}[step.there]); (err == nil) != step.there {
			t.Errorf("with %d rules the address answers: %v", len(step.rules), err)
		}
	}
}
