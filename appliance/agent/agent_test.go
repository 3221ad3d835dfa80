package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPutReachesTheRouter(t *testing.T) {
	f := &fakeRouter{}
	a := newAgent(t, t.TempDir(), f, time.Hour)
	start(t, a)
	s, err := a.Put(t.Context(), raw(t, 1, 5, "one"))
	if err != nil || s.AcceptedGeneration != 1 || s.AppliedGeneration != 1 || s.AppliedHash != s.AcceptedHash {
		t.Fatalf("%+v, %v", s, err)
	}
	if is, n := f.state(); is != "one" || n != 1 {
		t.Fatalf("router is %q after %d applies", is, n)
	}
	if _, err := a.Put(t.Context(), raw(t, 1, 5, "one")); err != nil {
		t.Fatal(err)
	}
	if _, n := f.state(); n != 1 {
		t.Fatalf("the same spec again was applied again: %d", n)
	}
}

func TestAnInvalidSpecChangesNothing(t *testing.T) {
	f := &fakeRouter{}
	a := newAgent(t, t.TempDir(), f, time.Hour)
	start(t, a)
	if _, err := a.Put(t.Context(), raw(t, 1, 1, "one")); err != nil {
		t.Fatal(err)
	}
	_, err := a.Put(t.Context(), raw(t, 2, 9, "invalid"))
	var r *RefusedError
	if !errors.As(err, &r) || r.Problem.Code != agentv1.CodeInvalidSpec || r.Problem.Field != "/content/hostname" {
		t.Fatalf("got %v", err)
	}
	if s := a.Status(t.Context()); s.AcceptedGeneration != 1 {
		t.Fatalf("%+v", s)
	}
	// Generation 2 is still free for the mended content; its sender's fence counts.
	if _, err := a.Put(t.Context(), raw(t, 2, 8, "two")); !errors.As(err, &r) || r.Problem.Code != agentv1.CodeLowerFence {
		t.Fatalf("got %v", err)
	}
	if s, err := a.Put(t.Context(), raw(t, 2, 9, "two")); err != nil || s.AppliedGeneration != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// Specs that come in while one is being applied: only the newest follows, and
// all who wait get the status that was really reached.
func TestLatestWins(t *testing.T) {
	f := &fakeRouter{hold: make(chan struct{}), entered: make(chan struct{}, 8)}
	a := newAgent(t, t.TempDir(), f, time.Hour)
	start(t, a)
	results := make(chan agentv1.RouterStatus, 4)
	put := func(gen uint64, name string) {
		spec := raw(t, gen, 1, name)
		go func() {
			s, err := a.Put(context.Background(), spec)
			if err != nil {
				t.Error(err)
			}
			results <- s
		}()
		for a.Accepted().Generation != gen {
			time.Sleep(time.Millisecond)
		}
	}
	put(1, "one")
	<-f.entered // the apply of one has begun
	put(2, "two")
	put(3, "three")
	put(4, "four")
	close(f.hold)
	for range 4 {
		// Those who asked for 2 and 3 hear of 4; who asked for 1 may, too.
		if s := <-results; s.AcceptedGeneration != 4 {
			t.Errorf("%+v", s)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.applies, []string{"one", "four"}) {
		t.Fatalf("applied %v", f.applies)
	}
}

func TestIncompleteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouter{broken: errors.New("bind: address in use")}
		a := newAgent(t, t.TempDir(), f, 5*time.Second)
		stop := start(t, a)
		s, err := a.Put(t.Context(), raw(t, 1, 1, "one"))
		if err != nil || s.AcceptedGeneration != 1 || s.AppliedGeneration != 0 || s.Services["dhcp"].Error == "" {
			t.Fatalf("%+v, %v", s, err)
		}
		f.set(func(f *fakeRouter) { f.broken = nil })
		time.Sleep(6 * time.Second)
		if s := a.Status(t.Context()); s.AppliedGeneration != 1 {
			t.Fatalf("not tried again: %+v", s)
		}
		stop()
		if got := types(a); !slices.Equal(got, []string{"accepted", "incomplete", "service-fault", "applied", "service-ready"}) {
			t.Fatalf("events %v", got)
		}
	})
}

func types(a *Agent) (all []string) {
	events, _ := a.events.After(0)
	for _, e := range events {
		all = append(all, e.Type)
	}
	return all
}

func TestForeignChangesAreHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouter{}
		a := newAgent(t, t.TempDir(), f, 5*time.Second)
		stop := start(t, a)
		if _, err := a.Put(t.Context(), raw(t, 1, 1, "one")); err != nil {
			t.Fatal(err)
		}
		f.set(func(f *fakeRouter) { f.is = "foreign" })
		time.Sleep(6 * time.Second)
		if is, _ := f.state(); is != "one" {
			t.Fatalf("router is %q", is)
		}
		f.set(func(f *fakeRouter) { f.is = "foreign again" })
		if _, err := a.Resync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if is, _ := f.state(); is != "one" || f.resyncs != 1 {
			t.Fatalf("router is %q after %d resyncs", is, f.resyncs)
		}
		stop()
		if got := types(a); !slices.Equal(got, []string{"accepted", "applied", "healed", "healed"}) {
			t.Fatalf("events %v", got)
		}
	})
}

// A killed agent's successor applies what was accepted, also when it had not
// been applied yet, and nothing says a word to it before.
func TestRestartGoesOnFromTheLedger(t *testing.T) {
	dir := t.TempDir()
	f := &fakeRouter{hold: make(chan struct{}), entered: make(chan struct{}, 1)}
	a := newAgent(t, dir, f, time.Hour)
	stop := start(t, a)
	go func() { _, _ = a.Put(t.Context(), raw(t, 7, 40, "seven")) }() // ends with the test
	<-f.entered
	stop() // in the middle of the apply

	f = &fakeRouter{}
	b := newAgent(t, dir, f, time.Hour)
	if !b.HasSpec() || b.Accepted().Generation != 7 {
		t.Fatal("the accepted spec is gone")
	}
	if s := b.Status(t.Context()); s.AppliedGeneration != 0 {
		t.Fatalf("half an apply counts as applied: %+v", s)
	}
	start(t, b)
	if err := b.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if is, _ := f.state(); is != "seven" || b.Status(t.Context()).AppliedGeneration != 7 {
		t.Fatalf("router is %q", is)
	}
	var r *RefusedError
	if _, err := b.Put(t.Context(), raw(t, 8, 39, "eight")); !errors.As(err, &r) || r.Problem.Code != agentv1.CodeLowerFence {
		t.Fatalf("fence forgotten: %v", err)
	}
}

func TestAForeignOrDamagedLedgerIsLeft(t *testing.T) {
	for name, content := range map[string]string{
		"other router": `{"routerUuid":"other","spec":{"version":1},"accepted":{"generation":3}}`,
		"damaged":      `{"routerUuid":`,
		"no spec":      `{"routerUuid":"` + self + `","spec":{"content":7}}`,
		"invalid now":  `{"routerUuid":"` + self + `","spec":{"version":1,"content":{"hostname":"invalid"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ledger.File), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAgent(t, dir, &fakeRouter{}, time.Hour)
			if a.HasSpec() || a.Accepted().Generation != 0 {
				t.Fatal("taken up")
			}
			start(t, a)
			if s, err := a.Put(t.Context(), raw(t, 1, 1, "one")); err != nil || s.AppliedGeneration != 1 {
				t.Fatalf("%+v, %v", s, err)
			}
		})
	}
}

// Nothing is applied that was not stored first.
func TestNoEffectWithoutLedger(t *testing.T) {
	dir := t.TempDir()
	f := &fakeRouter{}
	a := newAgent(t, dir, f, time.Hour)
	start(t, a)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err := a.Put(t.Context(), raw(t, 1, 1, "one"))
	var r *RefusedError
	if !errors.As(err, &r) || r.Problem.Code != agentv1.CodeInternal {
		t.Fatalf("got %v", err)
	}
	if _, n := f.state(); n != 0 || a.HasSpec() {
		t.Fatal("applied without having been stored")
	}
}

func TestEvents(t *testing.T) {
	e := NewEvents(3)
	if got, _ := e.After(0); got != nil {
		t.Fatalf("events before any: %v", got)
	}
	_, more := e.After(0)
	for range 5 {
		e.Add(agentv1.Event{Type: "x"})
	}
	<-more
	for _, tc := range []struct {
		after uint64
		want  []uint64
		lost  bool
	}{{0, []uint64{2, 3, 4, 5}, true}, {2, []uint64{3, 4, 5}, false}, {4, []uint64{5}, false}, {5, nil, false}, {99, []uint64{2, 3, 4, 5}, true}} {
		got, _ := e.After(tc.after)
		var ids []uint64
		for _, ev := range got {
			ids = append(ids, ev.ID)
		}
		if !slices.Equal(ids, tc.want) || (len(got) > 0 && (got[0].Type == "lost") != tc.lost) {
			t.Errorf("after %d: %+v", tc.after, got)
		}
	}
}
