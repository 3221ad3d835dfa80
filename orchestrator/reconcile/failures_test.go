package reconcile

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Stages that failed once are well again in the end; each failure has its stage.
func TestEveryFailureNamesItsStageAndIsOvercome(t *testing.T) {
	boom := errors.New("boom")
	type fail func(s *site)
	host := func(method string) fail { return func(s *site) { s.machines[0].FailNext(method, boom) } }
	agent := func(method string) fail { return func(s *site) { s.agents.failNext(method, boom) } }
	for name, c := range map[string]struct {
		fail  fail
		stage string
	}{
		"EnsureVolume":  {host("EnsureVolume"), "Storage"},
		"EnsureDomain":  {host("EnsureDomain"), "Domain"},
		"ListVolumes":   {host("ListVolumes"), "Enrol"},
		"WaitReachable": {agent("WaitReachable"), "Boot"},
		"Enrol":         {agent("Enrol"), "Enrol"},
		"PushSpec":      {agent("PushSpec"), "Apply"},
		"bridge":        {func(s *site) { s.l2s.breaks("br_eth2") }, "Domain"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, 1)
			c.fail(s)
			s.startVM(s.vms[0])
			err := s.r.WaitVM(t.Context(), s.vms[0])
			if v1.Code(err) != "router-failed" || !strings.Contains(err.Error(), "stage "+c.stage+":") {
				t.Fatalf("got %v, want stage %s", err, c.stage)
			}
			if got := v1.FindCondition(s.router().Conditions, c.stage); got.Status != v1.False || got.Message == "" {
				t.Errorf("stage %s is %+v", c.stage, got)
			}
			s.l2s.breaks("")
			s.served()
			s.tidy()
		})
	}
	for name, stage := range map[string]string{"DeleteDomain": "Domain", "ListVolumes": "Domain", "DeleteVolume": "Domain"} {
		t.Run("destroy/"+name, func(t *testing.T) {
			s := newSite(t, 1, 1)
			uuid := s.serve(s.vms[0]).UUID
			s.machines[0].FailNext(name, boom)
			must(t, 0, errOf(s.store.Update(t.Context(), func(tx *model.Tx) error { return model.DeleteRouter(tx, uuid) })))
			s.eventually("failure", func() bool {
				r := s.router()
				return r == nil || v1.FindCondition(r.Conditions, stage).Status == v1.False
			})
			s.r.ask(uuid)
			s.gone()
		})
	}
	t.Run("stop/StopDomain", func(t *testing.T) {
		s := newSite(t, 1, 1)
		uuid := s.serve(s.vms[0]).UUID
		s.machines[0].FailNext("StopDomain", boom)
		s.machines[0].FailNext("StopDomain", boom) // the first may be over before anybody waits
		s.act("stop")
		if err := s.r.WaitRouter(t.Context(), uuid); v1.Code(err) != "router-failed" {
			t.Fatalf("got %v", err)
		}
		if err := s.r.WaitRouter(t.Context(), uuid); err != nil { // the second
			must(t, 0, s.r.WaitRouter(t.Context(), uuid))
		}
	})
	t.Run("GetDomain", func(t *testing.T) { // seen next time
		s := newSite(t, 1, 1)
		r := s.serve(s.vms[0])
		s.machines[0].FailNext("GetDomain", boom)
		time.Sleep(150 * time.Millisecond)
		if s.tidy(); s.router().Epoch != r.Epoch {
			t.Error("it was rebuilt")
		}
	})
}

// A change that was settled is in the router; one that is down is not waited for.
func TestSettle(t *testing.T) {
	s := newSite(t, 1, 1)
	r := s.serve(s.vms[0])
	vm2 := s.addVM("late")
	s.startVM(vm2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.r.Settle(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if got := len(s.agent().Spec().Content.DHCP[0].Bindings); got != 2 {
		t.Fatalf("settled, and the router has %d bindings, want 2", got)
	}
	s.agents.hang.Store(true)
	stored(s, func(tx *model.Tx) (*v1.VMInstance, error) { return model.StopVM(tx, vm2) })
	if err := s.r.Settle(ctx, "an account that is not shown the network"); err != nil {
		t.Errorf("the routers of others hold up an account: %v", err)
	}
	s.agents.hang.Store(false)
	s.startVM(vm2)
	s.act("stop")
	s.eventually("router is stopped", func() bool { return s.router().State == v1.StateStopped })
	stored(s, func(tx *model.Tx) (*v1.VMInstance, error) { return model.StopVM(tx, vm2) })
	began := time.Now()
	if err := s.r.Settle(ctx, ""); err != nil || time.Since(began) > 5*time.Second {
		t.Fatalf("router %s is stopped, and settling took %s: %v", r.Name, time.Since(began), err)
	}
}

// A router to be destroyed does not wait for a push to an agent that is gone:
// so it is when its management network was deleted with it.
func TestDestroyInterruptsAPush(t *testing.T) {
	s := newSite(t, 1, 2)
	r := s.serve(s.vms[0])
	s.agents.hang.Store(true)
	s.startVM(s.vms[1])
	pushes := func() int { s.agents.mu.Lock(); defer s.agents.mu.Unlock(); return s.agents.calls["PushSpec"] }
	before := pushes()
	s.eventually("a push hangs", func() bool { return pushes() > 0 && pushes() >= before })
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	stored(s, func(tx *model.Tx) (*v1.VirtualRouter, error) { return nil, model.DeleteRouter(tx, r.UUID) })
	s.eventually("router is gone", func() bool { return s.router() == nil })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("that took %s", took)
	}
}

// TestServiceThatFailsLater: a router that was as wanted and does not stay so is
// not Ready, and is again when its agent has mended it. It is not rebuilt for it.
func TestServiceThatFailsLater(t *testing.T) {
	s := newSite(t, 1, 1)
	before := s.serve(s.vms[0])
	s.agent().Break("dns", "bind 192.168.10.1:53: address in use")
	s.eventually("not Ready", func() bool {
		c := v1.FindCondition(s.router().Conditions, v1.ReadyCondition)
		return c.Status == v1.False && c.Reason == "Degraded" && strings.Contains(c.Message, "dns: bind 192.168.10.1:53")
	})
	s.agent().Break("dns", "")
	s.eventually("Ready", func() bool { return v1.FindCondition(s.router().Conditions, v1.ReadyCondition).Status == v1.True })
	if after := s.router(); after.Epoch != before.Epoch || after.AppliedGeneration != before.AppliedGeneration {
		t.Errorf("it was touched: %+v", after)
	}
	s.tidy()
}

// TestLostLockIsNoFailure: who loses the lock while it works stops, and says
// nothing about the router, of which another orchestrator may be taking care.
func TestLostLockIsNoFailure(t *testing.T) {
	s := newSite(t, 1, 1)
	before := s.serve(s.vms[0])
	s.r.Close()
	s.agents.hang.Store(true)
	lost := make(chan struct{})
	w := newWorker(s.reconciler(), before.UUID)
	time.AfterFunc(20*time.Millisecond, func() { close(lost) })
	for _, stage := range []plan.Action{plan.Apply, plan.Boot} {
		if _, err := w.act(&store.Lock{Fence: 1 << 30, Lost: lost}, []plan.Action{stage}, wishOf(before)); !errors.Is(err, errSuperseded) {
			t.Errorf("%s: %v, want superseded", stage, err)
		}
		after := s.router()
		if after.State != v1.StateRunning || !reflect.DeepEqual(after.Conditions, before.Conditions) {
			t.Errorf("%s: the router is %s, %+v, and was %+v", stage, after.State, after.Conditions, before.Conditions)
		}
	}
}

// A router without a host, or without a domain there, has no console.
func TestConsoleIsRefused(t *testing.T) {
	s := newSite(t, 1, 1)
	s.serve(s.vms[0])
	uuid := s.router().UUID
	s.act("stop")
	s.machines[0].FailNext("ConsoleTail", errors.New("no domain"))
	if _, err := s.r.RouterConsole(t.Context(), uuid, 10); v1.Code(err) != "console-unreadable" {
		t.Errorf("without a domain: %v", err)
	}
	for host, code := range map[string]string{"": "router-not-placed", "gone": "host-unreachable"} {
		stored(s, func(tx *model.Tx) (int, error) {
			r := model.Copy(model.Get[v1.VirtualRouter](tx.View, uuid))
			r.HostUUID = host
			tx.Save(r)
			return 0, nil
		})
		if _, err := s.r.RouterConsole(t.Context(), uuid, 10); v1.Code(err) != code || host != "" && !strings.Contains(err.Error(), "(host-missing)") {
			t.Errorf("on host %q: %v, want %s", host, err, code)
		}
	}
}
