package nat

import (
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func (w *world) meters() (m dataplane.Meters) {
	w.t.Helper()
	var err error
	w.router.Do(func() { m, err = w.kernel.Meters() })
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// TestTrafficIsCounted by mapping, exactly, and a count only ever ends with its
// own mapping.
func TestTrafficIsCounted(t *testing.T) {
	w := newWorld(t)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	for _, at := range []string{":3000", ":3005"} {
		serve(t, w.b, "b", at)
	}
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1), eipOf(vipB, aIP, 2)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "udp", 2000, 2010, bIP, 3000), forward(vipP, "tcp", 2000, 2010, bIP, 3000)}
	w.apply(c)
	// A datagram of 100 bytes with its line's end is 128 with headers; the
	// answer has the asker's address in front.
	text := strings.Repeat("x", 99)
	ask := func(k *talk, n int) {
		t.Helper()
		for range n {
			if _, _, err := k.say(text, soon); err != nil {
				t.Fatal(err)
			}
		}
	}
	say := func(k *talk) *talk { k.Close(); return k }
	open := func(from, to string) *talk {
		k, err := dial(w.internet, "udp", from, to, soon)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open(farIP, vipA+":7")
	ask(k, 7)
	say(k)
	k = open(farIP, vipP+":2000")
	ask(k, 3)
	say(k)
	k = open(farIP, vipP+":2005")
	ask(k, 2)
	say(k)
	out, err := dial(w.a, "udp", "", farIP+":7", soon)
	if err != nil {
		t.Fatal(err)
	}
	ask(out, 5)
	out.Close()
	hairpin, err := dial(w.b, "udp", "", vipA+":7", soon)
	if err != nil {
		t.Fatal(err)
	}
	ask(hairpin, 1)
	hairpin.Close()
	check := func(when string) {
		t.Helper()
		m := w.meters()
		// 7 asked from outside, 5 answered from there, 1 asked by a neighbour.
		if got := m.VIPs[addr(vipA)]; got.In.Packets != 13 || got.Out.Packets != 13 || got.Out.Bytes < 13*128 || got.In.Bytes < 13*128 || got.In.Bytes > 13*170 {
			t.Errorf("%s: %s counts %+v", when, vipA, got)
		}
		if got := m.VIPs[addr(vipB)]; got != (dataplane.Traffic{}) {
			t.Errorf("%s: an EIP without traffic counts %+v", when, got)
		}
		if got := m.Forward(addr(vipP), "udp", 2000, 2010); got.In != (dataplane.Count{Packets: 5, Bytes: 5 * 128}) || got.Out.Packets != 5 {
			t.Errorf("%s: the rule counts %+v", when, got)
		}
		if got := m.Forward(addr(vipP), "tcp", 2000, 2010); got != (dataplane.Traffic{}) {
			t.Errorf("%s: the rule for the other protocol counts %+v", when, got)
		}
	}
	check("at first")
	w.restart()
	c.EIPs[1].GuestIP = addr(bIP)
	w.apply(c)
	check("with a new agent, after another EIP moved")
	c.EIPs = c.EIPs[:1]
	w.apply(c)
	check("after another EIP went")
	gone := c
	gone.EIPs, gone.PortForwardings = nil, c.PortForwardings[1:]
	w.apply(gone)
	w.apply(c)
	m := w.meters()
	if len(m.VIPs) != 0 || m.Forward(addr(vipP), "udp", 2000, 2010) != (dataplane.Traffic{}) {
		t.Errorf("mappings that were made anew count on: %+v", m)
	}
}
