package dhcp

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// anyBindings draws a sorted list; where bad ones are allowed, some are, or
// take what another has.
func anyBindings(t *rapid.T, bad bool) []agentv1.DHCPBinding {
	hosts := rapid.SliceOfNDistinct(rapid.IntRange(10, 25), 0, 8, rapid.ID).Draw(t, "hosts")
	slices.Sort(hosts)
	list := make([]agentv1.DHCPBinding, 0, len(hosts))
	for _, i := range hosts {
		b := agentv1.DHCPBinding{
			MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), IP: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}),
			IsDefault: rapid.Bool().Draw(t, "default"), Hostname: rapid.SampledFrom([]string{"", "x"}).Draw(t, "hostname"),
			Routes: rapid.SampledFrom([][]agentv1.Route{nil, {route("10.9.0.0/16", "10.1.0.7")}}).Draw(t, "routes"),
		}
		if rapid.Bool().Draw(t, "moved") {
			b.IP = netip.AddrFrom4([4]byte{10, 1, 0, byte(i) + 50})
		}
		if bad && rapid.IntRange(0, 7).Draw(t, "bad") == 0 {
			b.IP = netip.AddrFrom4([4]byte{10, 1, 0, byte(rapid.IntRange(0, 30).Draw(t, "any"))})
			b.MAC = rapid.SampledFrom([]string{b.MAC, strings.ToUpper(b.MAC), "03" + b.MAC[2:]}).Draw(t, "mac")
			b.Hostname = rapid.SampledFrom([]string{"", "a..b"}).Draw(t, "name")
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b agentv1.DHCPBinding) int { return compare(a.MAC, b.MAC) })
	return list
}

// TestCheckChangeIsWant: a change is refused where Want refuses what it leads
// to, and nowhere else; change after change.
func TestCheckChangeIsWant(t *testing.T) {
	s, _ := testServer(t)
	rapid.Check(t, func(t *rapid.T) {
		n := guestNetwork()
		n.Bindings = anyBindings(t, false)
		c := content(n)
		claims := NewClaims(c)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			n.Bindings = anyBindings(t, true)
			ch, ok := c.Difference(content(n))
			if !ok {
				t.Fatal("the head differs")
			}
			next, err := c.Changed(ch)
			if err != nil { // a MAC twice in the same spelling: never a content
				continue
			}
			_, want := Want(next, nil)
			err = s.CheckChange(c, ch)
			if err == nil {
				err = claims.Check(next, ch)
			}
			var field *dataplane.FieldError
			if (err == nil) != (want == nil) || err != nil && !errors.As(err, &field) {
				t.Fatalf("the change: %v; the whole: %v", err, want)
			}
			if err == nil {
				claims.Take(ch)
				c = next
			}
		}
	})
}

// TestChangeIsApply: after changes a server has what one has to which the last
// content was applied, and remembers the same.
func TestChangeIsApply(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := guestNetwork()
		n.Bindings = anyBindings(rt, false)
		changed, links := testServer(t)
		applied, _ := testServer(t)
		c := content(n)
		at := dataplane.Links{n.Interface: "eth2"}
		for _, s := range []*Server{changed, applied} {
			if err := s.Apply(t.Context(), c, at); err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			for _, s := range []*Server{changed, applied} {
				l := s.listeners[n.Interface]
				l.config.Load().bindings.each(func(b *binding) {
					l.memory.remember(decision{binding: b, kind: typeAck}, testTime)
				})
			}
			n.Bindings = anyBindings(rt, false)
			ch, _ := c.Difference(content(n))
			next, err := c.Changed(ch)
			if err != nil {
				rt.Fatal(err)
			}
			if err := errors.Join(changed.Change(t.Context(), next, ch, at), applied.Apply(t.Context(), next, at)); err != nil {
				rt.Fatal(err)
			}
			got, want := changed.listeners[n.Interface].config.Load(), applied.listeners[n.Interface].config.Load()
			if !reflect.DeepEqual(tableOf(got), tableOf(want)) || got.Len() != want.Len() || !reflect.DeepEqual(got.options, want.options) {
				rt.Fatalf("after the change %v, applied %v", tableOf(got), tableOf(want))
			}
			if !reflect.DeepEqual(changed.Leases(), applied.Leases()) {
				rt.Fatalf("remembered: %v, applied %v", changed.Leases(), applied.Leases())
			}
			if err := changed.Apply(t.Context(), next, at); err != nil || changed.listeners[n.Interface].config.Load() != got {
				rt.Fatalf("applied again is not the same: %v", err)
			}
			c = next
		}
		if links.opens() != 1 {
			rt.Fatalf("%d sockets opened", links.opens())
		}
	})
}

// TestChangeElsewhere: what is not served is refused, so that all is applied.
func TestChangeElsewhere(t *testing.T) {
	s, _ := testServer(t)
	c := content(guestNetwork())
	ch := agentv1.Change{DHCP: []agentv1.BindingsEdit{{Interface: routerMAC}, {Interface: routerMAC}}}
	if err := s.Change(t.Context(), c, ch, nil); err == nil {
		t.Error("a network that is not served is changed")
	}
	if err := s.CheckChange(c, ch); err == nil || !strings.HasPrefix(err.Error(), "/change/dhcp/1/interface") {
		t.Errorf("changed twice: %v", err)
	}
	ch.DHCP[0].Interface = strayMAC
	if err := s.CheckChange(c, ch); err == nil || !strings.HasPrefix(err.Error(), "/change/dhcp/0/interface") {
		t.Errorf("no such network: %v", err)
	}
}
