package model

import (
	"errors"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Why a VM runs or does not: the reasons of its condition Running.
const (
	runningCondition     = "Running"
	ReasonAPI            = "Api"
	ReasonHypervisor     = "Hypervisor"
	ReasonCannotBeServed = "CannotBeServed"
)

// Guest is a tenant's domain as its host has it.
type Guest struct {
	HostUUID   string
	DomainUUID string
	Name       string
	MACs       []string // lower case
	// Runs: it has memory, so that it keeps its addresses; a paused one does.
	Runs bool
}

// ObserveGuest takes up what a host says of one domain. The VMs whose MACs it
// has are started when it is first seen to run, and stopped when it, or its
// nic, is gone. A VM that was never seen as a domain is left alone, and so is
// one that its owner stopped while the domain runs. What cannot be started is
// told by the VM's condition and in refused; seeing the domain again tries again.
func ObserveGuest(tx *Tx, g Guest) (refused error) {
	var seen []string
	if g.Runs {
		seen = vmsWithMACs(tx.View, g.MACs)
	}
	for _, vm := range slices.Collect(Related[v1.VMInstance](tx.View, VMsOfDomain, g.DomainUUID)) {
		// Said of a host that it left: it runs elsewhere.
		if vm.HostUUID == g.HostUUID && !slices.Contains(seen, vm.UUID) {
			guestEnded(tx, vm)
		}
	}
	for _, uuid := range seen {
		refused = errors.Join(refused, guestRuns(tx, Get[v1.VMInstance](tx.View, uuid), g))
	}
	return refused
}

// ObserveGuests takes up what runs on a host, all of it: a VM that was seen as
// a domain of the host which is not among them has stopped.
func ObserveGuests(tx *Tx, host string, all []Guest) (refused error) {
	for _, vm := range slices.Collect(Related[v1.VMInstance](tx.View, VMsOfHost, host)) {
		if !slices.ContainsFunc(all, func(g Guest) bool { return g.DomainUUID == vm.DomainUUID }) {
			guestEnded(tx, vm)
		}
	}
	for _, g := range all {
		refused = errors.Join(refused, ObserveGuest(tx, g))
	}
	return refused
}

// vmsWithMACs are the VMs that have a nic with one of the MACs, each once.
func vmsWithMACs(v *View, macs []string) (uuids []string) {
	for _, mac := range macs {
		if nic := Get[v1.VMNic](v, v.MACOwner(mac)); nic != nil {
			uuids = with(uuids, nic.VMInstanceUUID)
		}
	}
	return uuids
}

func guestRuns(tx *Tx, vm *v1.VMInstance, g Guest) error {
	if vm.DomainUUID == g.DomainUUID { // started before; its state is the owner's since
		if vm.HostUUID != g.HostUUID {
			vm = Copy(vm)
			vm.HostUUID = g.HostUUID
			tx.Save(vm)
		}
		return nil
	}
	if err := ensureRouters(tx, vm.UUID); err != nil {
		setRunning(tx, vm, v1.Condition{Status: v1.False, Reason: ReasonCannotBeServed, Message: "domain " + g.Name + " runs, but: " + err.Error()})
		return err
	}
	vm = Copy(vm)
	vm.HostUUID, vm.DomainUUID, vm.State = g.HostUUID, g.DomainUUID, v1.StateRunning
	setRunning(tx, vm, v1.Condition{Status: v1.True, Reason: ReasonHypervisor, Message: "domain " + g.Name + " runs"})
	return nil
}

func guestEnded(tx *Tx, vm *v1.VMInstance) {
	vm = Copy(vm)
	vm.HostUUID, vm.DomainUUID, vm.State = "", "", v1.StateStopped
	setRunning(tx, vm, v1.Condition{Status: v1.False, Reason: ReasonHypervisor, Message: "its domain ended, or has none of its nics any more"})
}

// setRunning saves a VM with why it runs or does not; known already: nothing.
func setRunning(tx *Tx, vm *v1.VMInstance, c v1.Condition) {
	c.Type, c.Since = runningCondition, tx.Now
	old := Get[v1.VMInstance](tx.View, vm.UUID)
	if len(old.Conditions) == 1 {
		have := old.Conditions[0]
		if have.Status == c.Status {
			c.Since = have.Since
		}
		if have == c && old.State == vm.State && old.DomainUUID == vm.DomainUUID && old.HostUUID == vm.HostUUID {
			return
		}
	}
	vm = Copy(vm)
	vm.Conditions = []v1.Condition{c}
	tx.Save(vm)
}

// leaveHost forgets that VMs were seen on a host that is deleted: nobody will
// tell of their end any more, so that they are their owners' to stop.
func leaveHost(tx *Tx, host string) {
	for _, vm := range slices.Collect(Related[v1.VMInstance](tx.View, VMsOfHost, host)) {
		vm = Copy(vm)
		vm.HostUUID, vm.DomainUUID = "", ""
		tx.Save(vm)
	}
}
