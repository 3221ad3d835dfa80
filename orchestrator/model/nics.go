package model

import (
	"encoding/hex"
	"slices"
	"strconv"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// dhcpOwn are the DHCP options that the protocol itself runs on (RFC 2131), so
// that nobody may set them for a nic.
var dhcpOwn = []int{0, 50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 82, 255}

func checkNic(v *View, n v1.CreateVMNic) error {
	l3, err := need[v1.L3Network](v, n.L3NetworkUUID)
	if err != nil {
		return err
	}
	if l3.Category == v1.System {
		return v1.Refused("l3-is-system", "L3 network %q is for management, not for guests; use another", l3.Name).On(l3.UUID)
	}
	if l3.State != v1.Enabled {
		return v1.Refused("l3-disabled", "L3 network %q is Disabled and takes no new nics; enable it", l3.Name).On(l3.UUID)
	}
	for number, value := range n.DHCPOptions {
		if err := checkDHCPOption(number, value); err != nil {
			return err
		}
	}
	return nil
}

func checkDHCPOption(number, value string) error {
	code, err := strconv.Atoi(number)
	if err != nil || code < 1 || code > 254 || strconv.Itoa(code) != number || slices.Contains(dhcpOwn, code) {
		return v1.Invalid("invalid-dhcp-option", "DHCP option %q is not a number from 1 to 254 outside %v, which the protocol runs on", number, dhcpOwn)
	}
	if b, err := hex.DecodeString(value); err != nil || len(b) == 0 || len(b) > 255 {
		return v1.Invalid("invalid-dhcp-option", "the value %q of DHCP option %s is not 1 to 255 octets in hex", value, number)
	}
	return nil
}

// createNics allocates those first that ask for an address or a MAC, so that
// none of the others is given it.
func createNics(tx *Tx, vm *v1.VMInstance, nics []v1.CreateVMNic, defaultNic int) error {
	for _, asking := range []bool{true, false} {
		for i, n := range nics {
			if (n.IP != "" || n.MAC != "") != asking {
				continue
			}
			if err := createNic(tx, vm, n, i, i == defaultNic); err != nil {
				return err
			}
		}
	}
	return nil
}

func createNic(tx *Tx, vm *v1.VMInstance, n v1.CreateVMNic, device int, isDefault bool) error {
	ip, err := allocateIP(tx.View, Get[v1.L3Network](tx.View, n.L3NetworkUUID), n.IP)
	if err != nil {
		return err
	}
	mac, err := allocateMAC(tx.View, n.MAC, nil)
	if err != nil {
		return err
	}
	nic := &v1.VMNic{
		Meta: v1.Meta{Name: "nic" + strconv.Itoa(device), AccountUUID: vm.AccountUUID}, VMInstanceUUID: vm.UUID, L3NetworkUUID: n.L3NetworkUUID,
		IP: ip, MAC: mac, DeviceID: device, IsDefault: isDefault, DHCPOptions: n.DHCPOptions, StaticRoutes: slices.Clone(n.StaticRoutes),
	}
	if err := checkStaticRoutes(tx.View, nic); err != nil {
		return err
	}
	return tx.Create(nic)
}

// AddNic gives a VM another nic, which is the default one only if the VM has no
// other. One that runs has the nic served at once. Codes: those of CreateVM and
// EnsureRouter, two-default-nics, and vip-on-guest-network for a network that
// the VM has an EIP or rule on: replies would bypass the router.
func AddNic(tx *Tx, vmUUID string, n v1.CreateVMNic) (*v1.VMInstance, error) {
	vm, err := need[v1.VMInstance](tx.View, vmUUID)
	if err != nil {
		return nil, err
	}
	nics := WithNics(tx.View, vm).Nics
	if len(nics) >= MaxNics {
		return nil, v1.Invalid("invalid-nics", "VM %q has %d nics already, which is the most", vm.Name, MaxNics).On(vm.UUID)
	}
	if n.IsDefault && len(nics) > 0 {
		return nil, v1.Refused("two-default-nics", "VM %q has a default nic already; leave isDefault out", vm.Name).On(vm.UUID)
	}
	if err := checkNic(tx.View, n); err != nil {
		return nil, err
	}
	device := 0
	for _, nic := range nics {
		if err := checkBypass(tx.View, nic.UUID, n.L3NetworkUUID); err != nil {
			return nil, err
		}
		device = max(device, nic.DeviceID+1)
	}
	err = tx.atomic(func() error {
		if err := createNic(tx, vm, n, device, len(nics) == 0); err != nil {
			return err
		}
		if vm.State != v1.StateRunning {
			return nil
		}
		return ensureRouters(tx, vm.UUID)
	})
	if err != nil {
		return nil, err
	}
	return WithNics(tx.View, vm), nil
}

// checkBypass refuses a network that VIPs mapped to a nic of the same VM are on.
func checkBypass(v *View, nic, l3 string) error {
	var vips []string
	for e := range Related[v1.EIP](v, EIPsOfNic, nic) {
		vips = append(vips, e.VIPUUID)
	}
	for f := range Related[v1.PortForwardingRule](v, ForwardingsOfNic, nic) {
		vips = append(vips, f.VIPUUID)
	}
	for _, uuid := range vips {
		if vip := Get[v1.VIP](v, uuid); vip.L3NetworkUUID == l3 {
			return v1.Refused("vip-on-guest-network", "the VM has VIP %s of L3 network %s, so replies by a nic there would bypass the router; detach the VIP, or use another network", vip.IP, l3).On(vip.UUID, nic)
		}
	}
	return nil
}

// DeleteNic takes a nic from its VM, with its EIPs and rules detached; if it
// was the default one, the VM's first that is left becomes it. A missing nic is
// fine.
func DeleteNic(tx *Tx, uuid string) error {
	dropNic(tx, uuid)
	return nil
}

// dropNic reads the nic itself: a cascade that drops several of a VM may just
// have made this one the default.
func dropNic(tx *Tx, uuid string) {
	nic := Get[v1.VMNic](tx.View, uuid)
	if nic == nil {
		return
	}
	detachAll(tx, nic)
	tx.Drop(Nics, nic.UUID)
	vm := Get[v1.VMInstance](tx.View, nic.VMInstanceUUID)
	if vm == nil || !nic.IsDefault {
		return
	}
	if left := WithNics(tx.View, vm).Nics; len(left) > 0 {
		next := Copy(&left[0])
		next.IsDefault = true
		tx.Save(next)
	}
}

// detachAll takes EIPs and rules off a nic, whoever looks on.
func detachAll(tx *Tx, nic *v1.VMNic) {
	for _, e := range slices.Collect(Related[v1.EIP](tx.View, EIPsOfNic, nic.UUID)) {
		detachEIP(tx, e)
	}
	for _, f := range slices.Collect(Related[v1.PortForwardingRule](tx.View, ForwardingsOfNic, nic.UUID)) {
		detachRule(tx, f)
	}
}

// ChangeNicIP gives a nic another address, and its EIPs and rules with it.
func ChangeNicIP(tx *Tx, uuid, ip string) (*v1.VMNic, error) {
	nic, err := need[v1.VMNic](tx.View, uuid)
	if err != nil || ip == nic.IP.String() {
		return nic, err
	}
	nic = Copy(nic)
	if nic.IP, err = allocateIP(tx.View, Get[v1.L3Network](tx.View, nic.L3NetworkUUID), ip); err != nil {
		return nil, err
	}
	if err := checkStaticRoutes(tx.View, nic); err != nil {
		return nil, err
	}
	tx.Save(nic)
	for _, e := range slices.Collect(Related[v1.EIP](tx.View, EIPsOfNic, uuid)) {
		e = Copy(e)
		e.GuestIP = nic.IP
		tx.Save(e)
	}
	for _, f := range slices.Collect(Related[v1.PortForwardingRule](tx.View, ForwardingsOfNic, uuid)) {
		f = Copy(f)
		f.GuestIP = nic.IP
		tx.Save(f)
	}
	return nic, nil
}
