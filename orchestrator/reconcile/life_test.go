package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

func TestFirstGuestMakesOneRouter(t *testing.T) {
	s := newSite(t, 1, 2)
	r := s.serve(s.vms[0])
	s.tidy()
	var order []string
	for _, c := range r.Conditions {
		order = append(order, c.Type)
	}
	if got, want := strings.Join(order, " "), "Ready Placement Address Storage Domain Boot Enrol Apply"; got != want {
		t.Errorf("conditions %q, want %q", got, want)
	}
	var sum int64
	for _, c := range r.Conditions[1:] {
		sum += c.DurationMs
	}
	if ready := v1.FindCondition(r.Conditions, v1.ReadyCondition); ready.DurationMs < sum || ready.DurationMs-sum > 500 {
		t.Errorf("stages took %d ms, the whole %d ms", sum, ready.DurationMs)
	}

	pushes := s.agent().Pushes()
	after := s.serve(s.vms[1])
	if after.AppliedGeneration != r.AppliedGeneration+1 || s.agent().Pushes() != pushes+1 {
		t.Errorf("the second guest took generation %d to %d and %d pushes", r.AppliedGeneration, after.AppliedGeneration, s.agent().Pushes()-pushes)
	}
	if s.machines[0].Boots(r.UUID) != 1 {
		t.Errorf("booted %d times", s.machines[0].Boots(r.UUID))
	}
}

func TestManyGuestsAtOnceOnTwoOrchestrators(t *testing.T) {
	s := newSite(t, 1, 15)
	other := s.reconciler()
	other.Start()
	defer other.Close()
	var wg sync.WaitGroup
	for i, vm := range s.vms {
		wg.Go(func() {
			_, err := s.store.Update(t.Context(), func(tx *model.Tx) error { _, err := model.StartVM(tx, vm); return err })
			if err == nil {
				err = []*Reconciler{s.r, other}[i%2].WaitVM(t.Context(), vm)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.tidy()
	if boots := s.machines[0].Boots(s.router().UUID); boots != 1 {
		t.Errorf("booted %d times", boots)
	}
}

// lost is how a router gets lost; each is rebuilt with what it had.
func TestLostRoutersAreRebuilt(t *testing.T) {
	for name, lose := range map[string]func(s *site, r *v1.VirtualRouter){
		"destroyed": func(s *site, r *v1.VirtualRouter) { s.machines[0].kill(r.UUID) },
		"crashed":   func(s *site, r *v1.VirtualRouter) { s.machines[0].crash(r.UUID) },
		"undefined": func(s *site, r *v1.VirtualRouter) {
			must(s.t, 0, s.machines[0].DeleteDomain(s.t.Context(), r.UUID))
		},
		"agent silent":   func(s *site, _ *v1.VirtualRouter) { s.agent().Kill() },
		"agent stranger": func(s *site, _ *v1.VirtualRouter) { must(s.t, 0, s.agent().Reboot()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, 1)
			before := s.serve(s.vms[0])
			lose(s, before)
			s.eventually("rebuild", func() bool { return s.router().Epoch > before.Epoch })
			after := s.served()
			if after.UUID != before.UUID || !reflect.DeepEqual(after.Nics, before.Nics) || after.BootID == before.BootID {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			if boots := s.machines[0].Boots(before.UUID); boots != 2 && name != "undefined" || after.Epoch != before.Epoch+1 {
				t.Errorf("booted %d times, epoch %d to %d", boots, before.Epoch, after.Epoch)
			}
			s.tidy()
		})
	}
}

// A router that is rebooted ends by itself; one whose agent does not answer is
// ended. What it has stays in both cases.
func TestRebootedRouterEndsByItself(t *testing.T) {
	for name, silent := range map[string]bool{"answers": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, 1)
			before := s.serve(s.vms[0])
			if silent {
				s.agents.failNext("Command", errors.New("no answer"))
			}
			s.act("reboot")
			after := s.served()
			s.tidy()
			m := s.machines[0]
			m.mu.Lock()
			defer m.mu.Unlock()
			if want := map[bool]int{false: 1, true: 0}[silent]; m.ended != want || m.Boots(before.UUID) != 2 || after.Epoch != before.Epoch+1 {
				t.Errorf("%d domains ended by themselves, want %d; booted %d times, epoch %d after %d", m.ended, want, m.Boots(before.UUID), after.Epoch, before.Epoch)
			}
			if after.UUID != before.UUID || !reflect.DeepEqual(after.Nics, before.Nics) {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
		})
	}
}

func TestBriefSilenceIsShownAndForgiven(t *testing.T) {
	s := newSite(t, 1, 1)
	s.r.Close()
	s.r = s.reconciler()
	s.r.LostAfter = time.Minute
	s.r.Start()
	r := s.serve(s.vms[0])
	s.agent().Kill()
	s.eventually("Disconnected", func() bool {
		return s.router().Status == v1.Disconnected && v1.FindCondition(s.router().Conditions, v1.ReadyCondition).Reason == "Silent"
	})
	must(t, 0, s.agent().Restart())
	s.eventually("Connected", func() bool { return s.router().Status == v1.Connected })
	if s.router().Epoch != r.Epoch {
		t.Error("it was rebuilt")
	}
	s.tidy()
}

func TestLostLibvirtRebuildsNothing(t *testing.T) {
	s := newSite(t, 1, 1)
	r := s.serve(s.vms[0])
	status := func() string { return model.Get[v1.Host](s.store.View(), s.hosts[0]).Status }
	s.machines[0].LoseConnection()
	s.eventually("host is Disconnected", func() bool { return status() == v1.Disconnected })
	s.agent().Kill() // with the network between
	time.Sleep(3 * s.r.LostAfter)
	if got := s.router(); got.Epoch != r.Epoch || got.State != v1.StateRunning {
		t.Errorf("router was touched: %+v", got)
	}
	must(t, 0, s.agent().Restart())
	s.l2s.remove("br_eth2") // the host was restarted
	s.machines[0].Reconnect()
	s.eventually("host is Connected", func() bool { return status() == v1.Connected })
	if !s.l2s.has("br_eth2") {
		t.Error("the host counts as Connected without its bridges")
	}
	s.served()
	if s.router().Epoch != r.Epoch || s.machines[0].Boots(r.UUID) != 1 {
		t.Error("it was rebuilt")
	}
	s.tidy()
}

func TestRouterActions(t *testing.T) {
	s := newSite(t, 1, 2)
	r := s.serve(s.vms[0])
	s.act("stop")
	must(t, 0, s.r.WaitRouter(t.Context(), r.UUID))
	if d := must1(s, func() (hypervisor.DomainStatus, error) { return s.machines[0].GetDomain(t.Context(), r.UUID) }); d.State != hypervisor.Stopped {
		t.Fatalf("domain is %s", d.State)
	}
	s.r.Close() // a stopped router stays so over a restart
	s.start()
	time.Sleep(100 * time.Millisecond)
	if s.router().State != v1.StateStopped || s.machines[0].Boots(r.UUID) != 1 {
		t.Fatalf("after a restart %+v", s.router())
	}
	s.act("start")
	s.served()
	s.tidy()
	for _, action := range []string{"rebuild", "reboot"} {
		before, boots := s.router(), s.machines[0].Boots(r.UUID)
		s.act(action)
		after := s.served()
		if after.Epoch != before.Epoch+1 || s.machines[0].Boots(r.UUID) != boots+1 || !reflect.DeepEqual(after.Nics, before.Nics) {
			t.Errorf("%s: epoch %d to %d, boots %d to %d", action, before.Epoch, after.Epoch, boots, s.machines[0].Boots(r.UUID))
		}
		s.tidy()
	}
	pushes := s.agent().Pushes()
	s.act("reconnect")
	if s.served(); s.agent().Pushes() != pushes+1 {
		t.Errorf("reconnect pushed %d times", s.agent().Pushes()-pushes)
	}
	// A stopped one is started when a guest needs it.
	s.act("stop")
	must(t, 0, s.r.WaitRouter(t.Context(), r.UUID))
	s.serve(s.vms[1])
	s.tidy()
}

// gone holds the site to no router at all.
func (s *site) gone() {
	s.t.Helper()
	uuid := ""
	if r := s.router(); r != nil {
		uuid = r.UUID
	}
	s.eventually("router is gone", func() bool { return s.router() == nil })
	for i, m := range s.machines {
		if dump := m.Dump(); strings.Contains(dump, "domain ") || strings.Contains(dump, "volume router-") {
			s.t.Errorf("host %d: %s", i, dump)
		}
	}
	if _, found, _ := s.store.Private().Get(s.t.Context(), tokenKey(uuid)); found {
		s.t.Error("a join token is left")
	}
}

func TestDeletingTakesEverything(t *testing.T) {
	for name, remove := range map[string]func(s *site) error{
		"router": func(s *site) error {
			_, err := s.store.Update(s.t.Context(), func(tx *model.Tx) error { return model.DeleteRouter(tx, s.router().UUID) })
			return err
		},
		"guest L3": func(s *site) error {
			_, err := s.store.Update(s.t.Context(), func(tx *model.Tx) error { return model.DeleteL3Network(tx, s.guest) })
			return err
		},
		"management L2": func(s *site) error { return s.r.DeleteL2(s.t.Context(), s.mgmtL2) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1, 1)
			s.serve(s.vms[0])
			must(t, 0, remove(s))
			s.gone()
		})
	}
}

func TestDeletingWhileItBoots(t *testing.T) {
	s := newSite(t, 1, 1)
	s.machines[0].set(false, true) // boots for ever
	s.startVM(s.vms[0])
	s.eventually("domain", func() bool { return s.machines[0].Boots(s.router().UUID) == 1 })
	began := time.Now()
	must(t, 0, errOf(s.store.Update(t.Context(), func(tx *model.Tx) error { return model.DeleteRouter(tx, s.router().UUID) })))
	s.gone()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s: it waited for the boot", took)
	}
}

func errOf(_ any, err error) error { return err }

// A host's row may be gone while a router is on it, by hand or by a rule to
// come; its router must not hang for ever.
func TestRouterOfADeletedHost(t *testing.T) {
	drop := func(s *site) {
		must(s.t, 0, errOf(s.store.Update(s.t.Context(), func(tx *model.Tx) error { tx.Drop(model.Hosts, s.hosts[0]); return nil })))
	}
	t.Run("destroy", func(t *testing.T) {
		s := newSite(t, 1, 1)
		uuid := s.serve(s.vms[0]).UUID
		drop(s)
		must(t, 0, errOf(s.store.Update(t.Context(), func(tx *model.Tx) error { return model.DeleteRouter(tx, uuid) })))
		s.eventually("router is gone", func() bool { return s.router() == nil })
	})
	t.Run("move", func(t *testing.T) {
		s := newSite(t, 2, 1)
		r := s.serve(s.vms[0])
		if r.HostUUID != s.hosts[0] {
			s.hosts[0], s.hosts[1] = s.hosts[1], s.hosts[0]
			s.machines[0], s.machines[1] = s.machines[1], s.machines[0]
		}
		drop(s)
		s.eventually("router moved", func() bool { return s.router().HostUUID == s.hosts[1] })
		s.served()
	})
	t.Run("stop", func(t *testing.T) {
		s := newSite(t, 1, 1)
		s.serve(s.vms[0])
		drop(s)
		s.act("stop")
		s.eventually("router is stopped", func() bool { return s.router().State == v1.StateStopped })
	})
}

func TestMaintenanceMovesTheRouter(t *testing.T) {
	s := newSite(t, 2, 1)
	before := s.serve(s.vms[0])
	maintain := func(host, state string) {
		stored(s, func(tx *model.Tx) (*v1.Host, error) { return model.SetHostState(tx, host, state) })
	}
	maintain(before.HostUUID, v1.Maintenance)
	s.eventually("router moved", func() bool { return s.router().HostUUID != before.HostUUID })
	after := s.served()
	if !reflect.DeepEqual(after.Nics, before.Nics) {
		t.Error("its addresses changed")
	}
	s.tidy()
	// Nowhere to go: it stays, and what changes reaches it.
	maintain(after.HostUUID, v1.Maintenance)
	maintain(before.HostUUID, v1.Maintenance)
	stored(s, func(tx *model.Tx) (*v1.VMInstance, error) { return model.StopVM(tx, s.vms[0]) })
	if stayed := s.served(); stayed.HostUUID != after.HostUUID || stayed.Epoch != after.Epoch {
		t.Errorf("router went from %+v to %+v", after, stayed)
	}
	s.tidy()
	maintain(before.HostUUID, v1.Enabled)
	s.eventually("router moved back", func() bool { return s.router().HostUUID == before.HostUUID })
	s.served()
	s.tidy()
}

// An old token is not used: the build that was cut short is begun again.
func TestOldTokenIsNotUsed(t *testing.T) {
	s := newSite(t, 1, 1)
	s.machines[0].set(false, true)
	s.startVM(s.vms[0])
	s.eventually("domain", func() bool { return s.machines[0].Boots(s.router().UUID) == 1 })
	s.r.Close()
	before := s.router()
	key := tokenKey(before.UUID)
	raw, _, err := s.store.Private().Get(t.Context(), key)
	must(t, raw, err)
	var token joinToken
	must(t, 0, json.Unmarshal(raw, &token))
	token.Made = token.Made.Add(-tokenLife - time.Second)
	raw, err = json.Marshal(token)
	must(t, 0, s.store.Private().Put(t.Context(), key, must(t, raw, err)))
	s.machines[0].set(false, false)
	enrolled := s.agents.calls["Enrol"]
	s.start()
	if after := s.served(); after.Epoch != before.Epoch+1 || s.agents.calls["Enrol"] != enrolled+1 {
		t.Errorf("epoch %d to %d, %d enrolments", before.Epoch, after.Epoch, s.agents.calls["Enrol"]-enrolled)
	}
	s.tidy()
}

// The token may also grow old while the router boots.
func TestTokenThatGrewOldIsRefused(t *testing.T) {
	s := newSite(t, 1, 1)
	r := s.serve(s.vms[0])
	s.r.Close()
	raw, err := json.Marshal(joinToken{Epoch: r.Epoch, Made: time.Now().Add(-tokenLife - time.Second), Secret: "x"})
	must(t, 0, s.store.Private().Put(t.Context(), tokenKey(r.UUID), must(t, raw, err)))
	c := &call{worker: newWorker(s.r, r.UUID), view: s.store.View(), row: r}
	if err := c.enrol(t.Context()); err == nil || !strings.Contains(err.Error(), "not taken any more") {
		t.Errorf("got %v", err)
	}
}

// A domain that dies at each start is tried less and less often; a changed wish
// is tried at once.
func TestDyingDomainDoesNotSpin(t *testing.T) {
	s := newSite(t, 1, 1)
	s.machines[0].set(true, false)
	s.startVM(s.vms[0])
	s.eventually("failure", func() bool { return v1.FindCondition(s.router().Conditions, v1.ReadyCondition).Reason == "BootFailed" })
	if got := v1.FindCondition(s.router().Conditions, v1.ReadyCondition).Message; !strings.Contains(got, "its domain is Crashed") {
		t.Error(got)
	}
	time.Sleep(3 * time.Second)
	uuid := s.router().UUID
	if boots := s.machines[0].Boots(uuid); boots > 4 {
		t.Errorf("%d starts in 3 s", boots)
	}
	s.eventually("another attempt", func() bool { return s.machines[0].Boots(uuid) > 1 })
	s.machines[0].set(false, false)
	began := time.Now()
	s.act("rebuild")
	s.eventually("served", func() bool { return s.router().Status == v1.Connected })
	if took := time.Since(began); took > 800*time.Millisecond {
		t.Errorf("a changed wish waited %s", took)
	}
	s.tidy()
}

// The same for one that dies soon after it has served.
func TestDomainThatKeepsDyingDoesNotSpin(t *testing.T) {
	s := newSite(t, 1, 1)
	uuid := s.serve(s.vms[0]).UUID
	told, soon, began := false, 0, time.Now()
	boots := func() int { return s.machines[0].Boots(uuid) }
	for ; time.Since(began) < 3*time.Second || boots() < 3 || !told; time.Sleep(2 * time.Millisecond) {
		if time.Since(began) < 3*time.Second {
			soon = boots()
		} else if time.Since(began) > 15*time.Second {
			t.Fatalf("%d starts in 15 s, told %t", boots(), told)
		}
		if r := s.router(); r.Status == v1.Connected && r.State == v1.StateRunning {
			s.machines[0].crash(uuid)
		} else if strings.Contains(v1.FindCondition(r.Conditions, v1.ReadyCondition).Message, "lost again") {
			told = true
		}
	}
	if soon > 5 {
		t.Errorf("%d starts in 3 s", soon)
	}
	s.served()
	s.tidy()
}

func TestSpacing(t *testing.T) {
	var s spacing
	at := time.Unix(1000, 0)
	var waits []time.Duration
	for range 8 {
		if w := s.wait(at); w > 0 {
			waits = append(waits, w)
			at = at.Add(w)
		}
		s.begin(at)
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if !reflect.DeepEqual(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if at = at.Add(calm + time.Second); s.wait(at) > 0 {
		t.Error("a calm router waits")
	}
	if s.begin(at); s.wait(at) != firstRetry {
		t.Errorf("after a calm time %s", s.wait(at))
	}
}

func TestWaiting(t *testing.T) {
	s := newSite(t, 1, 1)
	s.machines[0].FailNext("EnsureDomain", errors.New("no memory"))
	s.startVM(s.vms[0])
	var refusal *v1.Error
	err := s.r.WaitVM(t.Context(), s.vms[0])
	if !errors.As(err, &refusal) || refusal.Code != "router-failed" || refusal.Status != 503 ||
		!strings.Contains(refusal.Detail, "stage Domain") || !strings.Contains(refusal.Detail, "no memory") {
		t.Fatalf("got %v", err)
	}
	must(t, 0, s.r.WaitVM(t.Context(), s.vms[0])) // tries at once
	uuid := s.router().UUID
	spec := must1(s, func() (any, error) { return s.r.RouterSpec(uuid) })
	if reflect.ValueOf(spec).FieldByName("Generation").Uint() != s.router().AppliedGeneration {
		t.Errorf("spec %+v", spec)
	}
	if d, err := s.r.RouterDiagnostics(t.Context(), uuid); err != nil || d.Sections["logs"] != fmt.Sprintf("accepted generation %d\n", s.router().AppliedGeneration) {
		t.Error(d, err)
	}
	s.machines[0].WriteConsole(uuid, "Linux version 6\n")
	if b, err := s.r.RouterConsole(t.Context(), uuid, 10); err != nil || string(b) != "version 6\n" {
		t.Errorf("%q %v", b, err)
	}
	if status, err := s.r.RouterStatus(t.Context(), uuid); err != nil || status.AppliedGeneration != s.router().AppliedGeneration {
		t.Errorf("%+v, %v", status, err)
	}

	s.machines[0].set(false, true)
	s.act("rebuild")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.r.WaitRouter(ctx, uuid); v1.Code(err) != "still-working" {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{s.r.WaitRouter(t.Context(), "none"), s.r.WaitHost(t.Context(), "none"), errOf(s.r.RouterSpec("none")), errOf(s.r.RouterStatus(t.Context(), "none")), errOf(s.r.RouterDiagnostics(t.Context(), "none")), errOf(s.r.RouterConsole(t.Context(), "none", 9))} {
		if v1.Code(err) != "not-found" {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.r.RouterDiagnostics(t.Context(), uuid); v1.Code(err) != "router-unreachable" {
		t.Error(err)
	}
	if _, err := s.r.RouterStatus(t.Context(), uuid); v1.Code(err) != "router-unreachable" {
		t.Errorf("got %v", err)
	}
}

func TestWaitHostOfNoMachine(t *testing.T) {
	s := newSite(t, 1, 0)
	h := stored(s, func(tx *model.Tx) (*v1.Host, error) {
		return model.CreateHost(tx, v1.CreateHost{CreateMeta: named("nowhere"), ClusterUUID: s.cluster, LibvirtURI: "qemu+fake://77/system"})
	})
	for range 2 { // the second call finds a failure that stays the same
		if err := s.r.WaitHost(t.Context(), h.UUID); v1.Code(err) != "hypervisor-unreachable" || !strings.Contains(err.Error(), "no machine") {
			t.Errorf("got %v", err)
		}
	}
}
