package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// everywhere is the prefix of a default route.
var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// checkStaticRoutes holds a nic's own routes against its network: next hops are
// other hosts of the nic's subnet (next-hop-not-on-nic), a prefix stands once
// (duplicate-static-route), and the default route is the default nic's
// (default-route-not-on-default-nic).
func checkStaticRoutes(v *View, nic *v1.VMNic) error {
	if n := len(nic.StaticRoutes); n > MaxHostRoutes {
		return v1.Refused("too-many-static-routes", "%d static routes of a nic; at most %d fit", n, MaxHostRoutes)
	}
	subnet, _ := SubnetOf(v, nic.L3NetworkUUID)
	seen := map[netip.Prefix]bool{}
	for _, r := range nic.StaticRoutes {
		if r.Prefix == everywhere && !nic.IsDefault {
			return v1.Refused("default-route-not-on-default-nic", "nic %q is not the default one of its VM, so it has no route to %s; give the route to the default nic", nic.Name, r.Prefix).On(nic.L3NetworkUUID)
		}
		if r.Prefix != everywhere {
			if err := v1.ValidateCIDR("prefix", r.Prefix); err != nil {
				return err
			}
		}
		if seen[r.Prefix] {
			return v1.Refused("duplicate-static-route", "static route %s is given twice; give each prefix once", r.Prefix)
		}
		seen[r.Prefix] = true
		if err := v1.ValidateIPv4("nexthop", r.NextHop); err != nil {
			return err
		}
		if !subnet.IsHost(r.NextHop) || r.NextHop == nic.IP {
			return v1.Refused("next-hop-not-on-nic", "next hop %s of static route %s is no other host of %s, the nic's subnet; route by one that is", r.NextHop, r.Prefix, subnet).On(nic.L3NetworkUUID)
		}
	}
	return nil
}
