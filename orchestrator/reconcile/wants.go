package reconcile

import (
	"context"
	"log/slog"
	"maps"
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

// oldViews: what was planned so many revisions ago is planned anew, so that no
// view is kept in memory for long.
const oldViews = 1000

// manyNics: so many that changed are looked at one by one, more as all.
const manyNics = 1000

// wants remembers every router's wanted content, so that a change costs the
// routers that it concerns, and of these the nics.
type wants struct {
	services []plan.Service
	log      *slog.Logger

	mu    sync.Mutex
	known map[string]want // by router UUID
	// touched is what concerned a router lately, all the revision of the last
	// change that may have concerned any. Both are complete up to upTo.
	touched   map[string]touched
	all, upTo int64
	let       int64         // the revision when old views were let go
	moved     chan struct{} // closed and replaced when upTo moves
}

// touched are the revisions of the last changes that concerned a router, and of
// those that concerned nothing but nics of its guests.
type touched struct {
	whole int64
	nics  map[string]int64
}

// want is what was planned of a view.
type want struct {
	// view is a clone: who asked in a transaction goes on changing his.
	view    *model.View
	content agentv1.Content
	digest  agentv1.Digest
	hash    string
	// since is when all of it was planned.
	since time.Time
}

func newWants(services []plan.Service, log *slog.Logger) *wants {
	return &wants{
		services: services, log: log,
		known: map[string]want{}, touched: map[string]touched{}, moved: make(chan struct{}),
	}
}

// advance notes a step of the store, and returns the routers that it concerns;
// everyone: all.
func (w *wants) advance(step store.Step) (routers []string, everyone bool) {
	everyone = step.Gap
	var concerns []plan.Concern
	for _, c := range step.Changes {
		some, all := plan.Concerned(step.View, c.Before, c.After)
		everyone = everyone || all
		for _, one := range some {
			routers = append(routers, one.Router)
		}
		if !ownNotes(c.Before, c.After) {
			concerns = append(concerns, some...)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upTo = step.View.Revision
	if everyone {
		w.all = w.upTo
	}
	for _, c := range concerns {
		w.touch(c)
	}
	if w.upTo-w.let > oldViews {
		w.let = w.upTo
		maps.DeleteFunc(w.known, func(_ string, have want) bool { return w.upTo-have.view.Revision > oldViews })
	}
	close(w.moved)
	w.moved = make(chan struct{})
	return routers, everyone
}

// touch notes that a router was concerned by the newest revision. It is called
// with mu held.
func (w *wants) touch(c plan.Concern) {
	t := w.touched[c.Router]
	if c.Nic == "" || len(t.nics) >= manyNics {
		w.touched[c.Router] = touched{whole: w.upTo}
		return
	}
	if t.nics == nil {
		t.nics = map[string]int64{}
	}
	t.nics[c.Nic] = w.upTo
	w.touched[c.Router] = t
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
	have, nics, follows := w.recall(v, row.UUID)
	now, known := want{}, false
	if follows {
		now, known = w.follow(have, v, row.UUID, nics)
	}
	if !known || time.Since(now.since) > trustFor {
		content, err := plan.Content(v, row, w.services)
		if err != nil {
			return agentv1.Content{}, "", err
		}
		digest := content.Digest()
		if known && digest != now.digest { // a defect of plan.Concerned, or of plan.Difference
			w.log.Error("a change of what a router has to do was overlooked", "router", row.UUID, "revision", v.Revision)
		}
		now = want{view: v.Clone(), content: content, digest: digest, hash: digest.String(), since: time.Now()}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if was := w.known[row.UUID].view; was == nil || was.Revision <= v.Revision {
		w.known[row.UUID] = now
		w.settle(row.UUID)
	}
	return now.content, now.hash, nil
}

// follow brings what is known of a router to another view.
func (w *wants) follow(have want, v *model.View, router string, nics []string) (want, bool) {
	if len(nics) > 0 {
		ch, ok := plan.Difference(have.view, v, router, nics, w.services)
		if !ok {
			return want{}, false
		}
		content, err := have.content.Changed(ch)
		if err != nil {
			return want{}, false
		}
		if ch.Len() > 0 {
			have.content, have.digest = content, have.digest.Changed(ch)
			have.hash = have.digest.String()
		}
	}
	have.view = v.Clone() // not the old one: it would be kept in memory
	return have, true
}

// recall is what is known of a router, and the nics that may have become others
// since; follows: nothing else has, up to the view.
func (w *wants) recall(v *model.View, router string) (have want, nics []string, follows bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	have, ok := w.known[router]
	t := w.touched[router]
	if !ok || max(t.whole, w.all) > have.view.Revision || have.view.Revision > v.Revision || v.Revision > w.upTo {
		return have, nil, false
	}
	for nic, revision := range t.nics {
		if revision > have.view.Revision {
			nics = append(nics, nic)
		}
	}
	return have, nics, true
}

// settle forgets the nics that what is known has in it. It is called with mu held.
func (w *wants) settle(router string) {
	at := w.known[router].view.Revision
	maps.DeleteFunc(w.touched[router].nics, func(_ string, revision int64) bool { return revision <= at })
}

// forget drops what is known of a router that is gone.
func (w *wants) forget(router string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, router)
	delete(w.touched, router)
}
