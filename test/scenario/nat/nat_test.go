package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"golang.org/x/sys/unix"
)

func TestSourceNAT(t *testing.T) {
	w := newWorld(t)
	w.apply(content())
	serve(t, w.internet, "far", farIP+":7")
	for _, network := range []string{"tcp", "udp"} {
		w.reaches(w.a, network, "", farIP+":7", "far", routerIP)
		w.reaches(w.b, network, "", farIP+":7", "far", routerIP)
	}
}

func TestElasticIP(t *testing.T) {
	w := newWorld(t)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	// A neighbour that remembers another router's MAC for the VIP.
	w.internet.Run(t, "sysctl -qw net.ipv4.neigh.i0.locktime=0")
	w.internet.Run(t, "ip neigh replace "+vipA+" lladdr 02:00:00:00:00:99 dev i0 nud reachable")
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 2)}
	w.apply(c)
	for _, network := range []string{"tcp", "udp"} {
		w.reaches(w.internet, network, farIP, vipA+":7", "a", farIP)
		w.reaches(w.a, network, "", farIP+":7", "far", vipA)
		w.reaches(w.b, network, "", farIP+":7", "far", routerIP)
	}
	t.Run("keeps ports outbound", func(t *testing.T) {
		k := w.open(w.a, "udp", "", farIP+":7")
		_, saw, err := k.say("port", soon)
		if local := netip.MustParseAddrPort(k.LocalAddr().String()); err != nil || saw.Port() != local.Port() {
			t.Errorf("seen as %s (%v), sent from %s", saw, err, local)
		}
	})
	t.Run("hairpin", func(t *testing.T) {
		for _, network := range []string{"tcp", "udp"} {
			w.reaches(w.a, network, "", vipA+":7", "a", routerGuest)
			w.reaches(w.b, network, "", vipA+":7", "a", routerGuest)
		}
	})
	t.Run("errors are translated", func(t *testing.T) {
		k, err := dial(w.internet, "udp", farIP, vipA+":9", soon)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if _, _, err := k.say("closed?", soon); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("closed port of a guest says %v, want connection refused", err)
		}
	})
	t.Run("lowest order goes out", func(t *testing.T) {
		c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 2), eipOf(vipB, aIP, 1)}
		w.apply(c)
		w.reaches(w.a, "tcp", "", farIP+":7", "far", vipB)
		w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
		w.reaches(w.internet, "tcp", farIP, vipB+":7", "a", farIP)
	})
	t.Run("guests cannot ask for its MAC", func(t *testing.T) {
		w.b.Run(t, "ip route add "+vipA+"/32 dev b0")
		w.isolated(w.b, "tcp", "", vipA+":7")
	})
}

func TestPortForwarding(t *testing.T) {
	w := newWorld(t)
	for _, port := range []int{7, 3000, 3005, 3010, 3011, 65535} {
		serve(t, w.a, fmt.Sprintf("a%d", port), fmt.Sprintf(":%d", port))
		serve(t, w.b, fmt.Sprintf("b%d", port), fmt.Sprintf(":%d", port))
	}
	limited := forward(vipB, "tcp", 80, 80, bIP, 7)
	limited.AllowedCIDR = netip.MustParsePrefix("198.51.100.0/24")
	c := content()
	c.PortForwardings = []agentv1.PortForwarding{
		forward(routerIP, "tcp", 53, 53, aIP, 7), forward(routerIP, "udp", 53, 53, bIP, 7),
		forward(vipP, "tcp", 2000, 2010, aIP, 3000),
		forward(vipA, "udp", 1, 65535, bIP, 1),
		limited,
	}
	w.apply(c)
	far := w.internet
	t.Run("one number, two protocols", func(t *testing.T) {
		w.reaches(far, "tcp", farIP, routerIP+":53", "a7", farIP)
		w.reaches(far, "udp", farIP, routerIP+":53", "b7", farIP)
	})
	t.Run("ranges are one to one", func(t *testing.T) {
		w.reaches(far, "tcp", farIP, vipP+":2000", "a3000", farIP)
		w.reaches(far, "tcp", farIP, vipP+":2005", "a3005", farIP)
		w.reaches(far, "tcp", farIP, vipP+":2010", "a3010", farIP)
		w.isolated(far, "tcp", farIP, vipP+":2011")
		w.isolated(far, "tcp", farIP, vipP+":1999")
		w.isolated(far, "udp", farIP, vipP+":2000")
		w.reaches(far, "udp", farIP, vipA+":7", "b7", farIP)
		w.reaches(far, "udp", farIP, vipA+":65535", "b65535", farIP)
	})
	t.Run("hairpin", func(t *testing.T) {
		w.reaches(w.a, "tcp", "", vipP+":2000", "a3000", routerGuest)
		w.reaches(w.b, "tcp", "", vipP+":2010", "a3010", routerGuest)
		w.reaches(w.a, "udp", "", routerIP+":53", "b7", routerGuest)
	})
	t.Run("allowed cidr", func(t *testing.T) {
		w.reaches(far, "tcp", farIP, vipB+":80", "b7", farIP)
		w.isolated(far, "tcp", gatewayIP, vipB+":80")
		w.isolated(w.a, "tcp", "", vipB+":80")
	})
	t.Run("before its turn", func(t *testing.T) { // an EIP on the same VIP has precedence
		c.EIPs = []agentv1.EIP{eipOf(vipP, bIP, 1)}
		w.apply(c)
		w.reaches(far, "tcp", farIP, vipP+":3005", "b3005", farIP)
		w.isolated(far, "tcp", farIP, vipP+":2000")
	})
	t.Run("addresses go with the last rule", func(t *testing.T) {
		c.EIPs, c.PortForwardings = nil, c.PortForwardings[:1]
		w.apply(c)
		if out := w.router.Run(t, "ip addr show dev pub0"); !strings.Contains(out, routerIP+"/24") || strings.Contains(out, vipP) || strings.Contains(out, vipA) {
			t.Errorf("addresses of the public nic:\n%s", out)
		}
		w.reaches(far, "tcp", farIP, routerIP+":53", "a7", farIP)
	})
}

func TestSegmentSizeIsClamped(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.Interfaces[1].MTU = 1400
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	k := w.open(w.internet, "tcp", farIP, vipA+":7")
	size := 0
	raw, err := k.Conn.(interface {
		SyscallConn() (rawConn, error)
	}).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	}
	if err != nil || size > 1360 {
		t.Errorf("segments of %d bytes (%v), want 1360 at most", size, err)
	}
}

func TestRemovedMappingsEndTheirFlows(t *testing.T) {
	w := newWorld(t)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	c := content()
	limited := forward(vipB, "udp", 80, 80, bIP, 7)
	limited.AllowedCIDR = netip.MustParsePrefix("198.51.100.0/24")
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{
		forward(vipP, "udp", 80, 80, bIP, 7), forward(vipP, "tcp", 80, 80, bIP, 7), forward(routerIP, "tcp", 80, 80, bIP, 7), limited,
	}
	w.apply(c)
	flows := map[string]*talk{
		"eip tcp in":   w.open(w.internet, "tcp", farIP, vipA+":7"),
		"eip udp in":   w.open(w.internet, "udp", farIP, vipA+":7"),
		"eip udp out":  w.open(w.a, "udp", "", farIP+":7"),
		"pf udp":       w.open(w.internet, "udp", farIP, vipP+":80"),
		"pf tcp":       w.open(w.internet, "tcp", farIP, vipP+":80"),
		"limited udp":  w.open(w.internet, "udp", farIP, vipB+":80"),
		"hairpin udp":  w.open(w.b, "udp", "", vipA+":7"),
		"other pf":     w.open(w.internet, "tcp", farIP, routerIP+":80"),
		"other out":    w.open(w.b, "udp", "", farIP+":7"),
		"other tcp":    w.open(w.b, "tcp", "", farIP+":7"),
		"to neighbour": w.open(w.a, "tcp", "", bIP+":7"),
	}
	c.EIPs = nil
	c.PortForwardings[3].AllowedCIDR = netip.MustParsePrefix("192.0.2.0/24")
	c.PortForwardings = c.PortForwardings[2:]
	r := w.apply(c)
	if r.FlowsEnded < 7 {
		t.Errorf("%d flows ended, want 7 at least", r.FlowsEnded)
	}
	for what, k := range flows {
		if strings.HasPrefix(what, "other") || what == "to neighbour" {
			w.goesOn(what, k)
		} else if what != "eip udp out" {
			w.ended(what, k)
		}
	}
	// A guest that goes on sending gets a connection of its own, with what
	// source address it may use now.
	if _, saw, err := flows["eip udp out"].say("still", soon); err != nil || saw.Addr() != addr(routerIP) {
		t.Errorf("after its EIP is gone a guest is seen as %s (%v), want %s", saw, err, routerIP)
	}
}

func TestMovedMappings(t *testing.T) {
	w := newWorld(t)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	c := content()
	before := w.applyAnd(c, func() *talk { return w.open(w.a, "tcp", "", farIP+":7") })
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	w.goesOn("a connection older than its guest's EIP", before)
	k := w.open(w.internet, "udp", farIP, vipA+":7")
	c.EIPs = []agentv1.EIP{eipOf(vipA, bIP, 1)}
	w.apply(c)
	if who, _, err := k.say("where", soon); err != nil || who != "b" {
		t.Errorf("after the EIP moved %q answers (%v), want b", who, err)
	}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "udp", 80, 80, aIP, 7)}
	w.apply(c)
	k = w.open(w.internet, "udp", farIP, vipP+":80")
	c.PortForwardings[0].GuestIP = addr(bIP)
	w.apply(c)
	if who, _, err := k.say("where", soon); err != nil || who != "b" {
		t.Errorf("after the rule moved %q answers (%v), want b", who, err)
	}
	out := w.open(w.a, "udp", "", farIP+":7")
	c.SNAT = nil
	w.apply(c)
	w.ended("general SNAT that is gone", out)
}

// applyAnd applies and then does.
func (w *world) applyAnd(c agentv1.Content, f func() *talk) *talk {
	w.apply(c)
	return f()
}

// patience of monitors to start and to print.
const settle = 300 * time.Millisecond
