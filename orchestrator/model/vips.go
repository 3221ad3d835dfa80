package model

import (
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateVIP takes an address of a Public L3 network, the one asked for or the
// first free one. Codes: l3-not-public, l3-disabled, and those of an address.
func CreateVIP(tx *Tx, req v1.CreateVIP) (*v1.VIP, error) {
	meta, err := newMeta(tx.View, VIPs, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	l3, err := need[v1.L3Network](tx.View, req.L3NetworkUUID)
	if err != nil {
		return nil, err
	}
	if l3.Category != v1.Public {
		return nil, v1.Refused("l3-not-public", "L3 network %q is %s; VIPs are addresses of %s networks", l3.Name, l3.Category, v1.Public).On(l3.UUID)
	}
	if l3.State != v1.Enabled {
		return nil, v1.Refused("l3-disabled", "L3 network %q is Disabled; enable it", l3.Name).On(l3.UUID)
	}
	ip, err := allocateIP(tx.View, l3, req.IP)
	if err != nil {
		return nil, err
	}
	vip := &v1.VIP{Meta: meta, L3NetworkUUID: l3.UUID, IP: ip, State: v1.Enabled, UseFor: []string{}, IPRequested: req.IP != ""}
	return vip, tx.Create(vip)
}

// CreateAskedVIP is CreateVIP when the wire was asked before who has an address:
// unless the request wants another, or somebody was given it meanwhile, that is
// the VIP's, claimed already. An address that a stranger has is treated as in
// ClaimVIPs.
func CreateAskedVIP(tx *Tx, req v1.CreateVIP, asked netip.Addr, heard Heard) (*v1.VIP, error) {
	wanted := req.IP != ""
	if l3 := Get[v1.L3Network](tx.View, req.L3NetworkUUID); !wanted && l3 != nil {
		if _, err := askedIP(tx.View, l3, poolOf(tx.View, l3.UUID), asked.String()); err == nil {
			req.IP = asked.String()
		}
	}
	vip, err := CreateVIP(tx, req)
	if err != nil {
		return nil, err
	}
	vip.IPRequested = wanted
	if err := ClaimVIPs(tx, map[string]netip.Addr{vip.UUID: asked}, heard); err != nil {
		return nil, err
	}
	return Get[v1.VIP](tx.View, vip.UUID), nil
}

// DeleteVIP deletes the VIP with its EIP and rules. A router's own address is
// refused (vip-is-system): it goes with the router. A missing VIP is fine.
func DeleteVIP(tx *Tx, uuid string) error {
	vip := Get[v1.VIP](tx.View, uuid)
	if vip == nil {
		return nil
	}
	if vip.System {
		return vipIsSystem(vip, "it goes when the router is destroyed")
	}
	dropVIP(tx, vip)
	return nil
}

func vipIsSystem(vip *v1.VIP, next string) error {
	return v1.Refused("vip-is-system", "VIP %q (%s) is a router's own public address; %s", vip.Name, vip.IP, next).On(vip.UUID, vip.VirtualRouterUUID)
}

func dropVIP(tx *Tx, vip *v1.VIP) {
	for _, e := range uuidsOf(Related[v1.EIP](tx.View, EIPsOfVIP, vip.UUID)) {
		tx.Drop(EIPs, e)
	}
	for _, f := range uuidsOf(Related[v1.PortForwardingRule](tx.View, ForwardingsOfVIP, vip.UUID)) {
		tx.Drop(PortForwardings, f)
	}
	tx.Drop(VIPs, vip.UUID)
}

// createSystemVIP shows a router's public address as a VIP, so that port
// forwarding can use it. On a guest network without NAT there is nothing to
// forward, and the nic is the router's only one there.
func createSystemVIP(tx *Tx, r *v1.VirtualRouter) error {
	nic, ok := r.NicWithRole(RolePublic)
	if !ok || nic.HasRole(RoleGuest) {
		return nil
	}
	guest := Get[v1.L3Network](tx.View, r.L3NetworkUUID)
	vip := &v1.VIP{
		Meta: v1.Meta{Name: r.Name, AccountUUID: guest.AccountUUID}, L3NetworkUUID: nic.L3NetworkUUID, IP: nic.IP, State: v1.Enabled,
		System: true, VirtualRouterUUID: r.UUID, UseFor: []string{},
	}
	vip.UseFor = usesOf(tx.View, vip)
	return tx.Create(vip)
}

// moveVIP gives a VIP another address, and so all that use it.
func moveVIP(tx *Tx, vip *v1.VIP, ip netip.Addr) {
	vip = Copy(vip)
	vip.IP, vip.Conditions = ip, nil // to be claimed
	tx.Save(vip)
	for _, f := range slices.Collect(Related[v1.PortForwardingRule](tx.View, ForwardingsOfVIP, vip.UUID)) {
		f = Copy(f)
		f.VIPIP = ip
		tx.Save(f)
	}
}

// usesOf are the services that use a VIP, sorted.
func usesOf(v *View, vip *v1.VIP) []string {
	uses := []string{}
	if First[v1.EIP](v, EIPsOfVIP, vip.UUID) != nil {
		uses = append(uses, v1.EIPService)
	}
	if First[v1.PortForwardingRule](v, ForwardingsOfVIP, vip.UUID) != nil {
		uses = append(uses, v1.PortForwarding)
	}
	if r := Get[v1.VirtualRouter](v, vip.VirtualRouterUUID); r != nil {
		if l3 := Get[v1.L3Network](v, r.L3NetworkUUID); l3 != nil && l3.HasService(v1.SNAT) {
			uses = append(uses, v1.SNAT)
		}
	}
	return uses
}

// refreshUses stores what uses a VIP, if that changed.
func refreshUses(tx *Tx, uuid string) {
	vip := Get[v1.VIP](tx.View, uuid)
	if vip == nil {
		return
	}
	if uses := usesOf(tx.View, vip); !slices.Equal(uses, vip.UseFor) {
		vip = Copy(vip)
		vip.UseFor = uses
		tx.Save(vip)
	}
}

func refreshSystemVIPs(tx *Tx, router string) {
	for _, uuid := range uuidsOf(Related[v1.VIP](tx.View, VIPsOfRouter, router)) {
		refreshUses(tx, uuid)
	}
}
