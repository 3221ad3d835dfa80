package model

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/offering"
)

// checkMapping are the rules that an EIP and a port forwarding rule share: can
// the router of the nic's network bring the VIP's packets to the nic? Codes:
// vip-disabled, other-account, service-not-attached, vip-on-guest-network, vip-in-guest-subnet,
// vip-not-on-router, vip-of-other-router, and those of an offering's choice.
func checkMapping(v *View, vip *v1.VIP, nic *v1.VMNic, service string) error {
	l3 := Get[v1.L3Network](v, nic.L3NetworkUUID)
	if err := checkVIPEnabled(vip); err != nil {
		return err
	}
	if vip.AccountUUID != nic.AccountUUID {
		return v1.Refused("other-account", "VIP %q (%s) and the nic belong to different accounts; use a VIP of the nic's account", vip.Name, vip.IP).On(vip.UUID, nic.UUID)
	}
	if !l3.HasService(service) {
		return v1.Refused("service-not-attached", "L3 network %q of the nic has no %s service; attach it with `sluice l3-network attach-services`", l3.Name, service).On(l3.UUID, nic.UUID)
	}
	for other := range Related[v1.VMNic](v, NicsOfVM, nic.VMInstanceUUID) {
		if other.L3NetworkUUID == vip.L3NetworkUUID {
			return v1.Refused("vip-on-guest-network", "the VM has a nic on L3 network %s, which VIP %s belongs to, so replies would bypass the router; use a VIP of another network", vip.L3NetworkUUID, vip.IP).On(other.UUID, vip.UUID)
		}
	}
	if subnet, ok := SubnetOf(v, l3.UUID); ok && subnet.CIDR.Contains(vip.IP) {
		return v1.Refused("vip-in-guest-subnet", "VIP %s is inside the guest subnet %s, where guests would look for it themselves; use another VIP", vip.IP, subnet).On(vip.UUID, l3.UUID)
	}
	return checkReach(v, vip, l3)
}

func checkVIPEnabled(vip *v1.VIP) error {
	if vip.State != v1.Enabled {
		return v1.Refused("vip-disabled", "VIP %q (%s) is Disabled; enable it", vip.Name, vip.IP).On(vip.UUID)
	}
	return nil
}

// checkReach refuses a VIP of a network that the guest network's router is not,
// or would not be, public on, and another router's own address.
func checkReach(v *View, vip *v1.VIP, guest *v1.L3Network) error {
	public, err := publicNetworkOf(v, guest)
	if err != nil {
		return err
	}
	if public != vip.L3NetworkUUID {
		return v1.Refused("vip-not-on-router", "VIP %s is on L3 network %s, but the router of L3 network %q is public on %s; use a VIP of that", vip.IP, vip.L3NetworkUUID, guest.Name, public).On(vip.UUID, public)
	}
	if vip.System && vip.VirtualRouterUUID != routerUUID(RouterOf(v, guest.UUID)) {
		return v1.Refused("vip-of-other-router", "VIP %s is the own address of router %s, which does not serve L3 network %q; use another VIP", vip.IP, vip.VirtualRouterUUID, guest.Name).On(vip.UUID, vip.VirtualRouterUUID)
	}
	return nil
}

// publicNetworkOf is the public L3 network of the router that serves a guest
// network, or of the offering that it would be made with.
func publicNetworkOf(v *View, guest *v1.L3Network) (string, error) {
	if r := RouterOf(v, guest.UUID); r != nil {
		nic, _ := r.NicWithRole(RolePublic)
		return nic.L3NetworkUUID, nil
	}
	o, err := offering.Choose(Related[v1.VirtualRouterOffering](v, OfferingsOfZone, guest.ZoneUUID), guest)
	if err != nil {
		return "", err
	}
	return o.PublicNetworkUUID, nil
}

// candidates are the nics that a check accepts, in order of UUID.
func candidates(v *View, accepts func(*v1.VMNic) error) []*v1.VMNic {
	found := []*v1.VMNic{}
	for nic := range List[v1.VMNic](v) {
		if v.Sees(nic) && accepts(nic) == nil {
			found = append(found, nic)
		}
	}
	return found
}
