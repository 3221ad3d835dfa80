package model

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func TestCreateVMRefused(t *testing.T) {
	tests := []struct {
		name, code string
		change     func(w *world, r *v1.CreateVMInstance)
	}{
		{"no nics", "invalid-nics", func(w *world, r *v1.CreateVMInstance) { r.Nics = nil }},
		{"missing network", "not-found", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].L3NetworkUUID = NewUUID() }},
		{"system network", "l3-is-system", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].L3NetworkUUID = w.management }},
		{"disabled network", "l3-disabled", func(w *world, r *v1.CreateVMInstance) { w.disable(L3Networks, w.guest) }},
		{"two defaults", "two-default-nics", func(w *world, r *v1.CreateVMInstance) { r.Nics[0].IsDefault, r.Nics[1].IsDefault = true, true }},
		{"host name", "invalid-hostname", func(w *world, r *v1.CreateVMInstance) { r.Hostname = "-x" }},
		{"two host names", "hostname-given-twice", func(w *world, r *v1.CreateVMInstance) { r.SystemTags = []string{"hostname::other"} }},
		{"ip malformed", "invalid-address", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].IP = "192.168.010.5" }},
		{"ip outside", "address-outside-ranges", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].IP = "10.1.1.1" }},
		{"ip is gateway", "address-outside-ranges", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].IP = "192.168.10.1" }},
		{"ip in use", "address-in-use", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].IP = w.addVM("other", w.guest).Nics[0].IP.String() }},
		{"ip twice in the request", "address-in-use", func(w *world, r *v1.CreateVMInstance) { r.Nics[0].IP, r.Nics[1].IP = "192.168.10.7", "192.168.10.7" }},
		{"mac malformed", "invalid-mac", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].MAC = "0a:00" }},
		{"mac multicast", "invalid-mac", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].MAC = "01:00:5e:00:00:01" }},
		{"mac in use", "mac-in-use", func(w *world, r *v1.CreateVMInstance) { r.Nics[1].MAC = w.addVM("other", w.guest).Nics[0].MAC }},
		{"dhcp option of the protocol", "invalid-dhcp-option", func(w *world, r *v1.CreateVMInstance) { r.Nics[0].DHCPOptions = map[string]string{"53": "01"} }},
		{"dhcp option not in hex", "invalid-dhcp-option", func(w *world, r *v1.CreateVMInstance) { r.Nics[0].DHCPOptions = map[string]string{"67": "boot"} }},
		{"tag for no nic", "tag-names-no-nic", func(w *world, r *v1.CreateVMInstance) {
			r.SystemTags = []string{"staticIp::" + w.public + "::203.0.113.9"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			req := v1.CreateVMInstance{CreateMeta: named("vm"), Hostname: "vm", Nics: []v1.CreateVMNic{{L3NetworkUUID: w.guest}, {L3NetworkUUID: w.guest}}}
			tt.change(w, &req)
			w.clean()
			_, err := CreateVM(w.tx, req)
			w.refused(tt.code, err)
		})
	}
}

func TestCreateVMHonoursWhatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	vm, err := CreateVM(w.tx, v1.CreateVMInstance{
		CreateMeta: v1.CreateMeta{Name: "vm", SystemTags: []string{
			"hostname::web", "staticIp::" + w.guest + "::192.168.10.9", "customMac::" + w.guest + "::0A-00-00-00-00-09", "cleanTraffic",
		}},
		Nics: []v1.CreateVMNic{{L3NetworkUUID: w.guest}, {L3NetworkUUID: w.guest, IP: "192.168.10.2", IsDefault: true}},
	})
	must(w, vm, err)
	first, second := vm.Nics[0], vm.Nics[1]
	if vm.Hostname != "web" || first.IP != ip("192.168.10.9") || first.MAC != "0a:00:00:00:00:09" || first.IsDefault {
		t.Errorf("%s has first nic %+v", vm.Hostname, first)
	}
	if second.IP != ip("192.168.10.2") || !second.IsDefault || second.DeviceID != 1 {
		t.Errorf("second nic %+v", second)
	}
	w.clean()
	w.ok(DeleteNic(w.tx, second.UUID))
	if left := Get[v1.VMNic](w.tx.View, first.UUID); !left.IsDefault {
		t.Error("the nic that is left is not the default one")
	}
	w.clean()
}

// When several nics of a VM go at once, one that is left is the default.
func TestDeleteL3LeavesADefaultNic(t *testing.T) {
	w := newWorld(t)
	_, l3 := w.addNetwork("other", "eth5", v1.Private, "172.16.0.0/24")
	vm := w.addVM("vm", w.guest, w.guest, l3)
	w.ok(DeleteL3Network(w.tx, w.guest))
	if left := WithNics(w.tx.View, Get[v1.VMInstance](w.tx.View, vm.UUID)).Nics; len(left) != 1 || !left[0].IsDefault {
		t.Errorf("nics left %+v", left)
	}
	w.clean()
}

// A nic that asks for nothing is not given what another nic of the request
// asks for.
func TestCreateVMAllocatesAskedFirst(t *testing.T) {
	w := newWorld(t)
	vm, err := CreateVM(w.tx, v1.CreateVMInstance{
		CreateMeta: named("vm"), Nics: []v1.CreateVMNic{{L3NetworkUUID: w.guest}, {L3NetworkUUID: w.guest, IP: "192.168.10.2"}},
	})
	if must(w, vm, err); vm.Nics[0].IP != ip("192.168.10.3") || vm.Nics[1].IP != ip("192.168.10.2") {
		t.Errorf("nics have %s and %s", vm.Nics[0].IP, vm.Nics[1].IP)
	}
}

func TestVMLife(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	nic := vm.Nics[0].UUID
	vip := w.addVIP(w.public, "203.0.113.9")
	e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("e"), VIPUUID: vip.UUID, VMNicUUID: nic})
	must(w, e, err)
	w.start(vm.UUID)
	w.clean()

	_, err = VMAction(w.tx, vm.UUID, "hop")
	w.refused("unknown-action", err)
	moved, err := ChangeNicIP(w.tx, nic, "192.168.10.99")
	if must(w, moved, err); Get[v1.EIP](w.tx.View, e.UUID).GuestIP != ip("192.168.10.99") {
		t.Error("the EIP did not follow the guest's address")
	}
	stopped, err := VMAction(w.tx, vm.UUID, "stop")
	if must(w, stopped, err); stopped.State != v1.StateStopped || Get[v1.EIP](w.tx.View, e.UUID).VMNicUUID != nic {
		t.Errorf("stopped VM %+v", stopped)
	}
	w.clean()
	again, err := StopVM(w.tx, vm.UUID)
	if must(w, again, err); w.tx.Changed() {
		t.Error("stopping a stopped VM wrote something")
	}
	w.ok(DeleteVM(w.tx, vm.UUID))
	if got := Get[v1.EIP](w.tx.View, e.UUID); got.VMNicUUID != "" || got.GuestIP.IsValid() {
		t.Errorf("EIP of a deleted VM %+v", got)
	}
	if w.tx.AddressOwner(w.guest, ip("192.168.10.99")) != "" {
		t.Error("the address is still taken")
	}
	w.clean()
}

// A network without a router's service needs no router.
func TestStartVMWithoutServices(t *testing.T) {
	w := newWorld(t)
	_, l3 := w.addNetwork("bare", "eth5", v1.Private, "172.16.0.0/24")
	if r := w.start(w.addVM("vm", l3).UUID); r != nil {
		t.Errorf("made router %+v", r)
	}
	w.clean()
}

func TestAddNic(t *testing.T) {
	w := newWorld(t)
	_, second := w.addNetwork("second", "eth5", v1.Private, "192.168.20.0/24")
	w.services(second, v1.DHCP, v1.SNAT)
	vm := w.addVM("vm", w.guest)
	vip := w.addVIP(w.public, "")
	e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("e"), VIPUUID: vip.UUID, VMNicUUID: vm.Nics[0].UUID})
	must(w, e, err)
	w.start(vm.UUID)
	w.clean()
	for code, n := range map[string]v1.CreateVMNic{
		"two-default-nics":     {L3NetworkUUID: second, IsDefault: true},
		"l3-is-system":         {L3NetworkUUID: w.management},
		"not-found":            {L3NetworkUUID: NewUUID()},
		"vip-on-guest-network": {L3NetworkUUID: w.public},
		"invalid-dhcp-option":  {L3NetworkUUID: second, DHCPOptions: map[string]string{"53": "01"}},
	} {
		_, err := AddNic(w.tx, vm.UUID, n)
		w.refused(code, err)
	}
	got, err := AddNic(w.tx, vm.UUID, v1.CreateVMNic{L3NetworkUUID: second, IP: "192.168.20.77"})
	if must(w, got, err); len(got.Nics) != 2 || got.Nics[1].DeviceID != 1 || got.Nics[1].IsDefault || got.Nics[1].IP != ip("192.168.20.77") {
		t.Errorf("nics are %+v", got.Nics)
	}
	if r := RouterOf(w.tx.View, second); r == nil || r.WantedState != v1.StateRunning {
		t.Error("a running VM's new nic has no router")
	}
	w.clean()
	for _, nic := range got.Nics {
		w.ok(DeleteNic(w.tx, nic.UUID))
	}
	if got, err = AddNic(w.tx, vm.UUID, v1.CreateVMNic{L3NetworkUUID: second}); must(w, got, err) == nil || !got.Nics[0].IsDefault {
		t.Errorf("the only nic is %+v", got.Nics)
	}
	w.clean()
}
