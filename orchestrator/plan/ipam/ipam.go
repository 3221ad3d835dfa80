// Package ipam chooses addresses and MACs. It is pure: what is taken comes in
// as an iterator, the choice goes out as a value, and nothing is remembered.
package ipam

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Pool is what an L3 network may hand out: its ranges without its reserved
// ranges. Both may come in any order; ranges do not overlap each other.
type Pool struct {
	Ranges   []v1.AddressRange
	Reserved []v1.AddressRange
}

// Used yields the addresses taken, ascending, from an address on. Addresses
// outside the pool may be among them.
type Used func(from netip.Addr) iter.Seq[netip.Addr]

// Free yields the free addresses of the pool, ascending. It is lazy: the first
// few cost little in a large pool.
func (p Pool) Free(used Used) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, s := range p.spans() {
			if !freeIn(s, used, yield) {
				return
			}
		}
	}
}

// freeIn yields the free addresses of one span; false: the reader had enough.
func freeIn(s v1.AddressRange, used Used, yield func(netip.Addr) bool) bool {
	next := s.StartIP
	for u := range used(s.StartIP) {
		if s.EndIP.Less(u) {
			break
		}
		for ; next.Less(u); next = next.Next() {
			if !yield(next) {
				return false
			}
		}
		next = u.Next()
	}
	for ; next.IsValid() && !s.EndIP.Less(next); next = next.Next() {
		if !yield(next) {
			return false
		}
	}
	return true
}

// First is the lowest free address; false if the pool is used up.
func (p Pool) First(used Used) (netip.Addr, bool) {
	for ip := range p.Free(used) {
		return ip, true
	}
	return netip.Addr{}, false
}

// Capacity counts the pool's addresses, and how many of them are taken.
func (p Pool) Capacity(used Used) (total, taken int64) {
	for _, s := range p.spans() {
		total += size(s)
		for u := range used(s.StartIP) {
			if s.EndIP.Less(u) {
				break
			}
			taken++
		}
	}
	return total, taken
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

// size counts by the low 64 bits, which is exact for IPv4.
func size(r v1.AddressRange) int64 {
	a, b := r.StartIP.As16(), r.EndIP.As16()
	return int64(binary.BigEndian.Uint64(b[8:])-binary.BigEndian.Uint64(a[8:])) + 1
}
