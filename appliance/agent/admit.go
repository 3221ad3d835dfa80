package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// RefusedError is the answer to a call that was refused.
type RefusedError struct {
	Problem agentv1.Problem
}

// Error gives code and detail.
func (e *RefusedError) Error() string { return e.Problem.Code + ": " + e.Problem.Detail }

func refused(code, field, format string, args ...any) error {
	return &RefusedError{Problem: problem(code, field, format, args...)}
}

// Put takes a RouterSpec (JSON), waits until it or a newer one was applied, and
// returns the status really reached: compare AppliedGeneration. A refused spec
// is a *RefusedError and has changed nothing. When ctx ends first, the spec is
// applied all the same.
func (a *Agent) Put(ctx context.Context, raw []byte) (agentv1.RouterStatus, error) {
	turn, err := a.offer(raw)
	if err != nil {
		return agentv1.RouterStatus{}, err
	}
	if err := a.await(ctx, turn); err != nil {
		return agentv1.RouterStatus{}, err
	}
	return a.Status(ctx), nil
}

// Patch takes a SpecChange (JSON) as Put does the whole.
func (a *Agent) Patch(ctx context.Context, raw []byte) (agentv1.RouterStatus, error) {
	turn, err := a.offerChange(raw)
	if err != nil {
		return agentv1.RouterStatus{}, err
	}
	if err := a.await(ctx, turn); err != nil {
		return agentv1.RouterStatus{}, err
	}
	return a.Status(ctx), nil
}

// Offer is Put without waiting, also before Run, of a spec that was made here
// and need not be parsed; d is its content's digest.
func (a *Agent) Offer(spec agentv1.RouterSpec, d agentv1.Digest) error {
	raw, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	in := Incoming{Raw: raw, Spec: spec}
	in.hash(d)
	a.admission.Lock()
	defer a.admission.Unlock()
	_, err = a.admit(in)
	return err
}

// Settled waits until all that was accepted so far was applied, or tried.
func (a *Agent) Settled(ctx context.Context) error {
	a.mu.Lock()
	turn := a.asked
	a.mu.Unlock()
	return a.await(ctx, turn)
}

func (a *Agent) offer(raw []byte) (uint64, error) {
	in, err := Decode(raw)
	if err != nil {
		return 0, refused(agentv1.CodeInvalidSpec, "", "%v", err)
	}
	a.admission.Lock()
	defer a.admission.Unlock()
	return a.admit(in)
}

func (a *Agent) offerChange(raw []byte) (uint64, error) {
	a.admission.Lock() // it is a change of what is accepted now
	defer a.admission.Unlock()
	in, err := DecodeChange(raw, a.digest)
	if err != nil {
		return 0, refused(agentv1.CodeInvalidSpec, "", "%v", err)
	}
	return a.admit(in)
}

// admit decides on a spec and returns the turn of the apply to wait for; 0 when
// all of it is applied already. It is called with admission held.
func (a *Agent) admit(in Incoming) (uint64, error) {
	d := Decide(a.current(), in)
	if d.Verdict == Accept {
		if err := a.check(&in); err != nil {
			d.Verdict, d.Problem = Refuse, invalid(err)
		}
	}
	if err := a.store(d, in); err != nil {
		a.checked = nil // what it was changed to is not what is accepted
		return 0, refused(agentv1.CodeInternal, "", "%v; nothing was changed", err)
	}
	switch d.Verdict {
	case Accept:
		a.cfg.Log.Info("spec accepted", "router", a.cfg.RouterUUID, "generation", in.Spec.Generation)
		a.events.Add(agentv1.Event{Type: "accepted", Generation: in.Spec.Generation})
		return a.ask(), nil
	case Already:
		if a.reachedAll() {
			return 0, nil
		}
		return a.ask(), nil
	default:
		a.cfg.Log.Warn("spec refused", "router", a.cfg.RouterUUID, "generation", in.Spec.Generation,
			"code", d.Problem.Code, "err", d.Problem.Detail)
		return 0, &RefusedError{Problem: d.Problem}
	}
}

// check finds out what an incoming spec's content is and whether it is good.
func (a *Agent) check(in *Incoming) error {
	if in.Change == nil {
		checked, err := a.cfg.Router.Check(in.Spec.Content)
		if err != nil {
			return err
		}
		in.Spec.Content.Sort()
		a.checked = checked
		return nil
	}
	next, err := a.spec.Content.Changed(*in.Change)
	if err != nil {
		return &InvalidError{Field: "/change", Err: err}
	}
	if err := a.checked.Change(next, *in.Change); err != nil {
		return err
	}
	in.Spec.Content = next
	return nil
}

func (a *Agent) current() Current {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Current{
		RouterUUID: a.cfg.RouterUUID, Generation: a.entry.Accepted.Generation, Hash: a.entry.Accepted.Hash,
		Partial: len(a.ignored) > 0 || a.checked == nil, Fence: a.entry.Fence,
	}
}

// store writes what a decision changes to the ledger, before any effect: an
// agent that is killed in the middle of an apply then goes on with that spec
// and not with the one before, which the orchestrator believes replaced.
func (a *Agent) store(d Decision, in Incoming) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.entry
	next.Fence = d.Fence
	if d.Verdict == Accept {
		next.Accepted = ledger.Mark{Generation: in.Spec.Generation, Hash: in.Spec.Hash}
		next.AcceptedAt = time.Now().UTC()
	}
	switch {
	case d.Verdict != Accept && next.Fence == a.entry.Fence:
		return nil
	case d.Verdict != Accept:
		if err := a.cfg.Ledger.Append(next, nil); err != nil {
			return err
		}
	default:
		if err := a.write(next, in); err != nil {
			return err
		}
		a.spec, a.ignored, a.digest = &in.Spec, in.Ignored, in.Digest
		if a.follows = a.follows && in.Change != nil; a.follows {
			a.since.Add(*in.Change)
		}
	}
	a.entry = next
	return nil
}

// write stores an accepted spec: a change at its own cost, but for one in
// thousands, after which the ledger is short again.
func (a *Agent) write(next ledger.Entry, in Incoming) error {
	if in.Change != nil && !a.cfg.Ledger.Outgrown() {
		return a.cfg.Ledger.Append(next, in.Raw)
	}
	if next.Spec = in.Raw; in.Change != nil {
		var err error
		if next.Spec, err = json.Marshal(in.Spec); err != nil {
			return err
		}
	}
	return a.cfg.Ledger.Store(next)
}

func (a *Agent) reachedAll() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entry.Applied == a.entry.Accepted && a.lastErr == ""
}

func invalid(err error) agentv1.Problem {
	p := agentv1.Problem{Code: agentv1.CodeInvalidSpec, Detail: err.Error()}
	var field *InvalidError
	if errors.As(err, &field) {
		p.Field = field.Field
	}
	return p
}
