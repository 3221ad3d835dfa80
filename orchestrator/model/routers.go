package model

import (
	"iter"
	"slices"
	"strconv"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/offering"
)

// RouterOf is the router that serves a guest L3 network, or nil.
func RouterOf(v *View, l3 string) *v1.VirtualRouter {
	return First[v1.VirtualRouter](v, RouterOfGuestL3, l3)
}

// EnsureRouter makes sure that the L3 network has a router that is wanted
// Running. A new one gets its offering, addresses and MACs here; its host is
// chosen by plan/placement later, but some host must be able to take it. One
// that is there keeps all it has: a stopped one is started, one on its way out
// is wanted back. Codes: no-router-service, no-default-offering,
// no-public-network, public-network-is-guest, management-network-is-guest,
// image-missing, image-not-bootable, no-ip-range, no-free-address,
// subnets-overlap, l3-disabled, address-in-use, no-host,
// router-being-destroyed.
func EnsureRouter(tx *Tx, l3UUID string) (*v1.VirtualRouter, error) {
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	if !hasRouterService(l3) {
		return nil, v1.Refused("no-router-service", "L3 network %q has no service of %s; attach one with `sluice l3-network attach-services`", l3.Name, v1.ProviderVirtualRouter).On(l3.UUID)
	}
	r := RouterOf(tx.View, l3UUID)
	err = tx.atomic(func() (err error) {
		if r != nil {
			r, err = startRouter(tx, r)
		} else {
			r, err = createRouter(tx, l3)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func createRouter(tx *Tx, l3 *v1.L3Network) (*v1.VirtualRouter, error) {
	o, err := offering.Choose(Related[v1.VirtualRouterOffering](tx.View, OfferingsOfZone, l3.ZoneUUID), l3)
	if err != nil {
		return nil, err
	}
	if err := checkImage(tx.View, o.ImageUUID); err != nil {
		return nil, err
	}
	r := &v1.VirtualRouter{
		Meta: v1.Meta{Name: routerName(l3)}, ZoneUUID: l3.ZoneUUID, OfferingUUID: o.UUID, ImageUUID: o.ImageUUID,
		CPUNum: o.CPUNum, MemorySize: o.MemorySize, L3NetworkUUID: l3.UUID,
		WantedState: v1.StateRunning, Epoch: 1, State: v1.StateCreating, Status: v1.Connecting, Conditions: []v1.Condition{},
	}
	seats := seatsFor(o.ManagementNetworkUUID, o.PublicNetworkUUID, l3.UUID)
	if r.Nics, err = planNics(tx.View, l3, seats, nil); err != nil {
		return nil, err
	}
	if err := checkMapped(tx.View, l3, o); err != nil {
		return nil, err
	}
	if err := checkHosts(tx.View, r); err != nil {
		return nil, err
	}
	if err := tx.Create(r); err != nil {
		return nil, err
	}
	return r, createSystemVIP(tx, r)
}

// checkMapped refuses an offering whose public network is not the one that the
// guests' EIPs and rules are on: they were attached when another was the choice.
func checkMapped(v *View, l3 *v1.L3Network, o *v1.VirtualRouterOffering) error {
	for vip := range vipsOfGuests(v, l3.UUID) {
		if vip.L3NetworkUUID != o.PublicNetworkUUID {
			return v1.Refused("vip-not-on-router", "VIP %s of guests of L3 network %q is on L3 network %s, but offering %q is public on %s; detach what uses it, or tag the right offering guestL3Network::%s",
				vip.IP, l3.Name, vip.L3NetworkUUID, o.Name, o.PublicNetworkUUID, l3.UUID).On(vip.UUID, o.UUID)
		}
	}
	return nil
}

// vipsOfGuests yields the VIPs that are mapped to nics of an L3 network.
func vipsOfGuests(v *View, l3 string) iter.Seq[*v1.VIP] {
	return func(yield func(*v1.VIP) bool) {
		for nic := range Related[v1.VMNic](v, NicsOfL3, l3) {
			for e := range Related[v1.EIP](v, EIPsOfNic, nic.UUID) {
				if !yield(Get[v1.VIP](v, e.VIPUUID)) {
					return
				}
			}
			for f := range Related[v1.PortForwardingRule](v, ForwardingsOfNic, nic.UUID) {
				if !yield(Get[v1.VIP](v, f.VIPUUID)) {
					return
				}
			}
		}
	}
}

func routerName(l3 *v1.L3Network) string {
	name := []rune("vr-" + l3.Name)
	return string(name[:min(len(name), v1.MaxName)])
}

// startRouter wants a router Running again, with the addresses it has.
func startRouter(tx *Tx, r *v1.VirtualRouter) (*v1.VirtualRouter, error) {
	switch r.WantedState {
	case v1.StateRunning:
		return r, nil
	case v1.StateDestroyed:
		return reviveRouter(tx, r)
	}
	r = Copy(r)
	r.WantedState = v1.StateRunning
	tx.Save(r)
	return r, nil
}

// reviveRouter wants back a router whose domain may or may not be gone: the
// epoch says that it is to be made anew in both cases.
func reviveRouter(tx *Tx, r *v1.VirtualRouter) (*v1.VirtualRouter, error) {
	for _, l3 := range RouterL3s(r) {
		if Get[v1.L3Network](tx.View, l3) == nil {
			return nil, v1.Unavailable("router-being-destroyed", "router %q is being destroyed, because L3 network %s was deleted; try again when it is gone", r.Name, l3).On(r.UUID)
		}
	}
	if err := checkHosts(tx.View, r); err != nil {
		return nil, err
	}
	changed := anew(r)
	changed.WantedState = v1.StateRunning
	nics, err := replannedNics(tx.View, r, Get[v1.L3Network](tx.View, r.L3NetworkUUID))
	if err != nil {
		return nil, err
	}
	changed.Nics = nics
	return changed, commitReplan(tx, changed)
}

// RouterL3s are the L3 networks of a router's nics.
func RouterL3s(r *v1.VirtualRouter) []string {
	var all []string
	for _, n := range r.Nics {
		all = append(all, n.L3NetworkUUID)
	}
	return all
}

// CandidateHosts are the hosts that may run the router now: HostsFor its
// networks, and only those that its offering is dedicated to, if it is.
func CandidateHosts(v *View, r *v1.VirtualRouter) []*v1.Host {
	hosts := HostsFor(v, RouterL3s(r))
	o := Get[v1.VirtualRouterOffering](v, r.OfferingUUID)
	if o == nil {
		return hosts
	}
	dedicated := v1.TagValues(o.SystemTags, v1.TagDedicatedHost)
	if len(dedicated) == 0 {
		return hosts
	}
	return slices.DeleteFunc(hosts, func(h *v1.Host) bool {
		return !slices.ContainsFunc(dedicated, func(args []string) bool { return args[0] == h.UUID })
	})
}

// checkHosts refuses a router that no host can take (no-host): as a rule of
// the model while no cluster reaches all of its networks, else as something
// that a retry may help.
func checkHosts(v *View, r *v1.VirtualRouter) error {
	if len(CandidateHosts(v, r)) > 0 {
		return nil
	}
	l3s := RouterL3s(r)
	if len(clustersFor(v, l3s)) == 0 {
		return v1.Refused("no-host", "no Enabled cluster has the L2 networks of all of router %q's networks attached; attach them to one cluster with `sluice l2-network attach`", r.Name).On(l3s...)
	}
	return v1.Unavailable("no-host", "no host for router %q is Enabled and Connected; look at `sluice host list`", r.Name).On(l3s...)
}

// ParallelCommands is how many commands and specs an orchestrator may have under
// way with a router at once: by the router's tag commandsParallelismDegree, else
// by its offering's.
func ParallelCommands(v *View, r *v1.VirtualRouter) int {
	tags := r.SystemTags
	if o := Get[v1.VirtualRouterOffering](v, r.OfferingUUID); o != nil {
		tags = append(slices.Clip(tags), o.SystemTags...)
	}
	for _, args := range v1.TagValues(tags, v1.TagCommandsParallelismDegree) {
		if n, err := strconv.Atoi(args[0]); err == nil {
			return n
		}
	}
	return v1.MaxParallelism
}

func routerUUID(r *v1.VirtualRouter) string {
	if r == nil {
		return ""
	}
	return r.UUID
}
