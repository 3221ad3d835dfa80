package reconcile

import (
	"context"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

func (s *site) host(n int) *v1.Host { return model.Get[v1.Host](s.store.View(), s.hosts[n]) }

// on is the number of the host that the router is placed on.
func (s *site) on() int {
	for n, uuid := range s.hosts {
		if r := s.router(); r != nil && r.HostUUID == uuid {
			return n
		}
	}
	return -1
}

func (s *site) fence(n int) {
	s.t.Helper()
	s.eventually("host is Disconnected", func() bool { return s.host(n).Status == v1.Disconnected })
	stored(s, func(tx *model.Tx) (*v1.Host, error) { return model.FenceHost(tx, s.hosts[n]) })
}

// A deleted host's routers move first, and its bridges go unless another host
// on the machine has them.
func TestDeleteHostMovesRouters(t *testing.T) {
	s := newSite(t, 2, 1)
	before := s.serve(s.vms[0])
	old := s.on()
	for range 2 { // the second time it is gone already
		must(t, 0, s.r.DeleteHost(t.Context(), s.hosts[old]))
	}
	after := s.served()
	if s.on() != 1-old || after.UUID != before.UUID || s.host(old) != nil || !s.l2s.has("br_eth2") {
		t.Errorf("router on host %d, host %+v, bridge %t", s.on(), s.host(old), s.l2s.has("br_eth2"))
	}
	for _, d := range must1(s, func() ([]hypervisor.DomainStatus, error) { return s.machines[old].ListDomains(t.Context()) }) {
		t.Errorf("left behind: %+v", d)
	}
	// The last host: nobody else takes the router, which is made again on demand.
	must(t, 0, s.r.DeleteHost(t.Context(), s.hosts[1-old]))
	if s.router() != nil || s.l2s.has("br_eth2") {
		t.Errorf("router %+v, bridge %t", s.router(), s.l2s.has("br_eth2"))
	}
}

// A host that cannot be reached keeps its routers, and is not deleted, until it
// is fenced; then they are made elsewhere, and a host that comes back has their
// domains removed before it counts as Connected.
func TestFencedHost(t *testing.T) {
	s := newSite(t, 2, 1)
	before := s.serve(s.vms[0])
	old := s.on()
	s.machines[old].LoseConnection()
	s.eventually("host is Disconnected", func() bool { return s.host(old).Status == v1.Disconnected })
	if err := s.r.DeleteHost(t.Context(), s.hosts[old]); v1.Code(err) != "host-unreachable" {
		t.Errorf("deleted: %v", err)
	}
	if r := s.router(); s.on() != old || r.Epoch != before.Epoch || s.host(old).State != v1.Enabled {
		t.Errorf("router %+v, host %+v", r, s.host(old))
	}
	s.fence(old)
	s.eventually("router is elsewhere", func() bool { return s.on() == 1-old })
	if after := s.served(); after.Nics[2].MAC != before.Nics[2].MAC {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if h := s.host(old); len(h.LeftBehind) != 1 || s.machines[old].Boots(before.UUID) == 0 {
		t.Errorf("host is %+v", h)
	}
	s.machines[old].Reconnect()
	s.eventually("host is back", func() bool { return s.host(old).Status == v1.Connected })
	if h := s.host(old); h.Fenced || len(h.LeftBehind) != 0 {
		t.Errorf("host is %+v", h)
	}
	s.eventually("the old domain is gone", func() bool { return s.machines[old].Boots(before.UUID) == 0 })
	s.served() // both agents had one address: for a moment the router was not heard
	s.tidy()   // one domain, on the other host
}

// With no other host the router waits for one, and the host's return is enough.
func TestFencedHostAlone(t *testing.T) {
	s := newSite(t, 1, 1)
	before := s.serve(s.vms[0])
	s.machines[0].LoseConnection()
	s.fence(0)
	s.eventually("router does not run", func() bool { return s.router().State != v1.StateRunning })
	s.machines[0].Reconnect()
	if after := s.served(); after.UUID != before.UUID {
		t.Errorf("router is %+v", after)
	}
	s.tidy()
}

// A dead host that is deleted after its fence takes its last router with it.
func TestFencedHostIsDeleted(t *testing.T) {
	s := newSite(t, 1, 1)
	s.serve(s.vms[0])
	s.machines[0].LoseConnection()
	s.fence(0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, 0, s.r.DeleteHost(ctx, s.hosts[0]))
	if s.router() != nil || s.host(0) != nil {
		t.Errorf("router %+v, host %+v", s.router(), s.host(0))
	}
}
