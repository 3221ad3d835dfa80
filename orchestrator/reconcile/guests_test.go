package reconcile

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

const (
	tenant  = "0199d1a0-7b1c-7d57-b1a5-000000000001"
	tenant2 = "0199d1a0-7b1c-7d57-b1a5-000000000002"
)

func (s *site) mac(vm string) string {
	return model.First[v1.VMNic](s.store.View(), model.NicsOfVM, vm).MAC
}

func (s *site) vmState(vm string) string { return model.Get[v1.VMInstance](s.store.View(), vm).State }

func (s *site) becomes(vm, state string) {
	s.t.Helper()
	s.eventually("VM is "+state, func() bool { return s.vmState(vm) == state })
}

// bound reports whether the router's agent leases a VM its address.
func (s *site) bound(vm string) bool {
	if s.router() == nil || s.agent() == nil || len(s.agent().Spec().Content.DHCP) == 0 {
		return false
	}
	for _, b := range s.agent().Spec().Content.DHCP[0].Bindings {
		if b.MAC == s.mac(vm) {
			return true
		}
	}
	return false
}

// A tenant's domain that is started behind our back has its router made, and is
// served; the same domain's end withdraws what it had.
func TestDomainStartedOutsideIsServed(t *testing.T) {
	s := newSite(t, 1, 2)
	s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
	s.becomes(s.vms[0], v1.StateRunning)
	s.served()
	if !s.bound(s.vms[0]) || s.bound(s.vms[1]) {
		t.Errorf("bindings %+v", s.agent().Spec().Content.DHCP)
	}
	for name, end := range map[string]func(string){"destroyed": s.machines[0].Kill, "crashed": s.machines[0].Crash, "shut down": s.machines[0].Shutdown} {
		end(tenant)
		s.becomes(s.vms[0], v1.StateStopped)
		s.eventually(name+": withdrawn", func() bool { return !s.bound(s.vms[0]) })
		s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
		s.becomes(s.vms[0], v1.StateRunning)
		s.eventually("served again", func() bool { return s.bound(s.vms[0]) })
	}
	s.tidy()
}

// What happened while libvirt was away, or the server, is made up for.
func TestDomainsAreListedAgain(t *testing.T) {
	for name, away := range map[string]func(s *site, meanwhile func()){
		"connection lost": func(s *site, meanwhile func()) {
			s.machines[0].LoseConnection()
			meanwhile()
			s.machines[0].Reconnect()
		},
		"server down": func(s *site, meanwhile func()) {
			s.r.Close()
			meanwhile()
			s.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, 3)
			s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
			s.becomes(s.vms[0], v1.StateRunning)
			s.startVM(s.vms[2])
			s.served()
			away(s, func() {
				s.machines[0].Kill(tenant)
				s.machines[0].StartGuest(tenant2, "db", s.mac(s.vms[1]))
			})
			s.becomes(s.vms[0], v1.StateStopped)
			s.becomes(s.vms[1], v1.StateRunning)
			s.served()
			if s.bound(s.vms[0]) || !s.bound(s.vms[1]) || !s.bound(s.vms[2]) || s.vmState(s.vms[2]) != v1.StateRunning {
				t.Errorf("bindings %+v, and the VM that was never a domain is %s", s.agent().Spec().Content.DHCP, s.vmState(s.vms[2]))
			}
		})
	}
}

// The last thing that was seen holds, however often it changed before.
func TestDomainThatFlaps(t *testing.T) {
	s := newSite(t, 1, 1)
	for range 20 {
		s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
		s.machines[0].Kill(tenant)
	}
	s.machines[0].StartGuest(tenant2, "last", s.mac(s.vms[0]))
	s.eventually("the last event", func() bool {
		return model.Get[v1.VMInstance](s.store.View(), s.vms[0]).DomainUUID == tenant2
	})
	s.served()
	if !s.bound(s.vms[0]) {
		t.Errorf("not served: %+v", s.agent().Spec().Content.DHCP)
	}
	s.machines[0].Kill(tenant2)
	s.becomes(s.vms[0], v1.StateStopped)
}

// A domain that moves to another known host goes on, in whatever order both
// tell of it; one that moves to an unknown one has stopped.
func TestDomainMigrates(t *testing.T) {
	s := newSite(t, 2, 1)
	host := func() string { return model.Get[v1.VMInstance](s.store.View(), s.vms[0]).HostUUID }
	s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
	s.becomes(s.vms[0], v1.StateRunning)
	s.served()
	s.machines[0].Leave(tenant)
	s.machines[1].StartGuest(tenant, "web", s.mac(s.vms[0]))
	s.eventually("seen on the second host", func() bool { return host() == s.hosts[1] })
	s.machines[0].StartGuest(tenant, "web", s.mac(s.vms[0]))
	s.eventually("seen on the first host", func() bool { return host() == s.hosts[0] })
	s.machines[1].Leave(tenant)
	if s.vmState(s.vms[0]) != v1.StateRunning || !s.bound(s.vms[0]) {
		t.Error("it was stopped on its way")
	}
	s.machines[0].Leave(tenant)
	s.becomes(s.vms[0], v1.StateStopped)
}
