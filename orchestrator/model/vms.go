package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// MaxNics is the most nics that a VM has.
const MaxNics = 32

// CreateVM allocates a Stopped VM's nics; nothing reaches a router before it
// starts. Codes: no-nics, too-many-nics, two-default-nics, l3-is-system,
// l3-disabled, invalid-dhcp-option, hostname-given-twice, tag-names-no-nic,
// and those of addresses and MACs.
func CreateVM(tx *Tx, req v1.CreateVMInstance) (*v1.VMInstance, error) {
	meta, err := newMeta(tx.View, VMs, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	if err := mergeVMTags(&req); err != nil {
		return nil, err
	}
	if req.Hostname != "" {
		if err := v1.ValidateHostname(req.Hostname); err != nil {
			return nil, err
		}
	}
	defaultNic, err := checkNics(tx.View, req.Nics)
	if err != nil {
		return nil, err
	}
	vm := &v1.VMInstance{Meta: meta, Hostname: req.Hostname, State: v1.StateStopped, Nics: []v1.VMNic{}}
	err = tx.atomic(func() error {
		if err := tx.Create(vm); err != nil {
			return err
		}
		return createNics(tx, vm, req.Nics, defaultNic)
	})
	if err != nil {
		return nil, err
	}
	return WithNics(tx.View, vm), nil
}

// checkNics checks what needs no allocation and finds the default nic.
func checkNics(v *View, nics []v1.CreateVMNic) (defaultNic int, err error) {
	if len(nics) == 0 || len(nics) > MaxNics {
		return 0, v1.Invalid("invalid-nics", "a VM has 1 to %d nics, this one %d", MaxNics, len(nics))
	}
	defaults := 0
	for i, n := range nics {
		if err := checkNic(v, n); err != nil {
			return 0, err
		}
		if n.IsDefault {
			defaults++
			defaultNic = i
		}
	}
	if defaults > 1 {
		return 0, v1.Refused("two-default-nics", "%d nics are isDefault; a VM has one default route, so mark one", defaults)
	}
	return defaultNic, nil
}

// WithNics is the VM as it is answered: with its nics filled in.
func WithNics(v *View, vm *v1.VMInstance) *v1.VMInstance {
	c := Copy(vm)
	c.Nics = []v1.VMNic{}
	for n := range Related[v1.VMNic](v, NicsOfVM, vm.UUID) {
		c.Nics = append(c.Nics, *n)
	}
	slices.SortFunc(c.Nics, func(a, b v1.VMNic) int { return a.DeviceID - b.DeviceID })
	return c
}

// StartVM says that a VM runs, and that every network of its nics with a
// router's service has a router that runs too. Codes as EnsureRouter.
func StartVM(tx *Tx, uuid string) (*v1.VMInstance, error) {
	vm, err := need[v1.VMInstance](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	if err := ensureRouters(tx, uuid); err != nil {
		return nil, err
	}
	return WithNics(tx.View, setVMState(tx, vm, v1.StateRunning)), nil
}

// ensureRouters makes sure that every network of a VM's nics with a router's
// service has a router that is wanted Running; refused, it has made none.
func ensureRouters(tx *Tx, vm string) error {
	return tx.atomic(func() error {
		for _, nic := range slices.Collect(Related[v1.VMNic](tx.View, NicsOfVM, vm)) {
			if l3 := Get[v1.L3Network](tx.View, nic.L3NetworkUUID); !hasRouterService(l3) {
				continue
			}
			if _, err := EnsureRouter(tx, nic.L3NetworkUUID); err != nil {
				return err
			}
		}
		return nil
	})
}

// StopVM says that a VM is stopped: its nics, EIPs and rules stay, their
// effects on routers go.
func StopVM(tx *Tx, uuid string) (*v1.VMInstance, error) {
	vm, err := need[v1.VMInstance](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	return WithNics(tx.View, setVMState(tx, vm, v1.StateStopped)), nil
}

// VMActions are what VMAction does.
var VMActions = []string{"start", "stop", "reboot"}

// VMAction is start, stop or reboot (for routers the same as start) by name.
func VMAction(tx *Tx, uuid, action string) (*v1.VMInstance, error) {
	switch action {
	case "start", "reboot":
		return StartVM(tx, uuid)
	case "stop":
		return StopVM(tx, uuid)
	}
	return nil, v1.Invalid("unknown-action", "action %q is none of %v", action, VMActions)
}

func setVMState(tx *Tx, vm *v1.VMInstance, state string) *v1.VMInstance {
	if vm.State == state {
		return vm
	}
	vm = Copy(vm)
	vm.State = state
	c := v1.Condition{Status: v1.True, Reason: ReasonAPI}
	if state == v1.StateStopped {
		c.Status = v1.False
	}
	setRunning(tx, vm, c)
	return Get[v1.VMInstance](tx.View, vm.UUID)
}

// DeleteVM frees a VM's addresses and detaches its EIPs and rules. A missing
// VM is fine.
func DeleteVM(tx *Tx, uuid string) error {
	if Get[v1.VMInstance](tx.View, uuid) == nil {
		return nil
	}
	for _, nic := range slices.Collect(Related[v1.VMNic](tx.View, NicsOfVM, uuid)) {
		detachAll(tx, nic)
		tx.Drop(Nics, nic.UUID)
	}
	tx.Drop(VMs, uuid)
	return nil
}

// mergeVMTags puts what tags ask for into the request.
func mergeVMTags(req *v1.CreateVMInstance) error {
	req.Nics = slices.Clone(req.Nics)
	for _, args := range v1.TagValues(req.SystemTags, v1.TagHostname) {
		if req.Hostname != "" && req.Hostname != args[0] {
			return v1.Refused("hostname-given-twice", "hostname %q and tag hostname::%s differ; give one", req.Hostname, args[0])
		}
		req.Hostname = args[0]
	}
	for _, args := range v1.TagValues(req.SystemTags, v1.TagStaticIP) {
		if err := mergeNicTag(req.Nics, args, func(n *v1.CreateVMNic) *string { return &n.IP }); err != nil {
			return err
		}
	}
	for _, args := range v1.TagValues(req.SystemTags, v1.TagCustomMAC) {
		if err := mergeNicTag(req.Nics, args, func(n *v1.CreateVMNic) *string { return &n.MAC }); err != nil {
			return err
		}
	}
	return nil
}

// mergeNicTag fills the first nic on the tag's network that asks for nothing
// else.
func mergeNicTag(nics []v1.CreateVMNic, args []string, field func(*v1.CreateVMNic) *string) error {
	for i := range nics {
		value := field(&nics[i])
		if nics[i].L3NetworkUUID == args[0] && (*value == "" || *value == args[1]) {
			*value = args[1]
			return nil
		}
	}
	return v1.Refused("tag-names-no-nic", "a tag asks for %s on L3 network %s, but no nic of the VM there is free for it", args[1], args[0]).On(args[0])
}
