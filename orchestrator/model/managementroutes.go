package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// checkManagementRoutes holds the host routes of a System network, which lead
// routers to orchestrators off it, against a router with nics on these
// networks: next hops are hosts of the management subnet
// (next-hop-not-on-management), and none leads to a part of a network that the
// router is on (management-route-overlaps). A wider one is fine.
func checkManagementRoutes(l3 *v1.L3Network, management Subnet, on ...netip.Prefix) error {
	if l3.Category != v1.System {
		return nil
	}
	for _, r := range l3.HostRoutes {
		if !management.IsHost(r.NextHop) {
			return v1.Refused("next-hop-not-on-management", "next hop %s of host route %s is no host of %s, the subnet of management network %q; route by one that is", r.NextHop, r.Prefix, management, l3.Name).On(l3.UUID)
		}
		for _, p := range on {
			if r.Prefix.Bits() >= p.Bits() && p.Contains(r.Prefix.Addr()) {
				return v1.Refused("management-route-overlaps", "host route %s of management network %q leads to a part of %s, which a router has a nic on; routers take host routes of System networks for the way to orchestrators", r.Prefix, l3.Name, p).On(l3.UUID)
			}
		}
	}
	return nil
}

// checkRoutersRoutes holds changed host routes against the routers that take
// them, and offerings that new routers will be made with.
func checkRoutersRoutes(v *View, l3 *v1.L3Network) error {
	subnet, ok := SubnetOf(v, l3.UUID)
	if !ok {
		return nil
	}
	for o := range Related[v1.VirtualRouterOffering](v, OfferingsOfZone, l3.ZoneUUID) {
		if public, ok := SubnetOf(v, o.PublicNetworkUUID); ok && o.ManagementNetworkUUID == l3.UUID {
			if err := checkManagementRoutes(l3, subnet, subnet.CIDR, public.CIDR); err != nil {
				return err
			}
		}
	}
	for r := range Related[v1.VirtualRouter](v, RoutersOnL3, l3.UUID) {
		if r.WantedState == v1.StateDestroyed || !r.Nics[0].HasRole(RoleManagement) || r.Nics[0].L3NetworkUUID != l3.UUID {
			continue
		}
		if err := checkManagementRoutes(l3, subnet, prefixesOf(r.Nics)...); err != nil {
			return err
		}
	}
	return nil
}

func prefixesOf(nics []v1.RouterNic) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range nics {
		all = append(all, n.Prefix)
	}
	return all
}
