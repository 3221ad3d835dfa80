package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// counting is a service that wants something for each guest, and counts its calls.
type counting struct{ calls *int }

func (counting) Name() string { return "counting" }

func (counting) Offer() model.ServiceType { return model.ServiceType{} }

func (s counting) Contribute(v *model.View, r *v1.VirtualRouter, nics plan.Nics, c *agentv1.Content) error {
	*s.calls++
	for g := range plan.Guests(v, nics) {
		c.EIPs = append(c.EIPs, agentv1.EIP{UUID: g.Nic.UUID})
	}
	return nil
}

// scene is a store of that many routers with a guest network each.
type scene struct {
	*testing.T
	view  *model.View
	wants *wants
	calls int
}

func newScene(t *testing.T, routers int) *scene {
	s := &scene{T: t, view: model.NewView()}
	s.wants = newWants([]plan.Service{counting{&s.calls}}, slog.New(slog.DiscardHandler))
	s.change(func(tx *model.Tx) {
		for i := range routers {
			l3 := fmt.Sprint("l3-", i)
			tx.Save(&v1.L3Network{Meta: v1.Meta{UUID: l3}})
			tx.Save(&v1.VirtualRouter{Meta: v1.Meta{UUID: fmt.Sprintf("router-%06d", i)}, L3NetworkUUID: l3})
		}
	})
	return s
}

// change commits a revision, as the store does.
func (s *scene) change(rule func(*model.Tx)) {
	tx := model.NewTx(s.view, time.Now())
	rule(tx)
	step := store.Step{View: tx.View}
	for k, after := range tx.Writes() {
		step.Changes = append(step.Changes, store.Change{Key: k, Before: s.view.Any(k.Kind, k.UUID), After: after})
	}
	tx.View.Revision = s.view.Revision + 1
	s.view = tx.View
	s.wants.advance(step)
}

// guest puts a running guest onto a network.
func (s *scene) guest(n int) func(*model.Tx) {
	return func(tx *model.Tx) {
		id := model.NewUUID()
		tx.Save(&v1.VMInstance{Meta: v1.Meta{UUID: id}, State: v1.StateRunning})
		tx.Save(&v1.VMNic{Meta: v1.Meta{UUID: id}, VMInstanceUUID: id, L3NetworkUUID: fmt.Sprint("l3-", n), MAC: id})
	}
}

// hashes asks for every router, and returns how many views of one had to be
// planned.
func (s *scene) hashes() (computed int) {
	s.Helper()
	before := s.calls
	for row := range model.List[v1.VirtualRouter](s.view) {
		got, err := s.wants.hash(s.view, row)
		asked := s.calls
		content, _ := plan.Content(s.view, row, s.wants.services)
		s.calls = asked
		if err != nil || got != content.Hash() {
			s.Fatalf("router %s: hash %s, %v; its content has %s", row.UUID, got, err, content.Hash())
		}
	}
	return s.calls - before
}

// A change costs the routers that it concerns: what their nics were, and are.
func TestWantsComputeWhatChanged(t *testing.T) {
	s := newScene(t, 50)
	for _, c := range []struct {
		what   string
		change func(*model.Tx)
		want   int
	}{
		{"at first", func(*model.Tx) {}, 50},
		{"nothing", func(*model.Tx) {}, 0},
		{"a guest", s.guest(7), 2},
		{"two guests", func(tx *model.Tx) { s.guest(7)(tx); s.guest(8)(tx) }, 4},
		{"a host", func(tx *model.Tx) { tx.Save(&v1.Host{Meta: v1.Meta{UUID: "host"}}) }, 50},
		{"a stopped VM elsewhere", func(tx *model.Tx) { tx.Save(&v1.VMInstance{Meta: v1.Meta{UUID: "vm"}, State: v1.StateStopped}) }, 0},
	} {
		s.change(c.change)
		if got := s.hashes(); got != c.want {
			t.Errorf("%s: %d computed, want %d", c.what, got, c.want)
		}
	}
	old := s.view
	s.change(s.guest(3))
	s.hashes()
	s.view = old // a reader that is behind gets what its own view says
	s.hashes()
}

// A view that the dispatcher has not seen yet is computed from, and remembered.
func TestWantsAheadOfTheDispatcher(t *testing.T) {
	s := newScene(t, 3)
	s.hashes()
	tx := model.NewTx(s.view, time.Now())
	s.guest(1)(tx)
	tx.View.Revision = s.view.Revision + 1
	s.view = tx.View
	if got := s.hashes(); got != 3 {
		t.Errorf("%d computed before it is known what changed, want 3", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.wants.caughtUp(ctx, s.view.Revision); err == nil {
		t.Error("it has caught up with what it was not told")
	}
	s.wants.advance(store.Step{View: s.view, Changes: []store.Change{{Key: model.Key{Kind: model.Nics}, After: model.First[v1.VMNic](s.view, model.NicsOfL3, "l3-1")}}})
	if err := s.wants.caughtUp(t.Context(), s.view.Revision); err != nil {
		t.Error(err)
	}
	if got := s.hashes(); got != 0 {
		t.Errorf("%d computed again", got)
	}
}

// More nics than are looked at one by one, and changes of the network itself.
func TestWantsPlanTheWhole(t *testing.T) {
	s := newScene(t, 2)
	s.hashes()
	many := func(tx *model.Tx) {
		for range manyNics + 2 {
			s.guest(0)(tx)
		}
	}
	network := func(tx *model.Tx) {
		s.guest(0)(tx)
		tx.Save(&v1.L3Network{Meta: v1.Meta{UUID: "l3-0"}, MTU: 1400})
	}
	for what, change := range map[string]func(*model.Tx){"many": many, "network": network} {
		s.change(change)
		if got := s.hashes(); got != 1 {
			t.Errorf("%s: %d planned, want 1", what, got)
		}
	}
}

// A transaction goes on changing the view that it asked about.
func TestWantsKeepTheViewThatTheySaw(t *testing.T) {
	s := newScene(t, 1)
	s.change(s.guest(0))
	nic := model.First[v1.VMNic](s.view, model.NicsOfL3, "l3-0")
	vm := model.Get[v1.VMInstance](s.view, nic.VMInstanceUUID)
	tx := model.NewTx(s.view, time.Now())
	if _, err := s.wants.hash(tx.View, model.First[v1.VirtualRouter](tx.View, model.RouterOfGuestL3, "l3-0")); err != nil {
		t.Fatal(err)
	}
	stopped := model.Copy(vm)
	stopped.State = v1.StateStopped
	tx.Save(stopped) // and is not committed
	s.change(func(tx *model.Tx) { tx.Save(model.Copy(vm)) })
	if got := s.hashes(); got != 2 {
		t.Errorf("%d planned, want 2: what the nic was, and is", got)
	}
}

// No view that nobody asks about is kept for long.
func TestWantsLetOldViewsGo(t *testing.T) {
	s := newScene(t, 2)
	s.hashes()
	for range 2*oldViews + 2 {
		s.change(func(*model.Tx) {})
	}
	if len(s.wants.known) != 0 {
		t.Errorf("views of %d routers are kept", len(s.wants.known))
	}
	if got := s.hashes(); got != 2 {
		t.Errorf("%d planned, want 2", got)
	}
}

// What was overlooked is found when what is known has become old.
func TestWantsDoNotTrustForEver(t *testing.T) {
	s := newScene(t, 2)
	s.hashes()
	s.wants.mu.Lock()
	for uuid, w := range s.wants.known {
		w.since, w.hash, w.digest = w.since.Add(-2*trustFor), "overlooked", agentv1.Digest{}
		s.wants.known[uuid] = w
	}
	s.wants.mu.Unlock()
	if got := s.hashes(); got != 2 {
		t.Errorf("%d computed, want 2", got)
	}
}
