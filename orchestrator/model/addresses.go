package model

import (
	"iter"
	"net/netip"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model/tree"
)

// addresses are the addresses in use, by L3 network, address and owner.
type addresses struct{ tree.Of[holding] }

// holding is an address with who has it.
type holding struct {
	l3    string
	ip    netip.Addr
	owner v1.Resource
}

// Compare is by L3 network, address and owner; no owner comes before all.
func (h holding) Compare(o holding) int {
	if c := strings.Compare(h.l3, o.l3); c != 0 {
		return c
	}
	if c := h.ip.Compare(o.ip); c != 0 {
		return c
	}
	return strings.Compare(uuidOf(h.owner), uuidOf(o.owner))
}

// ofL3 are the holdings of one L3 network, for package ipam.
func (a addresses) ofL3(l3 string) usedInL3 {
	return usedInL3{a, l3, a.Before(holding{l3: l3})}
}

// usedInL3 implements ipam.Used.
type usedInL3 struct {
	addresses
	l3    string
	first int // how many are before those of the L3 network
}

// Below is how many are lower than ip.
func (u usedInL3) Below(ip netip.Addr) int { return u.Before(holding{l3: u.l3, ip: ip}) - u.first }

// At is the i-th; the zero Addr at the end.
func (u usedInL3) At(i int) netip.Addr {
	if h, ok := u.addresses.At(u.first + i); ok && h.l3 == u.l3 {
		return h.ip
	}
	return netip.Addr{}
}

// AddressOwner is the UUID of the nic, VIP or router that has an address of an
// L3 network; empty if nobody.
func (v *View) AddressOwner(l3 string, ip netip.Addr) string {
	for have, owner := range v.UsedAddresses(l3, ip) {
		if have == ip {
			return owner
		}
		break
	}
	return ""
}

// UsedAddresses yields the addresses of an L3 network in use with their owners,
// ascending, from an address on.
func (v *View) UsedAddresses(l3 string, from netip.Addr) iter.Seq2[netip.Addr, string] {
	return func(yield func(netip.Addr, string) bool) {
		for h := range v.addresses.From(holding{l3: l3, ip: from}) {
			if h.l3 != l3 || !yield(h.ip, h.owner.GetMeta().UUID) {
				return
			}
		}
	}
}
