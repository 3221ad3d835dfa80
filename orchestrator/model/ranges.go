package model

import (
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
)

// AddIPRange adds a range, or the one or two that a CIDR gives, to an L3
// network. All checks of all ranges come before the first is stored.
func AddIPRange(tx *Tx, l3UUID string, req v1.AddIPRange) ([]*v1.IPRange, error) {
	meta, err := newMeta(tx.View, IPRanges, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	meta.AccountUUID = l3.AccountUUID
	asked, err := parseRange(req)
	if err != nil {
		return nil, err
	}
	if err := checkRange(tx.View, l3, asked); err != nil {
		return nil, err
	}
	ranges := make([]*v1.IPRange, len(asked.ranges))
	for i, r := range asked.ranges {
		ranges[i] = &v1.IPRange{
			Meta: meta, L3NetworkUUID: l3UUID, StartIP: r.StartIP, EndIP: r.EndIP,
			Netmask: v1.Netmask(asked.CIDR), Gateway: asked.Gateway, NetworkCIDR: asked.CIDR,
		}
		meta.UUID = "" // the caller's own is for the first
	}
	return ranges, tx.atomic(func() error {
		for _, r := range ranges {
			if err := tx.Create(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkRange holds new ranges against what the L2, the L3 and routers have.
func checkRange(v *View, l3 *v1.L3Network, asked rangeRequest) error {
	if have, ok := SubnetOf(v, l3.UUID); ok && have != asked.Subnet {
		return v1.Refused("range-other-subnet", "L3 network %q is %s with gateway %s; all its ranges share both, so add %s with gateway %s to another L3 network",
			l3.Name, have.CIDR, have.Gateway, asked.CIDR, asked.Gateway).On(l3.UUID)
	}
	if ipam.Within(asked.ranges, l3.RouterInterfaceIP) {
		return v1.Refused("router-ip-in-range", "the range holds routerInterfaceIp %s of L3 network %q; leave it outside", l3.RouterInterfaceIP, l3.Name).On(l3.UUID)
	}
	for other := range Related[v1.L3Network](v, L3sOfL2, l3.L2NetworkUUID) {
		if err := checkNeighbour(v, other, asked); err != nil {
			return err
		}
	}
	return checkOverlaps(v, l3, asked.CIDR)
}

// checkNeighbour holds new ranges against those of one L3 network on the L2,
// which may be the same one. Gateways and routers' addresses must stay outside
// each other's ranges too, because all share one wire.
func checkNeighbour(v *View, other *v1.L3Network, asked rangeRequest) error {
	for r := range Related[v1.IPRange](v, RangesOfL3, other.UUID) {
		have := v1.AddressRange{StartIP: r.StartIP, EndIP: r.EndIP}
		if slices.ContainsFunc(asked.ranges, func(a v1.AddressRange) bool { return ipam.Overlap(a, have) }) {
			return v1.Conflict("range-overlaps", "the range overlaps %s to %s of L3 network %q on the same L2; choose another", r.StartIP, r.EndIP, v.nameFor(other)).On(r.UUID)
		}
		if ipam.Within(asked.ranges, r.Gateway) || ipam.Within([]v1.AddressRange{have}, asked.Gateway) {
			return v1.Conflict("gateway-in-range", "a gateway (%s, %s) lies in a range of the other network %q on the same L2; choose another", asked.Gateway, r.Gateway, v.nameFor(other)).On(r.UUID)
		}
	}
	if ipam.Within(asked.ranges, other.RouterInterfaceIP) {
		return v1.Conflict("router-ip-in-range", "the range holds routerInterfaceIp %s of L3 network %q; leave it outside", other.RouterInterfaceIP, v.nameFor(other)).On(other.UUID)
	}
	return nil
}

// checkOverlaps refuses a subnet that meets another one in a router or in an
// offering that has both.
func checkOverlaps(v *View, l3 *v1.L3Network, cidr netip.Prefix) error {
	for r := range Related[v1.VirtualRouter](v, RoutersOnL3, l3.UUID) {
		for _, nic := range r.Nics {
			if nic.L3NetworkUUID != l3.UUID && nic.Prefix.Overlaps(cidr) {
				return subnetsOverlap(l3, cidr, nic.L3NetworkUUID, nic.Prefix).On(r.UUID)
			}
		}
	}
	for o := range Related[v1.VirtualRouterOffering](v, OfferingsOfZone, l3.ZoneUUID) {
		pair := []string{o.ManagementNetworkUUID, o.PublicNetworkUUID}
		if !slices.Contains(pair, l3.UUID) {
			continue
		}
		for _, other := range pair {
			if s, ok := SubnetOf(v, other); ok && other != l3.UUID && s.CIDR.Overlaps(cidr) {
				return subnetsOverlap(l3, cidr, other, s.CIDR).On(o.UUID)
			}
		}
	}
	return nil
}

func subnetsOverlap(l3 *v1.L3Network, cidr netip.Prefix, other string, otherCIDR netip.Prefix) *v1.Error {
	return v1.Refused("subnets-overlap", "%s of L3 network %q overlaps %s of L3 network %s, and one router has nics on both; choose another CIDR",
		cidr, l3.Name, otherCIDR, other).On(l3.UUID, other)
}
