package reconcile

import (
	"slices"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// setCondition replaces the condition of the same type. Since moves only when
// the status does, or when it failed again.
func setCondition(r *v1.VirtualRouter, c v1.Condition) {
	i := slices.IndexFunc(r.Conditions, func(have v1.Condition) bool { return have.Type == c.Type })
	if i < 0 {
		r.Conditions = append(r.Conditions, c)
		return
	}
	if have := r.Conditions[i]; have.Status == c.Status && c.Status != v1.False {
		c.Since = have.Since
	}
	r.Conditions[i] = c
}

// settle drops failures of the past: called where all is well again.
func settle(r *v1.VirtualRouter) {
	r.Conditions = slices.DeleteFunc(r.Conditions, func(c v1.Condition) bool {
		return c.Type != v1.ReadyCondition && c.Status != v1.True
	})
}

// failedSuffix ends the reason of a router that is not Ready; the stage stands
// before it.
const failedSuffix = "Failed"

// progress collects how long each stage took, to be stored with the next
// write: one write a stage would cost a disk flush each.
type progress struct {
	began   time.Time
	took    map[string]time.Duration
	order   []string
	stage   string    // of the action at work; empty between two
	started time.Time // of the action at work
}

func newProgress(actions []plan.Action) *progress {
	p := &progress{began: time.Now(), took: map[string]time.Duration{}}
	for _, a := range actions {
		if !slices.Contains(p.order, a.Stage()) {
			p.order = append(p.order, a.Stage())
		}
	}
	return p
}

func (p *progress) start(a plan.Action) { p.stage, p.started = a.Stage(), time.Now() }

func (p *progress) done() {
	p.took[p.stage] += time.Since(p.started)
	p.stage = ""
}

// failed ends the action at work; its stage is not one of those that are over.
func (p *progress) failed() {
	delete(p.took, p.stage)
	p.stage = ""
}

// record writes the stages that are over into the row's conditions. The one of
// the action at work counts as over: who records is at its end.
func (p *progress) record(r *v1.VirtualRouter, now time.Time) {
	for _, stage := range p.order {
		took, ok := p.took[stage]
		if stage == p.stage {
			took, ok = took+time.Since(p.started), true
		}
		if ok {
			setCondition(r, v1.Condition{Type: stage, Status: v1.True, Reason: "Done", Since: now, DurationMs: took.Milliseconds()})
		}
	}
}

// ready is the condition of a router that serves what is wanted.
func (p *progress) ready(now time.Time) v1.Condition {
	return v1.Condition{Type: v1.ReadyCondition, Status: v1.True, Reason: "Serving", Since: now, DurationMs: time.Since(p.began).Milliseconds()}
}
