package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreatePortForwardingRule makes a rule on a VIP, and attaches it if a nic is
// named. Codes: invalid-port, port-ranges-differ, ports-taken, vip-disabled,
// vip-in-use, and those of AttachPortForwardingRule.
func CreatePortForwardingRule(tx *Tx, req v1.CreatePortForwardingRule) (*v1.PortForwardingRule, error) {
	meta, err := newMeta(tx.View, PortForwardings, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	f, err := parseRule(req)
	if err != nil {
		return nil, err
	}
	vip, err := need[v1.VIP](tx.View, req.VIPUUID)
	if err != nil {
		return nil, err
	}
	meta.AccountUUID = vip.AccountUUID
	f.Meta, f.VIPUUID, f.VIPIP = meta, vip.UUID, vip.IP
	if err := checkVIPForRule(tx.View, vip, f); err != nil {
		return nil, err
	}
	if req.VMNicUUID != "" {
		nic, err := need[v1.VMNic](tx.View, req.VMNicUUID)
		if err != nil {
			return nil, err
		}
		if err := checkAttachRule(tx.View, f, nic); err != nil {
			return nil, err
		}
		f.VMNicUUID, f.GuestIP = nic.UUID, nic.IP
	}
	if err := tx.Create(f); err != nil {
		return nil, err
	}
	refreshUses(tx, vip.UUID)
	return f, nil
}

func parseRule(req v1.CreatePortForwardingRule) (*v1.PortForwardingRule, error) {
	f := &v1.PortForwardingRule{
		VIPPortStart: req.VIPPortStart, VIPPortEnd: orElse(req.VIPPortEnd, req.VIPPortStart),
		PrivatePortStart: orElse(req.PrivatePortStart, req.VIPPortStart), Protocol: req.Protocol, State: v1.Enabled,
	}
	f.PrivatePortEnd = orElse(req.PrivatePortEnd, f.PrivatePortStart+f.VIPPortEnd-f.VIPPortStart)
	if _, err := oneOf("protocolType", req.Protocol, "", "TCP", "UDP"); err != nil {
		return nil, err
	}
	if err := checkPorts(f); err != nil {
		return nil, err
	}
	if req.AllowedCIDR == "" {
		return f, nil
	}
	var err error
	f.AllowedCIDR, err = v1.ParseCIDR("allowedCidr", req.AllowedCIDR)
	return f, err
}

func checkPorts(f *v1.PortForwardingRule) error {
	for _, p := range []struct {
		field string
		port  int
	}{{"vipPortStart", f.VIPPortStart}, {"vipPortEnd", f.VIPPortEnd}, {"privatePortStart", f.PrivatePortStart}, {"privatePortEnd", f.PrivatePortEnd}} {
		if err := v1.ValidatePort(p.field, p.port); err != nil {
			return err
		}
	}
	if f.VIPPortEnd < f.VIPPortStart || f.PrivatePortEnd < f.PrivatePortStart {
		return v1.Refused("ports-reversed", "a port range ends before it starts; swap its ends")
	}
	if f.VIPPortEnd-f.VIPPortStart != f.PrivatePortEnd-f.PrivatePortStart {
		return v1.Refused("port-ranges-differ", "%d-%d and %d-%d are not of one size, and ports map 1:1; make them equal", f.VIPPortStart, f.VIPPortEnd, f.PrivatePortStart, f.PrivatePortEnd)
	}
	return nil
}

// checkVIPForRule is whether the VIP takes the rule, attached or not.
func checkVIPForRule(v *View, vip *v1.VIP, f *v1.PortForwardingRule) error {
	if e := First[v1.EIP](v, EIPsOfVIP, vip.UUID); e != nil {
		return v1.Conflict("vip-in-use", "VIP %q (%s) is used by EIP %q, which needs it alone; use another VIP", vip.Name, vip.IP, e.Name).On(e.UUID)
	}
	for other := range Related[v1.PortForwardingRule](v, ForwardingsOfVIP, vip.UUID) {
		if other.Protocol == f.Protocol && other.VIPPortStart <= f.VIPPortEnd && f.VIPPortStart <= other.VIPPortEnd {
			return v1.Conflict("ports-taken", "rule %q has %s ports %d-%d of VIP %s; choose others", other.Name, other.Protocol, other.VIPPortStart, other.VIPPortEnd, vip.IP).On(other.UUID)
		}
	}
	return checkVIPEnabled(vip)
}

// AttachPortForwardingRule maps a rule to a nic. Attached to that nic already
// is fine; to another one is refused (rule-already-attached).
func AttachPortForwardingRule(tx *Tx, uuid, nicUUID string) (*v1.PortForwardingRule, error) {
	f, err := need[v1.PortForwardingRule](tx.View, uuid)
	if err != nil || f.VMNicUUID != "" && f.VMNicUUID == nicUUID {
		return f, err
	}
	nic, err := need[v1.VMNic](tx.View, nicUUID)
	if err != nil {
		return nil, err
	}
	if err := checkAttachRule(tx.View, f, nic); err != nil {
		return nil, err
	}
	f = Copy(f)
	f.VMNicUUID, f.GuestIP = nic.UUID, nic.IP
	tx.Save(f)
	return f, nil
}

// checkAttachRule is whether the nic takes the rule. A VIP is on one router
// only, so all rules on it serve guests of one network.
func checkAttachRule(v *View, f *v1.PortForwardingRule, nic *v1.VMNic) error {
	if f.VMNicUUID != "" {
		return v1.Conflict("rule-already-attached", "port forwarding rule %q is attached to nic %s; detach it first", f.Name, f.VMNicUUID).On(f.VMNicUUID)
	}
	if err := checkMapping(v, Get[v1.VIP](v, f.VIPUUID), nic, v1.PortForwarding); err != nil {
		return err
	}
	if err := checkNicWithoutEIP(v, f, nic.UUID); err != nil {
		return err
	}
	for other := range Related[v1.PortForwardingRule](v, ForwardingsOfNic, nic.UUID) {
		if other.VIPUUID != f.VIPUUID {
			return v1.Refused("nic-on-other-vip", "the nic has rule %q on VIP %s, and all rules of a nic are on one VIP; use that VIP", other.Name, other.VIPIP).On(other.UUID, other.VIPUUID)
		}
	}
	for other := range Related[v1.PortForwardingRule](v, ForwardingsOfVIP, f.VIPUUID) {
		if served := Get[v1.VMNic](v, other.VMNicUUID); served != nil && served.L3NetworkUUID != nic.L3NetworkUUID {
			return v1.Refused("vip-on-other-router", "VIP %s serves rule %q of L3 network %s, and an address is on one router only; use another VIP", f.VIPIP, other.Name, served.L3NetworkUUID).On(other.UUID, f.VIPUUID)
		}
	}
	return nil
}

// checkNicWithoutEIP refuses a rule that lets some in only on a nic that an EIP
// opens to all; no nic is fine.
func checkNicWithoutEIP(v *View, f *v1.PortForwardingRule, nic string) error {
	if nic == "" || !f.AllowedCIDR.IsValid() {
		return nil
	}
	if e := First[v1.EIP](v, EIPsOfNic, nic); e != nil {
		return v1.Refused("nic-has-eip", "the nic has EIP %q, which lets everybody in, so allowedCidr %s would not hold; detach the EIP, or leave allowedCidr out", e.Name, f.AllowedCIDR).On(e.UUID, nic)
	}
	return nil
}

// PortForwardingCandidates are the nics that AttachPortForwardingRule would
// accept now.
func PortForwardingCandidates(v *View, uuid string) ([]*v1.VMNic, error) {
	f, err := need[v1.PortForwardingRule](v, uuid)
	if err != nil {
		return nil, err
	}
	return candidates(v, func(nic *v1.VMNic) error { return checkAttachRule(v, f, nic) }), nil
}

// DetachPortForwardingRule takes a rule off its nic; off none is fine.
func DetachPortForwardingRule(tx *Tx, uuid string) (*v1.PortForwardingRule, error) {
	f, err := need[v1.PortForwardingRule](tx.View, uuid)
	if err != nil || f.VMNicUUID == "" {
		return f, err
	}
	return detachRule(tx, f), nil
}

func detachRule(tx *Tx, f *v1.PortForwardingRule) *v1.PortForwardingRule {
	f = Copy(f)
	f.VMNicUUID, f.GuestIP = "", netip.Addr{}
	tx.Save(f)
	return f
}

// DeletePortForwardingRule deletes a rule; its VIP stays. A missing rule is fine.
func DeletePortForwardingRule(tx *Tx, uuid string) error {
	if f := Get[v1.PortForwardingRule](tx.View, uuid); f != nil {
		tx.Drop(PortForwardings, uuid)
		refreshUses(tx, f.VIPUUID)
	}
	return nil
}

func orElse(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}
