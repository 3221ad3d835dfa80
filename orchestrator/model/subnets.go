package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Subnet is what all ranges of an L3 network share.
type Subnet struct {
	CIDR    netip.Prefix
	Gateway netip.Addr
}

// String is the CIDR, or says that there is none yet.
func (s Subnet) String() string {
	if !s.CIDR.IsValid() {
		return "no ip range yet"
	}
	return s.CIDR.String()
}

// IsHost reports whether the subnet has the address for a host to use: neither
// the network's own nor broadcast.
func (s Subnet) IsHost(ip netip.Addr) bool {
	return s.CIDR.Contains(ip) && ip != s.CIDR.Addr() && ip != broadcast(s.CIDR)
}

// SubnetOf is the subnet of an L3 network; false while it has no range.
func SubnetOf(v *View, l3 string) (Subnet, bool) {
	r := First[v1.IPRange](v, RangesOfL3, l3)
	if r == nil {
		return Subnet{}, false
	}
	return Subnet{CIDR: r.NetworkCIDR, Gateway: r.Gateway}, true
}

// ownerOnL2 is who has an address on any L3 network of an L2; empty if nobody.
func ownerOnL2(v *View, l2 string, ip netip.Addr) string {
	for l3 := range Related[v1.L3Network](v, L3sOfL2, l2) {
		if owner := v.AddressOwner(l3.UUID, ip); owner != "" {
			return owner
		}
	}
	return ""
}

// broadcast is the last address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
