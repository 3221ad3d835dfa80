// Package ipam chooses addresses and MACs. It is pure: what is taken comes in
// as a sorted list, the choice goes out as a value, and nothing is remembered.
//
// Nothing here walks over addresses. In a sorted list of distinct addresses
// that are taken, the i-th of them from s on has, below it, as many free ones
// as it is more than i away from s. That number never falls as i grows, so the
// n-th free address is found by halving the list, be the range full or empty.
package ipam

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"sort"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Pool is what an L3 network may hand out: its ranges without its reserved
// ranges. Both may come in any order; ranges do not overlap each other.
type Pool struct {
	Ranges   []v1.AddressRange
	Reserved []v1.AddressRange
}

// Used is the list of the addresses taken, ascending and each once. Addresses
// outside the pool may be among them.
type Used interface {
	// Below is how many of them are lower than ip.
	Below(ip netip.Addr) int
	// At is the i-th, from 0; the zero Addr at the end of the list.
	At(i int) netip.Addr
}

// Nth is the n-th free address of the pool, ascending from 0; false if there
// are not so many.
func (p Pool) Nth(used Used, n int64) (netip.Addr, bool) {
	for _, s := range p.spans() {
		free := size(s) - int64(taken(s, used))
		if n < free {
			return nthIn(s, used, n), true
		}
		n -= free
	}
	return netip.Addr{}, false
}

// First is the lowest free address; false if the pool is used up.
func (p Pool) First(used Used) (netip.Addr, bool) { return p.Nth(used, 0) }

// After is the lowest free address above ip, or the lowest of all if there is
// none: a walk in circles. False if the pool is used up.
func (p Pool) After(used Used, ip netip.Addr) (netip.Addr, bool) {
	var below int64 // free addresses not above ip
	for _, s := range p.spans() {
		if s.EndIP = lower(s.EndIP, ip); !s.EndIP.Less(s.StartIP) {
			below += size(s) - int64(taken(s, used))
		}
	}
	if next, ok := p.Nth(used, below); ok {
		return next, true
	}
	return p.First(used)
}

// Free yields the free addresses of the pool, ascending. It is lazy: the first
// few cost little in a large pool.
func (p Pool) Free(used Used) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, s := range p.spans() {
			for n := range size(s) - int64(taken(s, used)) {
				if !yield(nthIn(s, used, n)) {
					return
				}
			}
		}
	}
}

// nthIn is the n-th free address of a span that has more than n.
func nthIn(s v1.AddressRange, used Used, n int64) netip.Addr {
	first := used.Below(s.StartIP)
	skipped := sort.Search(taken(s, used), func(i int) bool { return distance(s.StartIP, used.At(first+i))-int64(i) > n })
	return offset(s.StartIP, n+int64(skipped))
}

func taken(s v1.AddressRange, used Used) int {
	end := used.Below(s.EndIP)
	if used.At(end) == s.EndIP {
		end++
	}
	return end - used.Below(s.StartIP)
}

// Capacity counts the pool's addresses, and how many of them are taken.
func (p Pool) Capacity(used Used) (total, inUse int64) {
	for _, s := range p.spans() {
		total += size(s)
		inUse += int64(taken(s, used))
	}
	return total, inUse
}

// InRange reports whether a range holds the address, reserved or not.
func (p Pool) InRange(ip netip.Addr) bool { return Within(p.Ranges, ip) }

// IsReserved reports whether a reserved range holds the address.
func (p Pool) IsReserved(ip netip.Addr) bool { return Within(p.Reserved, ip) }

// Within reports whether one of the ranges holds the address.
func Within(ranges []v1.AddressRange, ip netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r v1.AddressRange) bool { return holds(r, ip) })
}

// Overlap reports whether two ranges share an address.
func Overlap(a, b v1.AddressRange) bool {
	return !a.EndIP.Less(b.StartIP) && !b.EndIP.Less(a.StartIP)
}

// spans are the ranges, sorted, with the reserved addresses cut out.
func (p Pool) spans() []v1.AddressRange {
	spans := sorted(p.Ranges)
	for _, cut := range p.Reserved {
		var left []v1.AddressRange
		for _, s := range spans {
			left = append(left, without(s, cut)...)
		}
		spans = left
	}
	return spans
}

func without(s, cut v1.AddressRange) []v1.AddressRange {
	if !Overlap(s, cut) {
		return []v1.AddressRange{s}
	}
	var left []v1.AddressRange
	if s.StartIP.Less(cut.StartIP) {
		left = append(left, v1.AddressRange{StartIP: s.StartIP, EndIP: cut.StartIP.Prev()})
	}
	if cut.EndIP.Less(s.EndIP) {
		left = append(left, v1.AddressRange{StartIP: cut.EndIP.Next(), EndIP: s.EndIP})
	}
	return left
}

func sorted(ranges []v1.AddressRange) []v1.AddressRange {
	return slices.SortedFunc(slices.Values(ranges), func(a, b v1.AddressRange) int { return a.StartIP.Compare(b.StartIP) })
}

func holds(r v1.AddressRange, ip netip.Addr) bool {
	return ip.IsValid() && !ip.Less(r.StartIP) && !r.EndIP.Less(ip)
}

func lower(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}

func size(r v1.AddressRange) int64 { return distance(r.StartIP, r.EndIP) + 1 }

// distance from a to b counts by the low 64 bits, which is exact for IPv4.
func distance(a, b netip.Addr) int64 {
	x, y := a.As16(), b.As16()
	return int64(binary.BigEndian.Uint64(y[8:]) - binary.BigEndian.Uint64(x[8:]))
}

// offset is the address n above a, which is in the same span.
func offset(a netip.Addr, n int64) netip.Addr {
	b := a.As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+uint64(n))
	if a.Is6() {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom16(b).Unmap()
}
