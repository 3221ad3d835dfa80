package dhcp

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// largeNetwork has n bindings in 10.0.0.0/8.
func largeNetwork(n int) agentv1.DHCPNetwork {
	net := guestNetwork()
	net.Subnet = netip.MustParsePrefix("10.0.0.0/8")
	net.Bindings = make([]agentv1.DHCPBinding, n)
	for i := range net.Bindings {
		net.Bindings[i] = agentv1.DHCPBinding{
			MAC: fmt.Sprintf("02:00:01:%02x:%02x:%02x", i>>16, i>>8&255, i&255),
			IP:  netip.AddrFrom4([4]byte{10, 2 + byte(i>>16), byte(i >> 8), byte(i)}), Hostname: fmt.Sprintf("vm-%d", i), IsDefault: true,
		}
	}
	return net
}

func content(n agentv1.DHCPNetwork) agentv1.Content {
	return agentv1.Content{
		Interfaces: []agentv1.Interface{{Name: "eth2", MAC: n.Interface, Roles: []agentv1.Role{agentv1.RoleGuest}}},
		DHCP:       []agentv1.DHCPNetwork{n},
	}
}

func tableOf(c *Config) map[hw]binding {
	out := map[hw]binding{}
	c.bindings.each(func(b *binding) { out[b.mac] = *b })
	return out
}

// TestPrepareFromBefore: built on the one before or from nothing, in any order
// of changes, the Config answers alike; and the one before stays as it was.
func TestPrepareFromBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c *Config
		for range rapid.IntRange(1, 6).Draw(t, "specs") {
			n := guestNetwork()
			n.Domain = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "domain")
			n.Router = rapid.SampledFrom([]netip.Addr{{}, serverIP, webIP}).Draw(t, "router")
			n.Routes = n.Routes[:rapid.IntRange(0, 1).Draw(t, "routes")]
			n.Bindings = nil
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(10, 30), 0, 12, rapid.ID).Draw(t, "hosts") {
				n.Bindings = append(n.Bindings, agentv1.DHCPBinding{
					MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i&1, i), IP: netip.AddrFrom4([4]byte{10, 1, 0, byte(i) + rapid.ByteRange(0, 1).Draw(t, "moved")*50}),
					IsDefault: rapid.Bool().Draw(t, "default"), Hostname: rapid.SampledFrom([]string{"", "x"}).Draw(t, "hostname"),
					Routes: rapid.SampledFrom([][]agentv1.Route{nil, {route("10.9.0.0/16", "10.1.0.7")}, {route("0.0.0.0/0", "10.1.0.7")}}).Draw(t, "own routes"),
				})
			}
			if rapid.Bool().Draw(t, "sorted") {
				slices.SortFunc(n.Bindings, func(a, b agentv1.DHCPBinding) int { return compare(a.MAC, b.MAC) })
			}
			fresh, err := Prepare(nil, n)
			if err != nil {
				t.Fatal(err)
			}
			var old map[hw]binding
			if c != nil {
				old = tableOf(c)
			}
			next, err := Prepare(c, n)
			if err != nil {
				t.Fatal(err)
			}
			if c != nil && !reflect.DeepEqual(old, tableOf(c)) {
				t.Fatal("the Config before was changed")
			}
			if !reflect.DeepEqual(tableOf(next), tableOf(fresh)) || next.Len() != fresh.Len() || next.Len() != len(n.Bindings) {
				t.Fatalf("%d bindings built on the one before, %d from nothing, %d wanted", next.Len(), fresh.Len(), len(n.Bindings))
			}
			if !reflect.DeepEqual(next.options, fresh.options) {
				t.Fatal("network options differ")
			}
			c = next
		}
	})
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestPrepareSameIsSame(t *testing.T) {
	n := guestNetwork()
	c := prepared(t, n)
	again, err := Prepare(c, n)
	if err != nil || again != c {
		t.Errorf("the same network is prepared again: %v", err)
	}
	n.MTU = 1400
	if again, _ = Prepare(c, n); again == c {
		t.Error("a changed MTU is not seen")
	}
}

// TestChangeIsQuick: one binding changed among 65,000 is ready in 10 ms. The
// best of five counts: this machine is shared.
func TestChangeIsQuick(t *testing.T) {
	n := largeNetwork(65000)
	c := prepared(t, n)
	best := time.Hour
	for i := range 5 {
		changed := n
		changed.Bindings = slices.Clone(n.Bindings)
		changed.Bindings[40000].IP = netip.AddrFrom4([4]byte{10, 200, 0, byte(i)})
		start := time.Now()
		next, err := Prepare(c, changed)
		best = min(best, time.Since(start))
		if err != nil {
			t.Fatal(err)
		}
		h, _ := parseMAC(changed.Bindings[40000].MAC)
		if next.bindings.find(h).ip != (ip4{10, 200, 0, byte(i)}) || next.Len() != 65000 {
			t.Fatal("the change did not arrive")
		}
	}
	t.Logf("one binding of 65,000: %v", best)
	if best > 10*time.Millisecond {
		t.Errorf("one changed binding takes %v", best)
	}
}
