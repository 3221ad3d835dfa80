package agent

import (
	"context"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// Run applies what was accepted, one apply at a time and always the newest
// spec: at once when there is one already (a restarted agent), whenever one is
// accepted, and again every HealEvery, which undoes what others changed. It
// returns when ctx ends.
func (a *Agent) Run(ctx context.Context) {
	tick := time.NewTicker(a.cfg.HealEvery)
	defer tick.Stop()
	for {
		if a.behind() { // a wake may be for what the last apply had in it already
			a.applyNewest(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-tick.C:
			a.applyNewest(ctx)
		}
	}
}

func (a *Agent) behind() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked > a.done
}

// Resync has the kernel read anew and healed, and returns what was reached.
func (a *Agent) Resync(ctx context.Context) (agentv1.RouterStatus, error) {
	if !a.HasSpec() {
		return a.Status(ctx), nil
	}
	a.cfg.Router.Resync()
	if err := a.await(ctx, a.ask()); err != nil {
		return agentv1.RouterStatus{}, err
	}
	return a.Status(ctx), nil
}

// Heal has the kernel read and healed soon; it does not wait.
func (a *Agent) Heal() {
	if a.HasSpec() {
		a.ask()
	}
}

// ask has the newest spec applied once more and returns the turn to await.
func (a *Agent) ask() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	select {
	case a.wake <- struct{}{}:
	default: // one is pending: it will see this one too
	}
	return a.asked
}

// await returns when the apply of this turn, or a later one, was answered.
func (a *Agent) await(ctx context.Context, turn uint64) error {
	for {
		a.mu.Lock()
		done, finished := a.done, a.finished
		a.mu.Unlock()
		if done >= turn {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-finished:
		}
	}
}

func (a *Agent) applyNewest(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	spec, change, turn := a.begin()
	if spec == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	reached, err := a.bring(bounded, spec, change)
	if ctx.Err() != nil {
		return // being stopped says nothing about the router
	}
	a.note(spec, reached, err, a.cfg.Router.Observe(ctx).Services)
	a.answer(turn)
}

// begin takes up what is to be applied: a change of what was applied last, or
// all of the spec where change is nil.
func (a *Agent) begin() (spec *agentv1.RouterSpec, change *agentv1.Change, turn uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.follows {
		ch := a.since.Change()
		change = &ch
	}
	a.since, a.follows = agentv1.Sum{}, a.spec != nil
	return a.spec, change, a.asked
}

// bring makes the router as the spec wants it.
func (a *Agent) bring(ctx context.Context, spec *agentv1.RouterSpec, change *agentv1.Change) (r Reached, err error) {
	if change == nil {
		r, err = a.cfg.Router.Apply(ctx, spec.Content)
	} else {
		r, err = a.cfg.Router.Change(ctx, spec.Content, *change)
	}
	if err != nil {
		a.mu.Lock()
		a.follows = false // nobody knows what it is now
		a.mu.Unlock()
	}
	return r, err
}

func (a *Agent) answer(turn uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = turn
	close(a.finished)
	a.finished = make(chan struct{})
}

// note records the outcome of an apply.
func (a *Agent) note(spec *agentv1.RouterSpec, reached Reached, err error, services map[string]agentv1.ServiceStatus) {
	a.mu.Lock()
	mark := ledger.Mark{Generation: spec.Generation, Hash: spec.Hash}
	before, known, lastErr := a.services, a.entry.Applied == mark, a.lastErr
	a.services, a.lastErr = services, ""
	if err != nil {
		a.lastErr = err.Error()
	} else if !known {
		a.markApplied(mark)
	}
	now := a.lastErr
	a.mu.Unlock()

	a.writes.Add(uint64(reached.Writes))
	log := a.cfg.Log.With("router", a.cfg.RouterUUID, "generation", spec.Generation)
	switch {
	case err != nil:
		a.faults.Add(1)
		if now != lastErr { // the heal loop would say it every few seconds
			log.Error("spec not reached completely", "err", err)
			a.events.Add(agentv1.Event{Type: "incomplete", Generation: spec.Generation, Detail: now})
		}
	case !known:
		log.Info("spec applied", "writes", reached.Writes)
		a.events.Add(agentv1.Event{Type: "applied", Generation: spec.Generation})
	case reached.Writes > 0:
		a.heals.Add(1)
		log.Warn("healed", "writes", reached.Writes, "steps", reached.Steps)
		a.events.Add(agentv1.Event{Type: "healed", Generation: spec.Generation, Detail: firstOf(reached.Steps)})
	}
	a.tellServices(spec.Generation, before, services)
}

// markApplied is called with mu held.
func (a *Agent) markApplied(mark ledger.Mark) {
	a.entry.Applied = mark
	if err := a.cfg.Ledger.Reached(mark); err != nil {
		// The router is right; a restarted agent will only say "applied" anew.
		a.cfg.Log.Error("ledger not written", "router", a.cfg.RouterUUID, "generation", mark.Generation, "err", err)
	}
}

func (a *Agent) tellServices(generation uint64, before, after map[string]agentv1.ServiceStatus) {
	for name, s := range after {
		was, known := before[name]
		switch {
		case !s.Ready && (!known || was.Ready || was.Error != s.Error):
			a.events.Add(agentv1.Event{Type: "service-fault", Generation: generation, Service: name, Detail: s.Error})
		case s.Ready && known && !was.Ready:
			a.events.Add(agentv1.Event{Type: "service-ready", Generation: generation, Service: name})
		}
	}
}

func firstOf(steps []string) string {
	if len(steps) == 0 {
		return ""
	}
	return steps[0]
}
