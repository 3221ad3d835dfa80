package reconcile

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// trustFor is how long the hash of a router's wanted content is believed
// without computing it again although nothing is known to have changed it.
const trustFor = time.Minute

// wants remembers the hash of every router's wanted content, so that a change
// costs the routers that it concerns, and not all of them.
type wants struct {
	services []plan.Service
	log      *slog.Logger

	mu    sync.Mutex
	known map[string]want // by router UUID
	// touched is the revision of the last change that concerned a router, all
	// of the last that may have concerned any. Both are complete up to upTo.
	touched   map[string]int64
	all, upTo int64
	moved     chan struct{} // closed and replaced when upTo moves
}

// want is what was computed from the view of a revision.
type want struct {
	content  agentv1.Content
	hash     string
	revision int64
	since    time.Time
}

func newWants(services []plan.Service, log *slog.Logger) *wants {
	return &wants{
		services: services, log: log,
		known: map[string]want{}, touched: map[string]int64{}, moved: make(chan struct{}),
	}
}

// advance notes a step of the store, and returns the routers that it concerns;
// everyone: all.
func (w *wants) advance(step store.Step) (routers []string, everyone bool) {
	everyone = step.Gap
	var touched []string
	for _, c := range step.Changes {
		some, all := plan.Concerned(step.View, c.Before, c.After)
		routers, everyone = append(routers, some...), everyone || all
		if !ownNotes(c.Before, c.After) {
			touched = append(touched, some...)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upTo = step.View.Revision
	if everyone {
		w.all = w.upTo
	}
	for _, uuid := range touched {
		w.touched[uuid] = w.upTo
	}
	close(w.moved)
	w.moved = make(chan struct{})
	return routers, everyone
}

// caughtUp waits until every change up to a revision is noted.
func (w *wants) caughtUp(ctx context.Context, revision int64) error {
	for {
		w.mu.Lock()
		upTo, moved := w.upTo, w.moved
		w.mu.Unlock()
		if upTo >= revision {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ownNotes is whether all that became another is what we note about a router.
func ownNotes(before, after v1.Resource) bool {
	was, ok := before.(*v1.VirtualRouter)
	is, also := after.(*v1.VirtualRouter)
	return ok && also && was != nil && is != nil && reflect.DeepEqual(unnoted(was), unnoted(is))
}

func unnoted(r *v1.VirtualRouter) v1.VirtualRouter {
	c := *r
	c.State, c.Status, c.Conditions, c.BootID, c.AgentVersion = "", "", nil, "", ""
	c.DesiredGeneration, c.DesiredHash, c.AppliedGeneration, c.AppliedHash = 0, "", 0, ""
	c.Revision, c.LastOpDate = 0, time.Time{}
	return c
}

// hash is that of the content which a view wants of the router with that row.
func (w *wants) hash(v *model.View, row *v1.VirtualRouter) (string, error) {
	_, hash, err := w.content(v, row)
	return hash, err
}

// content is that content itself, for reading only, with its hash.
func (w *wants) content(v *model.View, row *v1.VirtualRouter) (agentv1.Content, string, error) {
	have, fresh := w.recall(v, row.UUID)
	if fresh && time.Since(have.since) < trustFor {
		return have.content, have.hash, nil
	}
	content, err := plan.Content(v, row, w.services)
	if err != nil {
		return agentv1.Content{}, "", err
	}
	now := want{content: content, hash: content.Hash(), revision: v.Revision, since: time.Now()}
	if fresh && now.hash != have.hash { // a defect of plan.Concerned
		w.log.Error("a change of what a router has to do was overlooked", "router", row.UUID, "revision", v.Revision)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.revision >= w.known[row.UUID].revision {
		w.known[row.UUID] = now
	}
	return content, now.hash, nil
}

// recall is what is known, and whether that holds for the view.
func (w *wants) recall(v *model.View, router string) (have want, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	have, ok := w.known[router]
	changed := max(w.touched[router], w.all)
	return have, ok && changed <= have.revision && have.revision <= v.Revision && v.Revision <= w.upTo
}

// forget drops what is known of a router that is gone.
func (w *wants) forget(router string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, router)
	delete(w.touched, router)
}
