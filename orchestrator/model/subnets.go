package model

import (
	"crypto/rand"
	"iter"
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
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

// CapacityOf counts the addresses of an L3 network's ranges, without reserved
// ones: used + free = total.
func CapacityOf(v *View, l3 string) (v1.Capacity, error) {
	if _, err := need[v1.L3Network](v, l3); err != nil {
		return v1.Capacity{}, err
	}
	total, used := poolOf(v, l3).Capacity(usedOf(v, l3))
	return v1.Capacity{Total: total, Used: used, Free: total - used}, nil
}

// FreeIPs are the lowest free addresses of an L3 network, limit at most.
func FreeIPs(v *View, l3 string, limit int) ([]netip.Addr, error) {
	if _, err := need[v1.L3Network](v, l3); err != nil {
		return nil, err
	}
	free := []netip.Addr{}
	if limit <= 0 {
		return free, nil
	}
	for ip := range poolOf(v, l3).Free(usedOf(v, l3)) {
		if free = append(free, ip); len(free) >= limit {
			break
		}
	}
	return free, nil
}

func poolOf(v *View, l3 string) ipam.Pool {
	var p ipam.Pool
	for r := range Related[v1.IPRange](v, RangesOfL3, l3) {
		p.Ranges = append(p.Ranges, v1.AddressRange{StartIP: r.StartIP, EndIP: r.EndIP})
	}
	if n := Get[v1.L3Network](v, l3); n != nil {
		p.Reserved = n.ReservedRanges
	}
	return p
}

func usedOf(v *View, l3 string) ipam.Used {
	return func(from netip.Addr) iter.Seq[netip.Addr] {
		return func(yield func(netip.Addr) bool) {
			for ip := range v.UsedAddresses(l3, from) {
				if !yield(ip) {
					return
				}
			}
		}
	}
}

// allocateIP is the address asked for, or the first free one if none is.
func allocateIP(v *View, l3 *v1.L3Network, asked string) (netip.Addr, error) {
	pool := poolOf(v, l3.UUID)
	if len(pool.Ranges) == 0 {
		return netip.Addr{}, v1.Refused("no-ip-range", "L3 network %q has no ip range; add one with `sluice l3-network add-ip-range`", l3.Name).On(l3.UUID)
	}
	if asked != "" {
		return askedIP(v, l3, pool, asked)
	}
	ip, ok := pool.First(usedOf(v, l3.UUID))
	if !ok {
		return netip.Addr{}, v1.Conflict("no-free-address", "L3 network %q has no free address left; add an ip range, or delete what is unused", l3.Name).On(l3.UUID)
	}
	return ip, nil
}

func askedIP(v *View, l3 *v1.L3Network, pool ipam.Pool, asked string) (netip.Addr, error) {
	ip, err := v1.ParseIPv4("ip", asked)
	if err != nil {
		return netip.Addr{}, err
	}
	switch owner := v.AddressOwner(l3.UUID, ip); {
	case !pool.InRange(ip):
		return netip.Addr{}, v1.Refused("address-outside-ranges", "%s is in no range of L3 network %q; ask for one that is, or leave it out", ip, l3.Name).On(l3.UUID)
	case pool.IsReserved(ip):
		return netip.Addr{}, v1.Refused("address-reserved", "%s of L3 network %q is reserved; ask for another", ip, l3.Name).On(l3.UUID)
	case owner != "":
		return netip.Addr{}, v1.Conflict("address-in-use", "%s of L3 network %q is in use; ask for another, or leave it out", ip, l3.Name).On(owner)
	}
	return ip, nil
}

// allocateMAC is the MAC asked for, or a new one. also are MACs chosen in the
// same request.
func allocateMAC(v *View, asked string, also map[string]bool) (string, error) {
	if asked == "" {
		return ipam.MAC(rand.Reader, func(mac string) bool { return also[mac] || v.MACOwner(mac) != "" })
	}
	mac, err := v1.ParseMAC(asked)
	if err != nil {
		return "", err
	}
	if owner := v.MACOwner(mac); owner != "" {
		return "", v1.Conflict("mac-in-use", "MAC %s is in use; ask for another, or leave it out", mac).On(owner)
	}
	if also[mac] {
		return "", v1.Refused("mac-in-use", "MAC %s is asked for twice; ask for another, or leave it out", mac)
	}
	return mac, nil
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
