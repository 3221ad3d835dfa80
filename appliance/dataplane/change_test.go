package dataplane_test

import (
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"pgregory.net/rapid"
)

// mapped draws mappings of few addresses and guests, so that they meet: EIPs and
// forwards of one address, several EIPs of a guest, ports open and limited.
func mapped(t *rapid.T, ways bool) dataplane.Want {
	w := kerneltest.WantAll()
	if ways {
		w.Nics = append(w.Nics, dataplane.Nic{Link: "p1", Public: true, MTU: 1500, NextHop: netip.MustParseAddr("192.88.99.1"), Owner: "interfaces"})
		w.Addresses = append(w.Addresses, dataplane.Address{Link: "p1", Prefix: netip.MustParsePrefix("192.88.99.2/24"), Owner: "interfaces"})
	}
	w.EIPs, w.Forwards = nil, nil
	w.Addresses = slices.DeleteFunc(w.Addresses, func(a dataplane.Address) bool { return a.Prefix.IsSingleIP() })
	if rapid.IntRange(0, 9).Draw(t, "SNAT") == 0 {
		w.SNAT = nil
	}
	carry := func(vip netip.Addr) {
		link := "p0"
		if ways && vip.As4()[3]%2 == 1 {
			link = "p1"
		}
		w.Addresses = append(w.Addresses, dataplane.Address{Link: link, Prefix: netip.PrefixFrom(vip, 32), Owner: "eip"})
	}
	vip := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, 50 + n}) }
	guest := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(10, 13).Draw(t, "guest")})
	}
	for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(0, 5), 0, 5, rapid.ID).Draw(t, "EIPs") {
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip(n), Guest: guest(), Order: rapid.Int64Range(0, 2).Draw(t, "order"), Owner: "eip"})
		carry(vip(n))
	}
	for _, slot := range rapid.SliceOfNDistinct(rapid.ByteRange(0, 11), 0, 6, rapid.ID).Draw(t, "forwards") {
		first := 80 + 10*uint16(slot/6)
		f := dataplane.Forward{VIP: vip(slot % 6), Protocol: "tcp", First: first, Last: first + rapid.Uint16Range(0, 2).Draw(t, "ports"),
			Guest: guest(), To: rapid.Uint16Range(1, 3).Draw(t, "to"), Owner: "port-forwarding"}
		if rapid.Bool().Draw(t, "limited") {
			f.Allowed = netip.PrefixFrom(netip.MustParseAddr("198.51.100.0"), rapid.IntRange(24, 25).Draw(t, "bits"))
		}
		w.Forwards = append(w.Forwards, f)
		if w.Forwards[len(w.Forwards)-1].VIP = f.VIP; slot%6 == 5 {
			w.Forwards[len(w.Forwards)-1].VIP = netip.MustParseAddr("203.0.113.2") // the router's own
		} else {
			carry(f.VIP)
		}
	}
	return w
}

func merged(t *rapid.T, w dataplane.Want) dataplane.Want {
	m, err := dataplane.Merge(map[string]dataplane.Want{"all": w})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func without[T comparable](all, those []T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return slices.Contains(those, x) })
}

// edit is what services say of two wants: an address with each mapping.
func edit(was, is dataplane.Want) (e dataplane.Edit) {
	e.Remove.EIPs, e.Add.EIPs = without(was.EIPs, is.EIPs), without(is.EIPs, was.EIPs)
	e.Remove.Forwards, e.Add.Forwards = without(was.Forwards, is.Forwards), without(is.Forwards, was.Forwards)
	for _, side := range []*dataplane.Want{&e.Remove, &e.Add} {
		vips := []netip.Addr{}
		for _, x := range side.EIPs {
			vips = append(vips, x.VIP)
		}
		for _, x := range side.Forwards {
			vips = append(vips, x.VIP)
		}
		for _, vip := range vips {
			for _, a := range slices.Concat(was.Addresses, is.Addresses) {
				if a.Prefix == netip.PrefixFrom(vip, 32) {
					side.Addresses = append(side.Addresses, a)
				}
			}
		}
	}
	return e
}

// flows are all there can be between few peers, as far as they go by a want.
func flows(w dataplane.Want) (all []dataplane.Flow) {
	stale := dataplane.Stale(dataplane.Planned(w), nil)
	at := netip.AddrPortFrom
	peer := at(netip.MustParseAddr("198.51.100.1"), 999)
	for v := range byte(7) {
		vip := netip.AddrFrom4([4]byte{203, 0, 113, 50 + v})
		if v == 6 {
			vip = netip.MustParseAddr("203.0.113.2")
		}
		for g := range byte(4) {
			guest := netip.AddrFrom4([4]byte{10, 0, 0, 10 + g})
			all = append(all, dataplane.Flow{Protocol: 6, From: at(guest, 5), To: peer, ReplyFrom: peer, ReplyTo: at(vip, 5)})
			for _, port := range []uint16{22, 80, 81, 90} {
				for _, to := range []uint16{port, 1, 2, 3} {
					all = append(all, dataplane.Flow{Protocol: 6, From: peer, To: at(vip, port), ReplyFrom: at(guest, to), ReplyTo: peer})
				}
			}
		}
	}
	return slices.DeleteFunc(all, stale)
}

// TestAChangeIsTheWhole: a change leaves exactly the kernel, and the connections,
// that applying all of what is wanted afterwards does.
func TestAChangeIsTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		macs := maps.Clone(kerneltest.MACs)
		macs["p1"] = "02:00:00:00:01:04"
		f, g := kerneltest.NewFake(macs), kerneltest.NewFake(macs)
		ways := rapid.Bool().Draw(t, "two ways out")
		f.Blunt = rapid.Bool().Draw(t, "blunt")
		changed, whole := dataplane.New(f, nil), dataplane.New(g, nil)
		last := mapped(t, ways)
		for _, p := range []*dataplane.Plane{changed, whole} {
			if _, err := p.Apply(t.Context(), merged(t, last)); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			next := mapped(t, ways)
			next.SNAT = last.SNAT
			f.Flows = flows(merged(t, last))
			g.Flows = slices.Clone(f.Flows)
			f.Announced, g.Announced = nil, nil
			_, err := changed.Change(t.Context(), edit(last, next))
			if errors.Is(err, dataplane.ErrWhole) && (last.SNAT == nil) {
				_, err = changed.Apply(t.Context(), merged(t, next))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := whole.Apply(t.Context(), merged(t, next)); err != nil {
				t.Fatal(err)
			}
			a, b := f.State, g.State
			a.Version, b.Version = 0, 0
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("changed:\n%s\nwhole:\n%s", a, b)
			}
			if !slices.Equal(f.Flows, g.Flows) {
				t.Fatalf("connections of the change:\n%v\nof the whole:\n%v", f.Flows, g.Flows)
			}
			if len(f.Announced) != len(g.Announced) {
				t.Fatalf("announced %v, want %v", f.Announced, g.Announced)
			}
			last = next
		}
	})
}

// TestAChangeKnowsItsLimits: whatever is not as it was left is the whole's.
func TestAChangeKnowsItsLimits(t *testing.T) {
	w := kerneltest.WantAll()
	move := func() dataplane.Edit {
		next := w
		next.EIPs = slices.Clone(w.EIPs)
		next.EIPs[0].Guest = netip.MustParseAddr("10.0.0.77")
		return edit(w, next)
	}
	for name, spoil := range map[string]func(*kerneltest.Fake, *dataplane.Plane) dataplane.Edit{
		"a stranger's address": func(f *kerneltest.Fake, _ *dataplane.Plane) dataplane.Edit {
			f.State.Addresses[dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("203.0.113.99/32")}] = dataplane.AddressState{}
			return move()
		},
		"a stranger's setting, while nothing changes": func(f *kerneltest.Fake, _ *dataplane.Plane) dataplane.Edit {
			f.State.Sysctls["net/ipv4/ip_forward"] = "0"
			return dataplane.Edit{}
		},
		"a mapping that is not there": func(*kerneltest.Fake, *dataplane.Plane) dataplane.Edit {
			e := move()
			e.Remove.EIPs[0].Guest = netip.MustParseAddr("10.0.0.78")
			return e
		},
		"an address on a guest's side": func(*kerneltest.Fake, *dataplane.Plane) dataplane.Edit {
			return dataplane.Edit{Add: dataplane.Want{Addresses: []dataplane.Address{{Link: "g0", Prefix: netip.MustParsePrefix("203.0.113.70/32")}}}}
		},
		"a resync": func(_ *kerneltest.Fake, p *dataplane.Plane) dataplane.Edit { p.Resync(); return dataplane.Edit{} },
	} {
		f := kerneltest.NewFake(kerneltest.MACs)
		p := dataplane.New(f, nil)
		if _, err := p.Apply(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		e := spoil(f, p)
		for range 2 { // and stays so until an apply
			if _, err := p.Change(t.Context(), e); !errors.Is(err, dataplane.ErrWhole) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := p.Apply(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Change(t.Context(), dataplane.Edit{}); err != nil {
			t.Errorf("%s, after an apply: %v", name, err)
		}
	}
}

// TestAChangeAcrossManyAddresses: with the address that makes them many, all
// become routes, which is no change of a few; before and behind, it is.
func TestAChangeAcrossManyAddresses(t *testing.T) {
	for n, whole := range map[int]bool{900: false, 997: false, 998: true, 999: false} {
		was, is := kerneltest.WantMany(n), kerneltest.WantMany(n+1) // of two more
		for _, way := range [][2]dataplane.Want{{was, is}, {is, was}} {
			f := kerneltest.NewFake(kerneltest.MACs)
			p := dataplane.New(f, nil)
			if _, err := p.Apply(t.Context(), way[0]); err != nil {
				t.Fatal(err)
			}
			e := dataplane.Edit{}
			added := dataplane.Want{EIPs: is.EIPs[n+2:], Addresses: is.Addresses[len(is.Addresses)-1:]}
			if e.Add = added; len(way[1].EIPs) < len(way[0].EIPs) {
				e.Add, e.Remove = dataplane.Want{}, added
			}
			_, err := p.Change(t.Context(), e)
			if (err != nil) != whole || whole && !errors.Is(err, dataplane.ErrWhole) {
				t.Errorf("%d addresses, and one: %v", n+2, err)
			}
			if whole {
				if _, err = p.Apply(t.Context(), way[1]); err != nil {
					t.Fatal(err)
				}
			}
			if left := dataplane.Diff(f.State, dataplane.Render(way[1])); len(left) > 0 {
				t.Errorf("%d addresses, and one: left are %v", n+2, left)
			}
		}
	}
}
