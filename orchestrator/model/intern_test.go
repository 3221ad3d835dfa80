package model

import (
	"reflect"
	"testing"
	"unsafe"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// What is interned says what it said, and names others by their own strings.
func TestIntern(t *testing.T) {
	w := newWorld(t)
	vm, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: v1.CreateMeta{Name: "web"}, Hostname: "web", Nics: []v1.CreateVMNic{{L3NetworkUUID: w.guest}}})
	w.ok(err)
	for _, r := range []v1.Resource{Get[v1.VMInstance](w.tx.View, vm.UUID), Get[v1.VMNic](w.tx.View, vm.Nics[0].UUID)} {
		same := copyOf(KindOf(r), r)
		w.tx.Intern(same)
		if !reflect.DeepEqual(same, r) {
			t.Errorf("%+v became %+v", r, same)
		}
	}
	nic := Copy(Get[v1.VMNic](w.tx.View, vm.Nics[0].UUID))
	nic.VMInstanceUUID = string([]byte(vm.UUID))
	w.tx.Intern(nic)
	if unsafe.StringData(nic.VMInstanceUUID) != unsafe.StringData(Get[v1.VMInstance](w.tx.View, vm.UUID).UUID) {
		t.Error("the nic has a copy of its VM's UUID")
	}
}
