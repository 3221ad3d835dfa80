// Package reconcile makes routers what the store says: load, plan, act, record,
// one worker a router. It also carries out what the API cannot do by storing
// alone: connecting hosts, attaching L2 networks, reading templates, waiting
// until a router serves what is wanted.
package reconcile

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Agents is how routers' agents are reached.
type Agents interface {
	// WaitReachable waits until something answers at the agent's address.
	WaitReachable(ctx context.Context, t agentlink.Target) error
	// Enrol gives the agent a certificate; one that has ours already is fine.
	Enrol(ctx context.Context, t agentlink.Target) error
	PushSpec(ctx context.Context, t agentlink.Target, spec agentv1.RouterSpec) (agentv1.RouterStatus, error)
	// PushChange sends a change of the spec that the agent has accepted.
	PushChange(ctx context.Context, t agentlink.Target, change agentv1.SpecChange) (agentv1.RouterStatus, error)
	Status(ctx context.Context, t agentlink.Target) (agentv1.RouterStatus, error)
	// Brief is Status without the lists that grow with the router.
	Brief(ctx context.Context, t agentlink.Target) (agentv1.RouterStatus, error)
	// Command runs one of agentv1's; an empty key: each time anew.
	Command(ctx context.Context, t agentlink.Target, name, key string, args, result any) error
	// Forget drops kept connections: after a domain was replaced they lead nowhere.
	Forget(router string)
}

// L2s makes L2 networks real on a host.
type L2s interface {
	Realize(ctx context.Context, l2 *v1.L2Network) (bridge string, err error)
	Check(ctx context.Context, l2 *v1.L2Network) error
	Unrealize(ctx context.Context, l2 *v1.L2Network) error
	// WhoHas asks the wire who has addresses: MACs in lower case of those that answered.
	WhoHas(ctx context.Context, l2 *v1.L2Network, ips []netip.Addr) (map[netip.Addr]string, error)
}

// Config is everything that a Reconciler works with.
type Config struct {
	Store    *store.Store
	Agents   Agents
	L2s      L2s
	Services []plan.Service
	// Open connects to a host's hypervisor; virtType is kvm, qemu or auto.
	Open func(ctx context.Context, uri, virtType string) (hypervisor.Hypervisor, error)
	// OrchestratorCA (PEM) goes onto config drives.
	OrchestratorCA string
	Log            *slog.Logger
	// BootTimeout is how long a router may take from its start to its first
	// answer (default 90 s: emulation on a busy machine).
	BootTimeout time.Duration
	// ObserveEvery is how often running routers are asked how they are (default 5 s).
	ObserveEvery time.Duration
	// LostAfter is how long an agent may be silent before its router counts as
	// dead (default 30 s).
	LostAfter time.Duration
}

// Reconciler is the running control loop.
type Reconciler struct {
	Config
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	hosts   *hosts
	wants   *wants
	claims  *claims
	hearing *hearing

	mu      sync.Mutex
	workers map[string]*worker // by router UUID
}

// New is ready to Run.
func New(c Config) *Reconciler {
	if c.BootTimeout == 0 {
		c.BootTimeout = 90 * time.Second
	}
	if c.ObserveEvery == 0 {
		c.ObserveEvery = 5 * time.Second
	}
	if c.LostAfter == 0 {
		c.LostAfter = 30 * time.Second
	}
	r := &Reconciler{Config: c, workers: map[string]*worker{}}
	r.Agents = newBounded(c.Agents, r.degree)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.hosts = newHosts(r)
	r.wants = newWants(c.Services, c.Log)
	r.claims = newClaims(r)
	r.hearing = newHearing()
	return r
}

// Start begins to reconcile and returns at once.
func (r *Reconciler) Start() {
	r.wg.Go(r.claims.run)
	r.wg.Go(func() {
		view, steps := r.Store.Steps(r.ctx)
		r.dispatch(store.Step{View: view, Gap: true})
		for step := range steps {
			r.dispatch(step)
		}
	})
}

// Close stops all work at the next step; what was begun goes on when the
// server is started again.
func (r *Reconciler) Close() {
	r.cancel()
	r.wg.Wait()
	r.hosts.close()
}

// dispatch gives every host and router a worker and wakes those with news.
func (r *Reconciler) dispatch(step store.Step) {
	if step.Gap || slices.ContainsFunc(step.Changes, concernsHosts) {
		r.hosts.sync(step.View)
	}
	r.claims.note(step)
	routers, everyone := r.wants.advance(step)
	r.mu.Lock()
	defer r.mu.Unlock()
	if everyone {
		for row := range model.List[v1.VirtualRouter](step.View) {
			r.wake(row.UUID)
		}
		return
	}
	for _, uuid := range routers {
		if model.Get[v1.VirtualRouter](step.View, uuid) != nil || r.workers[uuid] != nil {
			r.wake(uuid)
		}
	}
}

// concernsHosts: hosts come, go and are to have other bridges.
func concernsHosts(c store.Change) bool {
	return c.Kind == model.Hosts || c.Kind == model.Clusters || c.Kind == model.L2Networks
}

// wake is called with the lock held.
func (r *Reconciler) wake(uuid string) {
	w := r.workers[uuid]
	if w == nil {
		w = newWorker(r, uuid)
		r.workers[uuid] = w
		r.wg.Go(w.run)
	}
	w.wake()
}

// retire forgets a worker whose router is gone.
func (r *Reconciler) retire(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.workers, uuid)
	r.wants.forget(uuid)
	r.hearing.forget(uuid)
}

// observe makes a router's worker look at the world soon, not only at the store.
func (r *Reconciler) observe(uuid string) { r.with(uuid, (*worker).lookAgain) }

// believed waits until the row of a router can be believed, or is gone.
func (r *Reconciler) believed(ctx context.Context, uuid string) {
	for ctx.Err() == nil && model.Get[v1.VirtualRouter](r.Store.View(), uuid) != nil {
		r.mu.Lock()
		w := r.workers[uuid]
		r.mu.Unlock()
		if w != nil {
			select {
			case <-w.judged:
			case <-ctx.Done():
			}
			return
		}
		select { // dispatch is about to make it
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// ask makes a router's worker try at once, also while it pauses after a failure.
func (r *Reconciler) ask(uuid string) { r.with(uuid, (*worker).ask) }

func (r *Reconciler) with(uuid string, do func(*worker)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.workers[uuid]; w != nil {
		do(w)
	}
}
