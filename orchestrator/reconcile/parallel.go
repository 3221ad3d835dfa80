package reconcile

import (
	"context"
	"sync"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// bounded is Agents with no more calls under way to a router at once than its
// tag commandsParallelismDegree allows: a small router that many people look at
// has time for its guests. Who comes too many waits for his turn.
type bounded struct {
	Agents
	degree func(router string) int

	mu      sync.Mutex
	running map[string]int
	left    chan struct{} // closed and replaced when a call ends
}

func newBounded(a Agents, degree func(router string) int) *bounded {
	return &bounded{Agents: a, degree: degree, running: map[string]int{}, left: make(chan struct{})}
}

// degree is what the store says of a router; one that is not known is not bound.
func (r *Reconciler) degree(router string) int {
	view := r.Store.View()
	if row := model.Get[v1.VirtualRouter](view, router); row != nil {
		return model.ParallelCommands(view, row)
	}
	return v1.MaxParallelism
}

// enter waits for a turn; leave ends it.
func (b *bounded) enter(ctx context.Context, router string) (leave func(), err error) {
	for {
		most := b.degree(router)
		b.mu.Lock()
		if b.running[router] < most {
			b.running[router]++
			b.mu.Unlock()
			return func() { b.leave(router) }, nil
		}
		left := b.left
		b.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *bounded) leave(router string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[router]--; b.running[router] == 0 {
		delete(b.running, router)
	}
	close(b.left)
	b.left = make(chan struct{})
}

// PushSpec is one call at a router.
func (b *bounded) PushSpec(ctx context.Context, t agentlink.Target, spec agentv1.RouterSpec) (agentv1.RouterStatus, error) {
	return one(ctx, b, t, func() (agentv1.RouterStatus, error) { return b.Agents.PushSpec(ctx, t, spec) })
}

// PushChange is one call at a router.
func (b *bounded) PushChange(ctx context.Context, t agentlink.Target, change agentv1.SpecChange) (agentv1.RouterStatus, error) {
	return one(ctx, b, t, func() (agentv1.RouterStatus, error) { return b.Agents.PushChange(ctx, t, change) })
}

// Status is one call at a router.
func (b *bounded) Status(ctx context.Context, t agentlink.Target) (agentv1.RouterStatus, error) {
	return one(ctx, b, t, func() (agentv1.RouterStatus, error) { return b.Agents.Status(ctx, t) })
}

// Brief is one call at a router.
func (b *bounded) Brief(ctx context.Context, t agentlink.Target) (agentv1.RouterStatus, error) {
	return one(ctx, b, t, func() (agentv1.RouterStatus, error) { return b.Agents.Brief(ctx, t) })
}

// Command is one call at a router.
func (b *bounded) Command(ctx context.Context, t agentlink.Target, name, key string, args, result any) error {
	_, err := one(ctx, b, t, func() (struct{}, error) { return struct{}{}, b.Agents.Command(ctx, t, name, key, args, result) })
	return err
}

// one makes a call when there is room for it at the router.
func one[T any](ctx context.Context, b *bounded, t agentlink.Target, call func() (T, error)) (answer T, err error) {
	leave, err := b.enter(ctx, t.RouterUUID)
	if err != nil {
		return answer, err
	}
	defer leave()
	return call()
}
