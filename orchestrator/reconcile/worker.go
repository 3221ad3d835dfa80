package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Backoff between failed attempts at one router.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// worker keeps one router right. It alone acts on the router in this process;
// the store's lock keeps other orchestrators away.
type worker struct {
	*Reconciler
	uuid     string
	log      *slog.Logger
	news     chan struct{} // the store changed
	look     chan struct{} // the world changed
	asked    chan struct{} // somebody waits for the router
	silent   time.Time     // since when the agent has not answered; zero: it does
	faults   string        // of its services, as the agent told last
	deaf     bool          // that may be for us: none of its network answers
	seen     plan.Observed // the last observation
	fresh    bool          // seen can be relied on
	urgent   bool          // somebody waits: pauses do not count in this round
	retry    time.Duration // the pause after a failure; zero: none to make
	hopeless string        // what was wanted when it failed
	builds   spacing
	accepted *agentv1.RouterSpec // by its agent, as far as it told; nil: unknown
	answers  chan model.Heard    // of the wire, about the router's new addresses
	lost     bool                // what is built takes the place of a router that was lost
	judged   chan struct{}       // closed when the row can be believed: see believe
	once     sync.Once
}

func newWorker(r *Reconciler, uuid string) *worker {
	return &worker{
		Reconciler: r, uuid: uuid, log: r.Log.With("router", uuid),
		news: make(chan struct{}, 1), look: make(chan struct{}, 1), asked: make(chan struct{}, 1),
		judged: make(chan struct{}),
	}
}

func (w *worker) wake()      { signal(w.news) }
func (w *worker) lookAgain() { signal(w.look) }
func (w *worker) ask()       { signal(w.asked) }

// believe says that the row is about the router as this process has seen it.
// Before, it tells what was so when another process ended.
func (w *worker) believe() { w.once.Do(func() { close(w.judged) }) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run loops until the router is gone or the server stops.
func (w *worker) run() {
	defer w.retire(w.uuid)
	defer w.believe()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.urgent = false
		select {
		case <-w.ctx.Done():
			return
		case <-w.news:
			if w.retry > 0 && w.wanted() == w.hopeless {
				continue // the news is our own failure
			}
		case <-w.look:
			w.fresh = false
			if w.retry > 0 {
				continue // a domain that dies at each start must not spin
			}
		case <-w.asked:
			w.fresh, w.urgent = false, true
		case <-timer.C:
			w.fresh = false
		}
		gone, pause, err := w.round()
		if gone {
			return
		}
		timer.Reset(w.pause(pause, err))
	}
}

// pause is how long to wait for the next round, if nothing happens before: a
// given time, or what follows from the round's result.
func (w *worker) pause(given time.Duration, err error) time.Duration {
	switch {
	case errors.Is(err, errSuperseded):
		signal(w.news)
		fallthrough
	case err == nil || w.ctx.Err() != nil:
		w.retry = 0
		if given > 0 {
			return given
		}
		return w.ObserveEvery
	}
	w.retry, w.hopeless = min(max(2*w.retry, firstRetry), lastRetry), w.wanted()
	return w.retry
}

// wanted is what the router is to be and where it could run, in short: when
// that changes after a failure, another attempt is worth it at once.
func (w *worker) wanted() string {
	view := w.Store.View()
	row := model.Get[v1.VirtualRouter](view, w.uuid)
	if row == nil {
		return ""
	}
	s := fmt.Sprint(wishOf(row), row.ImageUUID)
	for _, host := range model.CandidateHosts(view, row) {
		s += host.UUID
	}
	hash, err := w.wants.hash(view, row)
	if err != nil {
		return s + err.Error()
	}
	return s + hash
}

// wish is what ends actions that were planned for another one.
type wish struct {
	state string
	epoch int64
}

func wishOf(r *v1.VirtualRouter) wish { return wish{r.WantedState, r.Epoch} }

// round is load, plan, act, record, once. A pause above zero says when the next
// one is due.
func (w *worker) round() (gone bool, pause time.Duration, err error) {
	view := w.Store.View()
	row := model.Get[v1.VirtualRouter](view, w.uuid)
	if row == nil {
		return true, 0, nil
	}
	if w.hosts.pending(row.HostUUID) {
		w.fresh = false
		return false, 0, nil // its link tells when it knows more
	}
	if err := w.wants.caughtUp(w.ctx, view.Revision); err != nil { // else all would be planned
		return false, 0, err
	}
	wanted, err := w.wants.hash(view, row)
	if err != nil {
		w.believe()
		return false, 0, w.failed(row, "Plan", err)
	}
	if !w.fresh {
		w.seen = w.observeRouter(view, row)
		w.fresh = true
	}
	w.seen.HostUsable = hostUsable(view, row, w.seen.Domain)
	actions := plan.Next(row, wanted, w.seen)
	if len(actions) == 0 {
		w.believe()
		return false, 0, w.recordObserved(row)
	}
	if early := w.builds.wait(time.Now()); early > 0 && !w.urgent && slices.Contains(actions, plan.Begin) {
		return false, early, w.recordDown(row, early)
	}
	lock, err := w.Store.Lock(w.ctx, "router/"+w.uuid)
	if err != nil {
		return false, 0, w.failed(row, "Lock", err)
	}
	defer lock.Unlock()
	if newest := model.Get[v1.VirtualRouter](w.Store.View(), w.uuid); newest == nil || newest.Revision != row.Revision {
		w.fresh = false // another orchestrator may have done all of it
		return false, 0, errSuperseded
	}
	gone, err = w.act(lock, actions, wishOf(row))
	return gone, 0, err
}

// act runs the actions in order until one fails, or something else is wanted.
func (w *worker) act(lock *store.Lock, actions []plan.Action, planned wish) (gone bool, err error) {
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	go func() { // another orchestrator may be at work then, and its word counts
		select {
		case <-lock.Lost:
			cancel(errSuperseded)
		case <-ctx.Done():
		}
	}()
	go w.watchWish(ctx, planned, cancel)
	w.fresh = false // whatever happens now, look again afterwards
	w.lost = slices.Contains(actions, plan.Begin)
	progress := newProgress(actions)
	for _, a := range actions {
		view := w.Store.View()
		row := model.Get[v1.VirtualRouter](view, w.uuid)
		if row == nil {
			return true, nil
		}
		if wishOf(row) != planned {
			return false, errSuperseded
		}
		c := &call{worker: w, view: view, row: row, fence: lock.Fence, progress: progress}
		err := c.run(ctx, a)
		w.believe() // what was wrong with the row is recorded now
		if err != nil {
			return false, err
		}
		if a == plan.Begin {
			planned.epoch++
		}
	}
	return actions[len(actions)-1] == plan.Forget, nil
}

// watchWish ends what is under way when the router is to be something else by
// now: a router to be destroyed must not wait for an agent that is gone.
func (w *worker) watchWish(ctx context.Context, planned wish, cancel context.CancelCauseFunc) {
	err := w.Store.Wait(ctx, func(view *model.View) (bool, error) {
		row := model.Get[v1.VirtualRouter](view, w.uuid)
		return row == nil || row.WantedState != planned.state, nil
	})
	if err == nil {
		cancel(errSuperseded)
	}
}

// run runs one action, and records its failure.
func (c *call) run(ctx context.Context, a plan.Action) error {
	c.log.Debug("begin", "action", a, "stage", a.Stage())
	c.progress.start(a)
	began := c.progress.started
	err := do[a](c, ctx)
	switch {
	case err == nil:
		c.progress.done()
		c.log.Info("done", "action", a, "stage", a.Stage(), "ms", time.Since(began).Milliseconds())
		return nil
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.Is(err, errSuperseded), errors.Is(context.Cause(ctx), errSuperseded):
		return errSuperseded
	}
	c.progress.failed()
	return c.failed(c.row, a.Stage(), err, c.progress.record)
}

// failed records why a router is not what it should be.
func (w *worker) failed(row *v1.VirtualRouter, stage string, cause error, before ...func(*v1.VirtualRouter, time.Time)) error {
	w.log.Warn("failed", "stage", stage, "err", cause)
	select { // who asked while this was tried has this answer, and not another attempt
	case <-w.asked:
	default:
	}
	err := w.update(w.ctx, func(r *v1.VirtualRouter, now time.Time) {
		for _, record := range before {
			record(r, now)
		}
		message := "router " + r.Name + ": " + cause.Error()
		setCondition(r, v1.Condition{Type: stage, Status: v1.False, Reason: "Failed", Message: message, Since: now})
		setCondition(r, v1.Condition{Type: v1.ReadyCondition, Status: v1.False, Reason: stage + failedSuffix, Message: message, Since: now})
		if r.Epoch == row.Epoch && (stage == plan.Boot.Stage() || stage == plan.Enrol.Stage()) {
			r.State = v1.StateUnknown // whatever booted does not answer: build anew
		}
	})
	return errors.Join(cause, err)
}

// update changes the router's row, if it still exists.
func (w *worker) update(ctx context.Context, change func(r *v1.VirtualRouter, now time.Time)) error {
	_, err := w.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.VirtualRouter](tx.View, w.uuid)
		if row == nil {
			return nil
		}
		next := model.Copy(row)
		next.Conditions = append([]v1.Condition(nil), row.Conditions...)
		change(next, tx.Now)
		tx.Save(next)
		return nil
	})
	return err
}
