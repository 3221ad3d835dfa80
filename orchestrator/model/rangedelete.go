package model

import (
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// DeleteIPRange deletes a range with the VIPs and guests' nics that hold its
// addresses. A router whose own nic used it gets another address of the network
// and is rebuilt, or is to be destroyed if there is none. A missing range is
// fine.
func DeleteIPRange(tx *Tx, uuid string) error {
	r := Get[v1.IPRange](tx.View, uuid)
	if r == nil {
		return nil
	}
	inside := func(ip netip.Addr) bool { return !ip.Less(r.StartIP) && !r.EndIP.Less(ip) }
	for _, nic := range slices.Collect(Related[v1.VMNic](tx.View, NicsOfL3, r.L3NetworkUUID)) {
		if inside(nic.IP) {
			dropNic(tx, nic.UUID)
		}
	}
	for _, vip := range slices.Collect(Related[v1.VIP](tx.View, VIPsOfL3, r.L3NetworkUUID)) {
		if inside(vip.IP) && !vip.System {
			dropVIP(tx, vip)
		}
	}
	tx.Drop(IPRanges, uuid)
	forgetSubnet(tx, r.L3NetworkUUID)
	return moveRouters(tx, r.L3NetworkUUID)
}

// forgetSubnet clears what lies inside a CIDR that went with the last range.
func forgetSubnet(tx *Tx, l3UUID string) {
	l3 := Get[v1.L3Network](tx.View, l3UUID)
	if _, ok := SubnetOf(tx.View, l3UUID); ok || l3 == nil {
		return
	}
	if l3.RouterInterfaceIP.IsValid() || len(l3.ReservedRanges)+len(l3.Strangers) > 0 {
		l3 = Copy(l3)
		l3.RouterInterfaceIP, l3.ReservedRanges, l3.Strangers = netip.Addr{}, nil, nil
		tx.Save(l3)
	}
}

// moveRouters plans the nics of all routers on a network again.
func moveRouters(tx *Tx, l3UUID string) error {
	for _, r := range slices.Collect(Related[v1.VirtualRouter](tx.View, RoutersOnL3, l3UUID)) {
		if r.WantedState == v1.StateDestroyed {
			continue
		}
		changed, err := replan(tx.View, r, Get[v1.L3Network](tx.View, r.L3NetworkUUID))
		if v1.Code(err) != "" {
			destroyRouter(tx, r)
			continue
		}
		if err != nil {
			return err
		}
		if err := commitReplan(tx, changed); err != nil {
			return err
		}
	}
	return nil
}
