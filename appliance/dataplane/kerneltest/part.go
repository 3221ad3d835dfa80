package kerneltest

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// changesPart: a change of a part leaves what applying the whole would, and is
// not taken once somebody else has changed something.
func changesPart(b *bench) {
	w := WantAll()
	b.apply(w)
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	moved, late := w.EIPs[0], dataplane.EIP{VIP: addr("203.0.113.70"), Guest: addr("10.0.0.70"), Order: 3}
	moved.Guest = addr("10.0.0.71")
	narrower := w.Forwards[2]
	narrower.Last = narrower.First
	vip := func(ip string) dataplane.Address {
		return dataplane.Address{Link: "p0", Prefix: prefix(ip + "/32"), Owner: "eip"}
	}
	next := w
	next.EIPs = []dataplane.EIP{moved, late}
	next.Forwards = append(slices.Clone(w.Forwards[:2]), narrower)
	next.Addresses = append(slices.DeleteFunc(slices.Clone(w.Addresses), func(a dataplane.Address) bool { return a.Prefix == prefix("203.0.113.51/32") }), vip("203.0.113.70"))
	forth := dataplane.Edit{
		Remove: dataplane.Want{EIPs: w.EIPs, Forwards: w.Forwards[2:], Addresses: []dataplane.Address{vip("203.0.113.50"), vip("203.0.113.51")}},
		Add:    dataplane.Want{EIPs: next.EIPs, Forwards: next.Forwards[2:], Addresses: []dataplane.Address{vip("203.0.113.50"), vip("203.0.113.70")}},
	}
	once := func(e dataplane.Edit) (r dataplane.Reached, err error) {
		b.Enter(func() { r, err = b.plane.Change(context.Background(), e) })
		return r, err
	}
	// Links that went up are told of for a second (net/core/link_watch.c), which
	// is somebody else's word; then the change goes over the whole and on.
	change := func(from dataplane.Want, e dataplane.Edit) (r dataplane.Reached, err error) {
		for range 5 {
			if r, err = once(e); !errors.Is(err, dataplane.ErrWhole) {
				break
			}
			b.apply(from)
		}
		return r, err
	}
	back := dataplane.Edit{Remove: forth.Add, Add: forth.Remove}
	for range 3 { // the kernel's word of our own changes is not taken for others'
		for i, e := range []dataplane.Edit{forth, {}, back, {}} {
			r, err := change([]dataplane.Want{w, next, next, w}[i], e)
			if empty := len(e.Add.EIPs) == 0; err != nil || (r.Writes == 0) != empty {
				b.t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	if _, err := change(w, forth); err != nil {
		b.t.Fatal(err)
	}
	b.is(next) // reads all anew
	b.apply(next)
	if _, err := change(next, back); err != nil {
		b.t.Fatal(err)
	}
	b.is(w)
	b.apply(w)
	b.Disturb(b.t, "delete mapping")
	if _, err := once(forth); !errors.Is(err, dataplane.ErrWhole) {
		b.t.Errorf("after a stranger: %v", err)
	}
	b.apply(next)
	b.is(next)
}
