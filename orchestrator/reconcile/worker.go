package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"time"

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
	seen     plan.Observed // the last observation
	fresh    bool          // seen can be relied on
	retry    time.Duration // the pause after a failure; zero: none to make
	hopeless string        // what was wanted when it failed
}

func newWorker(r *Reconciler, uuid string) *worker {
	return &worker{
		Reconciler: r, uuid: uuid, log: r.Log.With("router", uuid),
		news: make(chan struct{}, 1), look: make(chan struct{}, 1), asked: make(chan struct{}, 1),
	}
}

func (w *worker) wake()      { signal(w.news) }
func (w *worker) lookAgain() { signal(w.look) }
func (w *worker) ask()       { signal(w.asked) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run loops until the router is gone or the server stops.
func (w *worker) run() {
	defer w.retire(w.uuid)
	timer := time.NewTimer(0)
	for {
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
			w.fresh = false
		case <-timer.C:
			w.fresh = false
		}
		gone, err := w.round()
		if gone {
			return
		}
		timer.Reset(w.pause(err))
	}
}

// wanted is what the router is to be, in short: when it changes after a
// failure, another attempt is worth it at once.
func (w *worker) wanted() string {
	view := w.Store.View()
	row := model.Get[v1.VirtualRouter](view, w.uuid)
	if row == nil {
		return ""
	}
	content, err := plan.Content(view, row, w.Services)
	if err != nil {
		return err.Error()
	}
	return row.WantedState + content.Hash()
}

func (w *worker) pause(err error) time.Duration {
	if err == nil || w.ctx.Err() != nil {
		w.retry = 0
		return w.ObserveEvery
	}
	w.retry, w.hopeless = min(max(2*w.retry, firstRetry), lastRetry), w.wanted()
	return w.retry
}

// round is load, plan, act, record, once.
func (w *worker) round() (gone bool, err error) {
	view := w.Store.View()
	row := model.Get[v1.VirtualRouter](view, w.uuid)
	if row == nil {
		return true, nil
	}
	content, err := plan.Content(view, row, w.Services)
	if err != nil {
		return false, w.failed(row, "Plan", err)
	}
	if !w.fresh {
		w.seen = w.observeRouter(view, row)
		w.fresh = true
	}
	w.seen.HostUsable = hostUsable(view, row)
	actions := plan.Next(row, content.Hash(), w.seen)
	if len(actions) == 0 {
		return false, w.recordObserved(row)
	}
	lock, err := w.Store.Lock(w.ctx, "router/"+w.uuid)
	if err != nil {
		return false, w.failed(row, "Lock", err)
	}
	defer lock.Unlock()
	return w.act(lock, actions)
}

// act runs the actions in order until one fails.
func (w *worker) act(lock *store.Lock, actions []plan.Action) (gone bool, err error) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	go func() { // a lost lock means that another orchestrator may be at work
		select {
		case <-lock.Lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.fresh = false // whatever happens now, look again afterwards
	progress := newProgress(actions)
	for _, a := range actions {
		view := w.Store.View()
		row := model.Get[v1.VirtualRouter](view, w.uuid)
		if row == nil {
			return true, nil
		}
		started := time.Now()
		w.log.Debug("begin", "action", a, "stage", a.Stage())
		c := &call{worker: w, view: view, row: row, fence: lock.Fence, progress: progress}
		if err := do[a](c, ctx); err != nil {
			if w.ctx.Err() != nil {
				return false, w.ctx.Err()
			}
			return false, w.failed(row, a.Stage(), err)
		}
		progress.done(a, started)
		w.log.Info("done", "action", a, "stage", a.Stage(), "ms", time.Since(started).Milliseconds())
	}
	w.retry = 0
	return actions[len(actions)-1] == plan.Forget, nil
}

// failed records why a router is not what it should be.
func (w *worker) failed(row *v1.VirtualRouter, stage string, cause error) error {
	w.log.Warn("failed", "stage", stage, "err", cause)
	err := w.update(w.ctx, func(r *v1.VirtualRouter, now time.Time) {
		message := "router " + r.Name + ": " + cause.Error()
		setCondition(r, v1.Condition{Type: stage, Status: v1.False, Reason: "Failed", Message: message, Since: now})
		setCondition(r, v1.Condition{Type: readyCondition, Status: v1.False, Reason: stage + "Failed", Message: message, Since: now})
		if stage == plan.Enrol.Stage() { // whatever booted does not answer: build anew
			r.State = v1.StateUnknown
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
