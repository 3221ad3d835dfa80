package model

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Roles of a router's nic.
const (
	RoleManagement = "management"
	RolePublic     = "public"
	RoleGuest      = "guest"
)

// seat is a nic to be: a network, and what it is for.
type seat struct {
	l3    string
	roles []string
}

// seatsFor orders a router's nics: management, public, guest; a network that
// is two of them has one nic.
func seatsFor(management, public, guest string) []seat {
	var seats []seat
	for _, s := range []seat{{management, []string{RoleManagement}}, {public, []string{RolePublic}}, {guest, []string{RoleGuest}}} {
		if i := slices.IndexFunc(seats, func(have seat) bool { return have.l3 == s.l3 }); i >= 0 {
			seats[i].roles = append(seats[i].roles, s.roles...)
		} else if s.l3 != "" {
			seats = append(seats, s)
		}
	}
	return seats
}

// planNics chooses MAC and address of each seat. A router that is there (old)
// keeps its MAC on each network, and its address where that is still right:
// its guests know them. guest is the guest network as it is going to be.
func planNics(v *View, guest *v1.L3Network, seats []seat, old *v1.VirtualRouter) ([]v1.RouterNic, error) {
	if err := checkSeats(v, guest, seats, old); err != nil {
		return nil, err
	}
	macs := map[string]bool{}
	nics := make([]v1.RouterNic, 0, len(seats))
	for i, s := range seats {
		nic, err := planNic(v, guest, s, old, macs)
		if err != nil {
			return nil, err
		}
		nic.Name = fmt.Sprintf("eth%d", i)
		macs[nic.MAC] = true
		nics = append(nics, nic)
	}
	management, _ := SubnetOf(v, seats[0].l3)
	return nics, checkManagementRoutes(Get[v1.L3Network](v, seats[0].l3), management, prefixesOf(nics)...)
}

func planNic(v *View, guest *v1.L3Network, s seat, old *v1.VirtualRouter, macs map[string]bool) (v1.RouterNic, error) {
	subnet, _ := SubnetOf(v, s.l3)
	nic := v1.RouterNic{Roles: s.roles, L3NetworkUUID: s.l3, Prefix: subnet.CIDR}
	have, kept := nicOn(old, s.l3)
	var err error
	if nic.IP, err = planAddress(v, guest, s, subnet, have, routerUUID(old)); err != nil {
		return nic, err
	}
	nic.Claimed = have.Claimed && have.IP == nic.IP
	nic.Gateway = subnet.Gateway
	if nic.HasRole(RoleGuest) && guest.HasService(v1.SNAT) {
		nic.Gateway = nic.IP // guests leave through the router, wherever it sits
	}
	if nic.MAC = have.MAC; !kept {
		nic.MAC, err = allocateMAC(v, "", macs)
	}
	return nic, err
}

// planAddress: with SNAT the router is its guests' gateway; without, it is one
// more host of the network, and so it is on networks that it does not serve.
func planAddress(v *View, guest *v1.L3Network, s seat, subnet Subnet, have v1.RouterNic, router string) (netip.Addr, error) {
	l3 := Get[v1.L3Network](v, s.l3)
	fixed := fixedAddress(guest, s.l3, subnet)
	if !fixed.IsValid() {
		if poolOf(v, s.l3).InRange(have.IP) && (have.Claimed || strangerAt(l3, have.IP) == "") {
			return have.IP, nil
		}
		return allocateIP(v, l3, "")
	}
	if owner := ownerOnL2(v, l3.L2NetworkUUID, fixed); owner != "" && owner != router {
		return fixed, v1.Conflict("address-in-use", "%s, the router's address on L3 network %q, is in use on its L2; free it, or set another routerInterfaceIp", fixed, l3.Name).On(l3.UUID, owner)
	}
	return fixed, nil
}

// fixedAddress is the address that a router must have on a network, if it may
// not choose: its guests know it.
func fixedAddress(guest *v1.L3Network, l3 string, subnet Subnet) netip.Addr {
	switch {
	case l3 != guest.UUID:
		return netip.Addr{}
	case guest.RouterInterfaceIP.IsValid():
		return guest.RouterInterfaceIP
	case guest.HasService(v1.SNAT):
		return subnet.Gateway
	}
	return netip.Addr{}
}

func checkSeats(v *View, guest *v1.L3Network, seats []seat, old *v1.VirtualRouter) error {
	var subnets []Subnet
	for i, s := range seats {
		l3 := Get[v1.L3Network](v, s.l3) // the cloud's, so it is not asked who sees it
		if l3 == nil {
			return v1.NotFound(L3Networks.Noun(), s.l3)
		}
		subnet, ok := SubnetOf(v, s.l3)
		if !ok {
			return v1.Refused("no-ip-range", "L3 network %q has no ip range; add one with `sluice l3-network add-ip-range`", l3.Name).On(l3.UUID)
		}
		if _, kept := nicOn(old, s.l3); !kept && l3.State != v1.Enabled && s.l3 != guest.UUID {
			return v1.Refused("l3-disabled", "L3 network %q is Disabled and takes no new nics; enable it", l3.Name).On(l3.UUID)
		}
		for j, other := range subnets {
			if other.CIDR.Overlaps(subnet.CIDR) {
				return subnetsOverlap(l3, subnet.CIDR, seats[j].l3, other.CIDR)
			}
		}
		subnets = append(subnets, subnet)
		if err := checkRoles(guest, seats[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRoles(guest *v1.L3Network, s seat) error {
	if s.l3 != guest.UUID {
		return nil
	}
	if slices.Contains(s.roles, RoleManagement) {
		return v1.Refused("management-network-is-guest", "L3 network %q would be guest and management network of one router; use another offering", guest.Name).On(guest.UUID)
	}
	if slices.Contains(s.roles, RolePublic) && guest.HasService(v1.SNAT) {
		return v1.Refused("public-network-is-guest", "L3 network %q wants SNAT and is its router's public network; use another offering, or detach SNAT", guest.Name).On(guest.UUID)
	}
	return nil
}

func nicOn(r *v1.VirtualRouter, l3 string) (v1.RouterNic, bool) {
	if r != nil {
		for _, n := range r.Nics {
			if n.L3NetworkUUID == l3 {
				return n, true
			}
		}
	}
	return v1.RouterNic{}, false
}

// replannedNics are a router's nics for its guest network as that is going to be.
func replannedNics(v *View, r *v1.VirtualRouter, guest *v1.L3Network) ([]v1.RouterNic, error) {
	management, _ := r.NicWithRole(RoleManagement)
	public, _ := r.NicWithRole(RolePublic)
	return planNics(v, guest, seatsFor(management.L3NetworkUUID, public.L3NetworkUUID, guest.UUID), r)
}

// replan is the router with its nics planned again, to be rebuilt; nil if they
// stay as they are.
func replan(v *View, r *v1.VirtualRouter, guest *v1.L3Network) (*v1.VirtualRouter, error) {
	nics, err := replannedNics(v, r, guest)
	if err != nil || reflect.DeepEqual(nics, r.Nics) {
		return nil, err
	}
	r = anew(r)
	r.Nics = nics
	return r, nil
}

// replanFor is replan of the router of a guest network that is about to change.
// A router on its way out is left alone.
func replanFor(v *View, guest *v1.L3Network) (*v1.VirtualRouter, error) {
	r := RouterOf(v, guest.UUID)
	if r == nil || r.WantedState == v1.StateDestroyed || !hasRouterService(guest) {
		return nil, nil
	}
	return replan(v, r, guest)
}

// commitReplan stores a router planned again (nil: nothing), and the address of
// its system VIP with what hangs on that.
func commitReplan(tx *Tx, r *v1.VirtualRouter) error {
	if r == nil {
		return nil
	}
	tx.Save(r)
	public, ok := r.NicWithRole(RolePublic)
	for _, vip := range slices.Collect(Related[v1.VIP](tx.View, VIPsOfRouter, r.UUID)) {
		if ok && vip.IP != public.IP {
			moveVIP(tx, vip, public.IP)
		}
	}
	return nil
}
