package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateEIP makes an EIP of a VIP that nothing else uses, and attaches it if a
// nic is named. Codes: vip-disabled, vip-is-system, vip-in-use, and those of
// AttachEIP.
func CreateEIP(tx *Tx, req v1.CreateEIP) (*v1.EIP, error) {
	meta, err := newMeta(tx.View, EIPs, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	vip, err := need[v1.VIP](tx.View, req.VIPUUID)
	if err != nil {
		return nil, err
	}
	if err := checkVIPForEIP(tx.View, vip); err != nil {
		return nil, err
	}
	meta.AccountUUID = vip.AccountUUID
	e := &v1.EIP{Meta: meta, VIPUUID: vip.UUID, VIPIP: vip.IP, State: v1.Enabled}
	if req.VMNicUUID != "" {
		nic, err := need[v1.VMNic](tx.View, req.VMNicUUID)
		if err != nil {
			return nil, err
		}
		if err := checkEIP(tx.View, vip, nic); err != nil {
			return nil, err
		}
		e.VMNicUUID, e.GuestIP = nic.UUID, nic.IP
	}
	if err := tx.Create(e); err != nil {
		return nil, err
	}
	refreshUses(tx, vip.UUID)
	return e, nil
}

func checkVIPForEIP(v *View, vip *v1.VIP) error {
	if vip.System {
		return vipIsSystem(vip, "use another VIP for an EIP, or port forwarding with this one")
	}
	if users := vipUsers(v, vip.UUID); len(users) > 0 {
		return v1.Conflict("vip-in-use", "VIP %q (%s) is in use, and an EIP needs it alone; use another VIP", vip.Name, vip.IP).On(users...)
	}
	return checkVIPEnabled(vip)
}

func vipUsers(v *View, vip string) []string {
	return append(uuidsOf(Related[v1.EIP](v, EIPsOfVIP, vip)), uuidsOf(Related[v1.PortForwardingRule](v, ForwardingsOfVIP, vip))...)
}

// checkEIP is whether a nic can have an EIP of the VIP.
func checkEIP(v *View, vip *v1.VIP, nic *v1.VMNic) error {
	if err := checkMapping(v, vip, nic, v1.EIPService); err != nil {
		return err
	}
	for f := range Related[v1.PortForwardingRule](v, ForwardingsOfNic, nic.UUID) {
		if f.AllowedCIDR.IsValid() {
			return v1.Refused("nic-has-restricted-rule", "the nic has port forwarding rule %q, which lets only %s in, and an EIP would let everybody in; detach the rule first", f.Name, f.AllowedCIDR).On(f.UUID, nic.UUID)
		}
	}
	return nil
}

// AttachEIP maps an EIP to a nic. Attached to that nic already is fine; to
// another one is refused (eip-already-attached).
func AttachEIP(tx *Tx, uuid, nicUUID string) (*v1.EIP, error) {
	e, err := need[v1.EIP](tx.View, uuid)
	if err != nil || e.VMNicUUID != "" && e.VMNicUUID == nicUUID {
		return e, err
	}
	nic, err := need[v1.VMNic](tx.View, nicUUID)
	if err != nil {
		return nil, err
	}
	if err := checkAttachEIP(tx.View, e, nic); err != nil {
		return nil, err
	}
	e = Copy(e)
	e.VMNicUUID, e.GuestIP = nic.UUID, nic.IP
	tx.Save(e)
	return e, nil
}

func checkAttachEIP(v *View, e *v1.EIP, nic *v1.VMNic) error {
	if e.VMNicUUID != "" {
		return v1.Conflict("eip-already-attached", "EIP %q is attached to nic %s; detach it first", e.Name, e.VMNicUUID).On(e.VMNicUUID)
	}
	return checkEIP(v, Get[v1.VIP](v, e.VIPUUID), nic)
}

// EIPCandidates are the nics that AttachEIP would accept now.
func EIPCandidates(v *View, uuid string) ([]*v1.VMNic, error) {
	e, err := need[v1.EIP](v, uuid)
	if err != nil {
		return nil, err
	}
	return candidates(v, func(nic *v1.VMNic) error { return checkAttachEIP(v, e, nic) }), nil
}

// DetachEIP takes an EIP off its nic; off none is fine.
func DetachEIP(tx *Tx, uuid string) (*v1.EIP, error) {
	e, err := need[v1.EIP](tx.View, uuid)
	if err != nil || e.VMNicUUID == "" {
		return e, err
	}
	return detachEIP(tx, e), nil
}

func detachEIP(tx *Tx, e *v1.EIP) *v1.EIP {
	e = Copy(e)
	e.VMNicUUID, e.GuestIP = "", netip.Addr{}
	tx.Save(e)
	return e
}

// DeleteEIP deletes an EIP; its VIP stays. A missing EIP is fine.
func DeleteEIP(tx *Tx, uuid string) error {
	if e := Get[v1.EIP](tx.View, uuid); e != nil {
		tx.Drop(EIPs, uuid)
		refreshUses(tx, e.VIPUUID)
	}
	return nil
}
