package nat

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// A second public network, with an internet of its own behind its gateway.
const (
	macSecond = "02:00:00:00:00:04"

	secondGateway = "192.88.99.1"
	secondRouter  = "192.88.99.2"
	secondVIP     = "192.88.99.50"
	secondVIPP    = "192.88.99.60"
	secondFar     = "198.51.101.10"
	// neighbourIP is of the first public network, and reached by the second.
	neighbourIP = "203.0.113.77"
)

// addSecond gives a world its second internet.
func (w *world) addSecond() *kerneltest.Namespace {
	second := kerneltest.NewNamespace(w.t, "j")
	w.cable(w.router, "pub1", macSecond, second, "j0", secondGateway+"/24")
	for _, ip := range []string{secondFar, neighbourIP} {
		second.Run(w.t, "ip addr add "+ip+"/32 dev lo")
	}
	second.Run(w.t, "ip route add "+routerIP+"/32 via "+secondRouter) // a machine that knows both
	return second
}

// twoWays is the content with both; the guests of b's half leave by the second.
func twoWays() agentv1.Content {
	c := content()
	prefix := netip.MustParsePrefix
	c.Interfaces = append(c.Interfaces, agentv1.Interface{Name: "eth3", MAC: macSecond, MTU: 1500, Roles: []agentv1.Role{agentv1.RolePublic},
		Addresses: []netip.Prefix{prefix(secondRouter + "/24")}, Gateway: addr(secondGateway)})
	return c
}

func onSecond[T agentv1.EIP | agentv1.PortForwarding](x T) T {
	switch x := any(&x).(type) {
	case *agentv1.EIP:
		x.Interface = macSecond
	case *agentv1.PortForwarding:
		x.Interface = macSecond
	}
	return x
}

// TestSeveralWaysOut: answers leave by the nic that the question came in on,
// and guests by that of their public address; each internet is reached by its
// own nic alone, so that what goes the wrong way does not arrive.
func TestSeveralWaysOut(t *testing.T) {
	w := newWorld(t)
	second := w.addSecond()
	c := twoWays()
	c.SNAT = append(c.SNAT, agentv1.SNAT{Source: netip.MustParsePrefix(bIP + "/32"), Interface: macSecond, Address: addr(secondRouter)})
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 2), onSecond(eipOf(secondVIP, aIP, 3))}
	c.PortForwardings = []agentv1.PortForwarding{
		forward(vipP, "tcp", 80, 80, aIP, 7), forward(vipP, "udp", 80, 80, aIP, 7),
		onSecond(forward(secondVIPP, "tcp", 80, 80, aIP, 7)), onSecond(forward(secondVIPP, "udp", 80, 80, bIP, 7)),
	}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	serve(t, w.internet, "far", farIP+":7")
	serve(t, second, "second", secondFar+":7")
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			w.reaches(w.internet, network, farIP, vipA+":7", "a", farIP)
			w.reaches(second, network, secondFar, secondVIP+":7", "a", secondFar)
			w.reaches(w.internet, network, farIP, vipP+":80", "a", farIP)
			w.reaches(second, network, secondFar, secondVIPP+":80", map[string]string{"tcp": "a", "udp": "b"}[network], secondFar)
			// As if in the first network, but by way of the second nic.
			w.reaches(second, network, neighbourIP, secondVIP+":7", "a", neighbourIP)
			// Out: a by its EIP of the lowest order, b by its SNAT.
			w.reaches(w.a, network, "", farIP+":7", "far", vipA)
			w.isolated(w.a, network, "", secondFar+":7")
			w.reaches(w.b, network, "", secondFar+":7", "second", secondRouter)
			w.isolated(w.b, network, "", farIP+":7")
			// Guests find each other's public addresses of both.
			w.reaches(w.b, network, "", vipA+":7", "a", routerGuest)
			w.reaches(w.b, network, "", secondVIP+":7", "a", routerGuest)
			w.isolated(w.b, network, "", managementIP+":7")
			w.isolated(second, network, secondFar, aIP+":7")
		})
	}
	for _, p := range []struct {
		ns       *kerneltest.Namespace
		from, to string
	}{{w.internet, farIP, routerIP}, {second, secondFar, secondRouter}, {second, secondFar, secondVIPP}, {second, neighbourIP, secondVIP}, {w.b, bIP, secondRouter}} {
		if err := pingFrom(p.ns, p.from, p.to, soon); err != nil {
			t.Errorf("from %s: %v", p.from, err)
		}
	}
	t.Run("EIP of the second nic first", func(t *testing.T) {
		c.EIPs[1].Order = 1
		w.apply(c)
		w.reaches(w.a, "tcp", "", secondFar+":7", "second", secondVIP)
		w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP) // answered where it came from
	})
	t.Run("healed", func(t *testing.T) {
		for _, damage := range []string{"ip rule flush", "ip route flush table 8301", "ip link set pub1 down", "nft flush chain ip sluice via"} {
			w.router.Run(t, damage)
			if damage == "ip rule flush" { // the kernel's own are not ours to put back
				w.router.Run(t, "ip rule add lookup main pref 32766")
			}
			if r := w.apply(c); r.Writes == 0 {
				t.Errorf("%s: nothing was written", damage)
			}
			w.reaches(second, "tcp", secondFar, secondVIP+":7", "a", secondFar)
			w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
		}
	})
	t.Run("one again", func(t *testing.T) {
		one := content()
		one.EIPs = c.EIPs[:1]
		w.apply(one)
		w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
		w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
		if out := w.router.Run(t, "ip rule") + w.router.Run(t, "ip route show table all proto 83"); strings.Contains(out, "lookup 83") || strings.Contains(out, "table 83") {
			t.Errorf("left over:\n%s", out)
		}
	})
}

// TestWaysAreAsTraced: the tracer chooses the nics that packets go by.
func TestWaysAreAsTraced(t *testing.T) {
	w := newWorld(t)
	second := w.addSecond()
	c := twoWays()
	c.SNAT = append(c.SNAT, agentv1.SNAT{Source: netip.MustParsePrefix(bIP + "/32"), Interface: macSecond, Address: addr(secondRouter)})
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.internet, farIP, farIP+":7")
	serve(t, second, secondFar, secondFar+":7")
	state := dataplane.Render(w.want(c))
	for _, from := range []struct {
		ns *kerneltest.Namespace
		ip string
	}{{w.a, aIP}, {w.b, bIP}} {
		for to, behind := range map[string]string{farIP: "pub0", secondFar: "pub1"} {
			way := kerneltest.Trace(state, kerneltest.Packet{In: "lan0", Protocol: "udp", From: netip.AddrPortFrom(addr(from.ip), 4000), To: addrPort(to + ":7")})
			if way.Out == behind {
				w.reaches(from.ns, "udp", "", to+":7", to, way.Source.String())
			} else {
				w.isolated(from.ns, "udp", "", to+":7")
			}
		}
	}
}
