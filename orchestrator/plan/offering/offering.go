// Package offering chooses the virtual router offering for a guest L3 network.
// It is pure.
package offering

import (
	"iter"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Choose picks among the offerings of the network's zone: an Enabled one that
// is tagged for the network, else the one that the network's own tag names,
// else the zone's Enabled default, else any other Enabled one (the first in
// the order given). It refuses with no-default-offering if there is none, with
// no-public-network if SNAT is wanted and the choice has no public network,
// and with public-network-is-guest if SNAT would go out by the network itself.
func Choose(offerings iter.Seq[*v1.VirtualRouterOffering], l3 *v1.L3Network) (*v1.VirtualRouterOffering, error) {
	enabled := slices.DeleteFunc(slices.Collect(offerings), func(o *v1.VirtualRouterOffering) bool {
		return o.State != v1.Enabled || o.ZoneUUID != l3.ZoneUUID
	})
	if len(enabled) == 0 {
		return nil, v1.Refused("no-default-offering",
			"no Enabled virtual router offering in zone %s for L3 network %q; make one with `sluice virtual-router-offering create`", l3.ZoneUUID, l3.Name).On(l3.UUID, l3.ZoneUUID)
	}
	chosen := best(enabled, l3)
	return chosen, checkPublic(chosen, l3)
}

func best(enabled []*v1.VirtualRouterOffering, l3 *v1.L3Network) *v1.VirtualRouterOffering {
	preferences := []func(*v1.VirtualRouterOffering) bool{
		func(o *v1.VirtualRouterOffering) bool { return names(o.SystemTags, v1.TagGuestL3Network, l3.UUID) },
		func(o *v1.VirtualRouterOffering) bool {
			return names(l3.SystemTags, v1.TagVirtualRouterOffering, o.UUID)
		},
		func(o *v1.VirtualRouterOffering) bool { return o.IsDefault },
	}
	for _, prefers := range preferences {
		if i := slices.IndexFunc(enabled, prefers); i >= 0 {
			return enabled[i]
		}
	}
	return enabled[0]
}

func checkPublic(o *v1.VirtualRouterOffering, l3 *v1.L3Network) error {
	if !l3.HasService(v1.SNAT) {
		return nil
	}
	switch o.PublicNetworkUUID {
	case "":
		return v1.Refused("no-public-network",
			"L3 network %q wants SNAT, but offering %q has no public network; name one in the offering", l3.Name, o.Name).On(l3.UUID, o.UUID)
	case l3.UUID:
		return v1.Refused("public-network-is-guest",
			"L3 network %q wants SNAT and is itself the public network of offering %q; choose another public network or detach SNAT", l3.Name, o.Name).On(l3.UUID, o.UUID)
	}
	return nil
}

func names(tags []string, pattern, uuid string) bool {
	return slices.ContainsFunc(v1.TagValues(tags, pattern), func(args []string) bool { return args[0] == uuid })
}
