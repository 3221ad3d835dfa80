package nat

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// TestManyPublicAddresses: more than a nic is given as addresses of its own. The
// public network finds each, as it would find those, and no other address of the
// router.
func TestManyPublicAddresses(t *testing.T) {
	w := newWorld(t)
	c := content()
	vip := func(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8, i&255) }
	for i := range 1100 {
		guest := fmt.Sprintf("10.0.0.%d", 20+i%200)
		if i == 1099 {
			guest = aIP
		}
		c.EIPs = append(c.EIPs, eipOf(vip(i), guest, int64(i)))
	}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 80, 80, bIP, 7)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	serve(t, w.internet, "far", farIP+":7")
	w.internet.Run(t, "ip route add 198.18.0.0/15 dev i0")
	works := func() {
		t.Helper()
		w.reaches(w.internet, "tcp", gatewayIP, vip(1099)+":7", "a", gatewayIP)
		w.reaches(w.internet, "tcp", farIP, vipP+":80", "b", farIP)
		w.reaches(w.a, "tcp", "", farIP+":7", "far", vip(1099))
		w.reaches(w.b, "tcp", "", vip(1099)+":7", "a", routerGuest)
		if err := ping(w.internet, vipP, soon); err != nil { // the router's own answer
			t.Error(err)
		}
	}
	works()
	for _, other := range []string{routerGuest, routerMgmt} {
		w.internet.Run(t, "ip route add "+other+"/32 dev i0")
		if is := w.neighbour("i0", other); is != "" {
			t.Errorf("the public network finds %s at %s", other, is)
		}
	}
	if w.neighbour("i0", vip(7)) == "" {
		t.Errorf("nobody answers for %s", vip(7))
	}
	for _, damage := range []string{"ip addr flush dev pub0", "ip route flush table local proto 83", "ip route del local " + vip(1099) + " table local", "nft delete table arp sluice"} {
		w.router.Run(t, damage)
		if r := w.apply(c); r.Writes == 0 {
			t.Errorf("%s: nothing was written", damage)
		}
		w.internet.Run(t, "ip neigh flush dev i0")
		works()
	}
	c.EIPs = c.EIPs[200:] // few enough to be addresses
	w.apply(c)
	w.internet.Run(t, "ip neigh flush dev i0")
	works()
	if shown := w.router.Run(t, "ip addr show dev pub0"); !strings.Contains(shown, vip(1099)+"/32") || strings.Contains(shown, vip(7)+"/32") {
		t.Errorf("900 EIPs are left, and the nic has\n%.400s", shown)
	}
}

// neighbour is the MAC that the internet finds an address at, "" for none.
func (w *world) neighbour(nic, address string) string {
	w.t.Helper()
	_ = ping(w.internet, address, never)
	for line := range strings.Lines(w.internet.Run(w.t, "ip neigh show dev "+nic)) {
		if words := strings.Fields(line); words[0] == address && len(words) > 2 && words[1] == "lladdr" {
			return words[2]
		}
	}
	return ""
}
