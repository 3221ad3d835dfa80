package reconcile

import (
	"context"
	"errors"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// hostPatience is how long a host that could not be reached at the last
// attempt is given: the pause between two, and time for the next one.
const hostPatience = 3 * hostRetry

// WaitHost waits until a host is connected, or an attempt to reach it failed.
func (r *Reconciler) WaitHost(ctx context.Context, uuid string) error {
	patience, cancel := context.WithTimeout(ctx, hostPatience)
	defer cancel()
	failure := func(view *model.View) (c v1.Condition) {
		if host := model.Get[v1.Host](view, uuid); host != nil && len(host.Conditions) > 0 && host.Conditions[0].Status == v1.False {
			c = host.Conditions[0]
		}
		return c
	}
	known := failure(r.Store.View())
	attempt := func(view *model.View) (bool, error) {
		host := model.Get[v1.Host](view, uuid)
		if host == nil {
			return false, v1.NotFound("host", uuid)
		}
		if c := failure(view); c.Status == v1.False && (!c.Since.Equal(known.Since) || patience.Err() != nil) {
			return false, v1.Unavailable("hypervisor-unreachable", "host %s: %s", host.Name, c.Message).On(uuid)
		}
		return host.Status == v1.Connected, nil
	}
	// A failure that stays the same is stored once, so no news may come.
	if err := r.Store.Wait(patience, attempt); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return r.wait(ctx, "host "+uuid, attempt)
}

// WaitRouter waits until a router is what the newest view wants of it, or an
// attempt has failed since the call began.
func (r *Reconciler) WaitRouter(ctx context.Context, uuid string) error {
	known := failureOf(model.Get[v1.VirtualRouter](r.Store.View(), uuid))
	r.ask(uuid)
	r.believed(ctx, uuid)
	return r.wait(ctx, "virtual router "+uuid, func(view *model.View) (bool, error) {
		row := model.Get[v1.VirtualRouter](view, uuid)
		if row == nil {
			return false, v1.NotFound("virtual-router", uuid)
		}
		if err := r.wants.caughtUp(ctx, view.Revision); err != nil { // else all would be planned
			return false, err
		}
		if ok, err := r.serving(view, row); ok || err != nil {
			return ok, err
		}
		if c := failureOf(row); !c.Since.Equal(known.Since) && !c.Since.IsZero() {
			return false, v1.Unavailable("router-failed", "stage %s: %s; it is tried again, and so is a repeated call", stageOf(row), c.Message).On(uuid)
		}
		return false, nil
	})
}

// failureOf is the condition of a router that failed; the zero one if it did not.
func failureOf(row *v1.VirtualRouter) v1.Condition {
	if row == nil {
		return v1.Condition{}
	}
	if c := v1.FindCondition(row.Conditions, v1.ReadyCondition); strings.HasSuffix(c.Reason, failedSuffix) {
		return c
	}
	return v1.Condition{}
}

// stageOf is the stage that failed last.
func stageOf(row *v1.VirtualRouter) string {
	return strings.TrimSuffix(v1.FindCondition(row.Conditions, v1.ReadyCondition).Reason, failedSuffix)
}

// serving reports whether the router is as wanted by the view.
func (r *Reconciler) serving(view *model.View, row *v1.VirtualRouter) (bool, error) {
	switch row.WantedState {
	case v1.StateStopped:
		return row.State == v1.StateStopped, nil
	case v1.StateDestroyed:
		return false, nil
	}
	wanted, err := r.wants.hash(view, row)
	return err == nil && row.State == v1.StateRunning && row.Status == v1.Connected && row.AppliedHash == wanted, err
}

// Settle waits until VIPs were asked about on the wire, and every router that
// answers is what the newest view wants of it: after it, a change that was
// stored before holds for packets too. One that is down does not hold it up; it
// will be right when it is back; of an account, what is not shown to it is
// nothing to wait for, nor to be told of.
func (r *Reconciler) Settle(ctx context.Context, account string) error {
	r.claims.settled(ctx, false)
	view := r.Store.View()
	if err := r.wants.caughtUp(ctx, view.Revision); err != nil {
		return err
	}
	for row := range model.List[v1.VirtualRouter](view) {
		if row.Status != v1.Connected || row.WantedState != v1.StateRunning {
			continue
		}
		if l3 := model.Get[v1.L3Network](view, row.L3NetworkUUID); l3 == nil || !model.VisibleTo(account, l3) {
			continue
		}
		if ok, err := r.serving(view, row); ok || err != nil {
			continue // an error is the worker's to report
		}
		if err := r.WaitRouter(ctx, row.UUID); err != nil && v1.Code(err) != "not-found" {
			return err
		}
	}
	return nil
}

// WaitVM waits until every router that serves a nic of the VM does.
func (r *Reconciler) WaitVM(ctx context.Context, uuid string) error {
	view := r.Store.View()
	for nic := range model.Related[v1.VMNic](view, model.NicsOfVM, uuid) {
		router := model.First[v1.VirtualRouter](view, model.RouterOfGuestL3, nic.L3NetworkUUID)
		if router == nil {
			continue
		}
		if err := r.WaitRouter(ctx, router.UUID); err != nil {
			return err
		}
	}
	return nil
}

// wait turns the end of the caller's patience into an answer.
func (r *Reconciler) wait(ctx context.Context, what string, done func(*model.View) (bool, error)) error {
	err := r.Store.Wait(ctx, done)
	if errors.Is(err, context.DeadlineExceeded) {
		return v1.Unavailable("still-working", "%s is not ready yet; it goes on, look again or wait longer (?wait=)", what)
	}
	return err
}
