package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// WaitHost waits until a host is connected, or an attempt to reach it failed.
func (r *Reconciler) WaitHost(ctx context.Context, uuid string) error {
	began := now()
	return r.wait(ctx, "host "+uuid, func(view *model.View) (bool, error) {
		host := model.Get[v1.Host](view, uuid)
		switch {
		case host == nil:
			return false, v1.NotFound("host", uuid)
		case host.Status == v1.Connected:
			return true, nil
		case len(host.Conditions) > 0 && host.Conditions[0].Status == v1.False && host.Conditions[0].Since.After(began):
			return false, v1.Unavailable("hypervisor-unreachable", "host %s: %s", host.Name, host.Conditions[0].Message).On(uuid)
		}
		return false, nil
	})
}

// WaitRouter waits until a router is what the newest view wants of it, or an
// attempt that ended after the call began has failed.
func (r *Reconciler) WaitRouter(ctx context.Context, uuid string) error {
	began := now().Add(-time.Millisecond) // stored times are cut to milliseconds
	r.ask(uuid)
	return r.wait(ctx, "virtual router "+uuid, func(view *model.View) (bool, error) {
		row := model.Get[v1.VirtualRouter](view, uuid)
		if row == nil {
			return false, v1.NotFound("virtual-router", uuid)
		}
		if ok, err := r.serving(view, row); ok || err != nil {
			return ok, err
		}
		if c := condition(row, readyCondition); c.Status == v1.False && c.Since.After(began) {
			return false, v1.Unavailable("router-failed", "stage %s: %s; it is tried again, and so is a repeated call", stageOf(row), c.Message).On(uuid)
		}
		return false, nil
	})
}

// stageOf is the stage that failed last.
func stageOf(row *v1.VirtualRouter) string {
	for _, c := range row.Conditions {
		if c.Type != readyCondition && c.Status == v1.False {
			return c.Type
		}
	}
	return "unknown"
}

// serving reports whether the router is as wanted by the view.
func (r *Reconciler) serving(view *model.View, row *v1.VirtualRouter) (bool, error) {
	switch row.WantedState {
	case v1.StateStopped:
		return row.State == v1.StateStopped, nil
	case v1.StateDestroyed:
		return false, nil
	}
	content, err := plan.Content(view, row, r.Services)
	if err != nil {
		return false, err
	}
	return row.State == v1.StateRunning && row.Status == v1.Connected && row.AppliedHash == content.Hash(), nil
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

// RouterSpec is what is wanted of a router now.
func (r *Reconciler) RouterSpec(uuid string) (agentv1.RouterSpec, error) {
	view := r.Store.View()
	row := model.Get[v1.VirtualRouter](view, uuid)
	if row == nil {
		return agentv1.RouterSpec{}, v1.NotFound("virtual-router", uuid)
	}
	content, err := plan.Content(view, row, r.Services)
	return agentv1.RouterSpec{
		Version: agentv1.SpecVersion, RouterUUID: uuid, Generation: row.DesiredGeneration, Hash: content.Hash(), Content: content,
	}, err
}

// RouterStatus asks a router's agent how it is.
func (r *Reconciler) RouterStatus(ctx context.Context, uuid string) (agentv1.RouterStatus, error) {
	row := model.Get[v1.VirtualRouter](r.Store.View(), uuid)
	if row == nil {
		return agentv1.RouterStatus{}, v1.NotFound("virtual-router", uuid)
	}
	addr, err := plan.AgentAddress(row)
	if err != nil {
		return agentv1.RouterStatus{}, err
	}
	status, err := r.Agents.Status(ctx, agentlink.Target{RouterUUID: uuid, Addr: addr})
	if err != nil {
		return status, v1.Unavailable("router-unreachable", "the agent of router %s at %s does not answer: %v; it is rebuilt by itself if it stays silent", row.Name, addr, err).
			On(uuid).Because(fmt.Errorf("read status: %w", err))
	}
	return status, nil
}
