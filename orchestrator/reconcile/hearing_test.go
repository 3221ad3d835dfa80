package reconcile

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// severalRouters has a router for each of n networks, all of one management
// network, and is quick to give up on one that boots.
func severalRouters(t *testing.T, n int) *site {
	s := newSite(t, 1, 0)
	s.r.Close()
	s.r = s.reconciler()
	s.r.BootTimeout = 300 * time.Millisecond
	s.r.Start()
	for i := range n {
		_, s.guest = s.addNetwork(fmt.Sprint("guest", i), fmt.Sprint("eth", 10+i), v1.Private, fmt.Sprintf("192.168.%d.0/24", 20+i))
		stored(s, func(tx *model.Tx) (*v1.L3Network, error) {
			return model.AttachNetworkServices(tx, s.guest, map[string][]string{v1.ProviderVirtualRouter: {v1.DHCP, v1.DNS}})
		})
		vm := s.addVM(fmt.Sprint("vm", i))
		s.startVM(vm)
		must(t, 0, s.r.WaitVM(t.Context(), vm))
	}
	return s
}

// routers are their epochs and agents.
func (s *site) routers() (rows []*v1.VirtualRouter, agents []*agentlinktest.Agent) {
	s.t.Helper()
	for r := range model.List[v1.VirtualRouter](s.store.View()) {
		rows = append(rows, r)
		agents = append(agents, s.net.Agent(must1(s, func() (netip.AddrPort, error) { return plan.AgentAddress(r) })))
	}
	return rows, agents
}

func (s *site) rebuilt(before []*v1.VirtualRouter) (n int) {
	for _, r := range before {
		if model.Get[v1.VirtualRouter](s.store.View(), r.UUID).Epoch != r.Epoch {
			n++
		}
	}
	return n
}

func (s *site) silent() (n int) {
	for r := range model.List[v1.VirtualRouter](s.store.View()) {
		if r.State == v1.StateRunning && r.Status == v1.Disconnected {
			n++
		}
	}
	return n
}

// TestDeafOrchestratorRebuildsOne: when the management network breaks, routers
// that work are not rebuilt, but for one; and they are as before when it is back.
func TestDeafOrchestratorRebuildsOne(t *testing.T) {
	s := severalRouters(t, 4)
	before, agents := s.routers()
	s.machines[0].set(false, true)
	for _, a := range agents {
		a.Kill()
	}
	s.eventually("one is rebuilt", func() bool { return s.rebuilt(before) == 1 && s.silent() == 3 })
	time.Sleep(4 * s.r.LostAfter)
	if n := s.rebuilt(before); n != 1 {
		t.Errorf("%d routers were rebuilt, want one", n)
	}
	s.machines[0].set(false, false)
	for i, r := range before {
		if model.Get[v1.VirtualRouter](s.store.View(), r.UUID).Epoch == r.Epoch {
			must(t, 0, agents[i].Restart())
		}
	}
	s.eventually("all are Connected", s.allConnected)
	if n := s.rebuilt(before); n != 1 {
		t.Errorf("%d routers were rebuilt, want one", n)
	}
}

// TestAllDeadRoutersAreRebuilt: the one on trial shows that it is not us.
func TestAllDeadRoutersAreRebuilt(t *testing.T) {
	s := severalRouters(t, 3)
	before, agents := s.routers()
	for _, a := range agents {
		a.Kill()
	}
	s.eventually("all are rebuilt and Connected", func() bool { return s.rebuilt(before) == 3 && s.allConnected() })
}

func (s *site) allConnected() bool {
	for r := range model.List[v1.VirtualRouter](s.store.View()) {
		if r.Status != v1.Connected {
			return false
		}
	}
	return true
}

func TestDead(t *testing.T) {
	row := func(uuid, network, state string) *v1.VirtualRouter {
		return &v1.VirtualRouter{Meta: v1.Meta{UUID: uuid}, WantedState: v1.StateRunning, State: state,
			Nics: []v1.RouterNic{{L3NetworkUUID: network, Roles: []string{"management"}}}}
	}
	a, b, c, d := row("a", "m", v1.StateRunning), row("b", "m", v1.StateRunning), row("c", "m", v1.StateCreating), row("d", "n", v1.StateRunning)
	view := model.ViewOf([]v1.Resource{a, b, c, d})
	began := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	h := newHearing()
	is := func(r *v1.VirtualRouter, silent, now int, want bool, why string) {
		t.Helper()
		if got := h.dead(view, r, at(silent), at(now)); got != want {
			t.Errorf("%s: %t", why, got)
		}
	}
	is(d, 0, 30, true, "the only one of its network")
	is(a, 0, 30, true, "the first that is given up on")
	is(b, 0, 30, false, "one is on trial")
	is(a, 0, 31, true, "the one on trial")
	is(d, 0, 31, true, "of another network")
	h.hear(c, at(40))
	is(b, 0, 41, true, "another was heard since")
	is(b, 41, 80, true, "silent again, and the first")
	is(a, 41, 80, false, "another is on trial")
	is(a, 41, 81+int(trialLife.Seconds()), true, "the trial takes too long")
	is(b, 41, 82+int(trialLife.Seconds()), false, "another is on trial by now")
}
