package nat

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/netfilter"
)

// watch is the agent's: a stranger's change that opens the router closes it.
func (w *world) watch() {
	w.t.Helper()
	var watch *netfilter.Watch
	var err error
	w.router.Do(func() { watch, err = w.kernel.Watch() })
	if err != nil || watch == nil {
		w.t.Fatalf("no watch: %v", err)
	}
	ended := make(chan struct{})
	w.t.Cleanup(func() { watch.Close(); <-ended })
	go func() {
		defer close(ended)
		for watch.Next() == nil {
			w.router.Do(func() {
				if _, err := w.plane.Guard(w.t.Context(), watch.Closed); err != nil {
					w.t.Errorf("guard: %v", err)
				}
			})
		}
	}()
}

// TestClosedWithoutItsRules: whoever takes rules away gets a router that
// forwards nothing until they are back: nobody reaches a guest from outside by
// routing, and no guest gets out with its own address, or past its mapping.
func TestClosedWithoutItsRules(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	w.watch()
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	for _, damage := range []string{
		"iptables -F", "iptables -X", "nft flush ruleset", "nft delete table ip sluice", "nft flush table ip sluice",
		"nft flush chain ip sluice source", "nft flush chain ip sluice forward", "nft flush chain ip sluice leaking",
		"nft insert rule ip sluice forward accept", "iptables -P FORWARD DROP", "iptables -t nat -F",
	} {
		t.Run(damage, func(t *testing.T) {
			atB, far := catch(t, w.b, ":9"), catch(t, w.internet, farIP+":9")
			if damage == "iptables -X" { // refuses chains that are used
				w.router.Run(t, "iptables -F")
			}
			w.router.Run(t, damage)
			if strings.HasPrefix(damage, "nft") {
				w.awaitClosed()
			}
			send(t, w.internet, "", bIP+":9")
			if from, err := atB(never); err == nil {
				t.Errorf("a datagram from %s reaches a guest by routing", from)
			}
			send(t, w.b, "", farIP+":9")
			if from, err := far(never / 3); err == nil && !strings.HasPrefix(from.String(), routerIP+":") {
				t.Errorf("a guest gets out as %s", from)
			}
			if r := w.apply(c); r.Writes == 0 {
				t.Error("nothing was written")
			}
			w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
			w.reaches(w.b, "udp", "", farIP+":7", "far", routerIP)
		})
	}
}

func (w *world) awaitClosed() {
	w.t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.TrimSpace(w.router.Run(w.t, "cat /proc/sys/net/ipv4/ip_forward")) == "0" {
			return
		}
	}
	w.t.Error("still forwarding")
}

// TestNicsAreHealed: addresses, routes and nics that strangers take away.
func TestNicsAreHealed(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.internet, "far", farIP+":7")
	for _, damage := range []string{
		"ip addr flush dev pub0", "ip addr flush dev lan0", "ip route del default", "ip route flush table main",
		"ip link set pub0 down", "ip link set lan0 down", "ip link set pub0 mtu 1300",
	} {
		t.Run(damage, func(t *testing.T) {
			w.router.Run(t, damage)
			if r := w.apply(c); r.Writes == 0 {
				t.Error("nothing was written")
			}
			w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
			w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
		})
	}
	t.Run("ip link del", func(t *testing.T) { // and plugged in again
		w.router.Run(t, "ip link del pub0")
		if _, err := w.try(c); err == nil || !strings.Contains(err.Error(), macPublic) {
			t.Errorf("without its public nic: %v, want an error that names %s", err, macPublic)
		}
		serve(t, w.a, "a", ":8")
		w.reaches(w.b, "tcp", "", aIP+":8", "a", bIP) // the rest goes on
		w.cable(w.router, "pub0", macPublic, w.internet, "i0", gatewayIP+"/24")
		w.apply(c)
		w.reaches(w.internet, "tcp", farIP, vipA+":7", "a", farIP)
		w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
	})
}

// TestStrangersThingsStay whatever is applied, healed and removed.
func TestStrangersThingsStay(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	things := map[string]struct{ list, mark string }{
		"iptables -N THEIRS":                                  {"iptables -S", "-N THEIRS"},
		"iptables -A FORWARD -p tcp --dport 99 -j ACCEPT":     {"iptables -S FORWARD", "--dport 99"},
		"iptables -t nat -A POSTROUTING -d 9.9.9.9 -j RETURN": {"iptables -t nat -S", "-d 9.9.9.9/32 -j RETURN"},
		"nft add table ip theirs":                             {"nft list tables", "table ip theirs"},
		"nft add table inet theirs":                           {"nft list tables", "table inet theirs"},
		"ip addr add 203.0.113.200/32 dev pub0":               {"ip addr show dev pub0", "203.0.113.200/32"},
		"ip route add 100.64.0.0/10 via " + gatewayIP:         {"ip route", "100.64.0.0/10 via " + gatewayIP},
		"ip route add 100.64.0.0/10 dev pub0 table 77":        {"ip route show table 77", "100.64.0.0/10"},
		"ip rule add from 100.64.0.0/10 lookup 77":            {"ip rule", "lookup 77"},
	}
	for add := range things {
		w.router.Run(t, add)
	}
	w.apply(c)
	w.router.Run(t, "nft delete table ip sluice")
	w.router.Run(t, "iptables -F SLUICE-INPUT")
	w.apply(c)
	bare := content()
	bare.SNAT, bare.EIPs = nil, nil
	w.apply(bare)
	w.apply(c)
	for add, x := range things {
		if out := w.router.Run(t, x.list); !strings.Contains(out, x.mark) {
			t.Errorf("%s: gone from\n%s", add, out)
		}
	}
}
