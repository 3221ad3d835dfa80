package reconcile

import (
	"slices"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

const readyCondition = "Ready"

// condition is the router's condition of a type; the zero one if there is none.
func condition(r *v1.VirtualRouter, kind string) v1.Condition {
	for _, c := range r.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return v1.Condition{}
}

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

// progress collects how long each stage took, to be stored with the next
// write: one write a stage would cost a disk flush each.
type progress struct {
	began time.Time
	took  map[string]time.Duration
	order []string
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

func (p *progress) done(a plan.Action, started time.Time) {
	p.took[a.Stage()] += time.Since(started)
}

// record writes the stages that are over into the row's conditions.
func (p *progress) record(r *v1.VirtualRouter, now time.Time) {
	for _, stage := range p.order {
		if took, ok := p.took[stage]; ok {
			setCondition(r, v1.Condition{Type: stage, Status: v1.True, Reason: "Done", Since: now, DurationMs: took.Milliseconds()})
		}
	}
}

// ready is the condition of a router that serves what is wanted.
func (p *progress) ready(now time.Time) v1.Condition {
	return v1.Condition{Type: readyCondition, Status: v1.True, Reason: "Serving", Since: now, DurationMs: time.Since(p.began).Milliseconds()}
}
