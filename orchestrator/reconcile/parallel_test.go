package reconcile

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// busy are agents whose calls last until they are let go, and who count.
type busy struct {
	Agents
	mu       sync.Mutex
	now, top map[string]int
	begun    chan string
	end      chan struct{}
}

func (b *busy) call(router string) {
	b.mu.Lock()
	b.now[router]++
	b.top[router] = max(b.top[router], b.now[router])
	b.mu.Unlock()
	b.begun <- router
	<-b.end
	b.mu.Lock()
	b.now[router]--
	b.mu.Unlock()
}

func (b *busy) Status(_ context.Context, t agentlink.Target) (agentv1.RouterStatus, error) {
	b.call(t.RouterUUID)
	return agentv1.RouterStatus{}, nil
}

func (b *busy) PushSpec(_ context.Context, t agentlink.Target, _ agentv1.RouterSpec) (agentv1.RouterStatus, error) {
	b.call(t.RouterUUID)
	return agentv1.RouterStatus{}, nil
}

func (b *busy) PushChange(_ context.Context, t agentlink.Target, _ agentv1.SpecChange) (agentv1.RouterStatus, error) {
	b.call(t.RouterUUID)
	return agentv1.RouterStatus{}, nil
}

func (b *busy) Command(_ context.Context, t agentlink.Target, _, _ string, _, _ any) error {
	b.call(t.RouterUUID)
	return nil
}

func TestCallsAtARouterAreBounded(t *testing.T) {
	agents := &busy{now: map[string]int{}, top: map[string]int{}, begun: make(chan string), end: make(chan struct{})}
	b := newBounded(agents, func(router string) int { return map[string]int{"small": 2, "large": 100}[router] })
	var calls sync.WaitGroup
	for _, router := range []string{"small", "large"} {
		for range 3 {
			to := agentlink.Target{RouterUUID: router}
			calls.Go(func() { _, _ = b.Status(t.Context(), to) })
			calls.Go(func() { _, _ = b.PushSpec(t.Context(), to, agentv1.RouterSpec{}) })
			calls.Go(func() { _ = b.Command(t.Context(), to, "ping", "", nil, nil) })
		}
	}
	begun := map[string]int{}
	for range 2 + 9 { // all of large, who waits for nobody, and two of small
		begun[<-agents.begun]++
	}
	if begun["small"] != 2 || begun["large"] != 9 {
		t.Errorf("begun %v", begun)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Status(gone, agentlink.Target{RouterUUID: "small"}); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any more: %v", err)
	}
	go func() {
		for range agents.begun {
		}
	}()
	close(agents.end)
	calls.Wait()
	close(agents.begun)
	if agents.top["small"] != 2 || len(b.running) != 0 {
		t.Errorf("at once %v, left %v", agents.top, b.running)
	}
}

// The router's own tag counts before its offering's; both take effect at once.
func TestDegreeIsThatOfTheTags(t *testing.T) {
	s := newSite(t, 1, 1)
	r := s.serve(s.vms[0])
	tag := func(kind model.Kind, uuid, tag string) {
		stored(s, func(tx *model.Tx) (int, error) { return 0, model.AddSystemTag(tx, kind, uuid, tag) })
	}
	if got := s.r.degree(r.UUID); got != v1.MaxParallelism {
		t.Errorf("without a tag %d", got)
	}
	tag(model.Offerings, s.offer, "commandsParallelismDegree::7")
	if got := s.r.degree(r.UUID); got != 7 {
		t.Errorf("by its offering %d", got)
	}
	tag(model.Routers, r.UUID, "commandsParallelismDegree::1")
	if got := s.r.degree(r.UUID); got != 1 {
		t.Errorf("by its own tag %d", got)
	}
	s.served() // one at a time is enough
}
