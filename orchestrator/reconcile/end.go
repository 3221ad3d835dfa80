package reconcile

import (
	"context"
	"errors"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan/placement"
)

// leave clears the host that the router moves away from, so that no two
// domains ever have its addresses. While no other host will do it stays: a
// router in the wrong place serves its guests better than none.
func (c *call) leave(ctx context.Context) error {
	_, nowhere := placement.Choose(c.view, c.row)
	if nowhere != nil && c.seen.Domain == hypervisor.Running {
		return nowhere
	}
	// Stored first: a row must not say that a router serves which is gone.
	err := c.update(ctx, func(r *v1.VirtualRouter, _ time.Time) {
		r.State, r.Status, r.AppliedHash = v1.StateUnknown, v1.Disconnected, ""
	})
	if err != nil || nowhere != nil {
		return errors.Join(err, nowhere)
	}
	return c.clear(ctx)
}

// stop turns the domain off.
func (c *call) stop(ctx context.Context) error {
	hv, err := c.hostIfAny()
	if err != nil {
		return err
	}
	if hv != nil {
		if err := hv.StopDomain(ctx, c.uuid); err != nil {
			return err
		}
	}
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.State, r.Status, r.AppliedHash = v1.StateStopped, v1.Disconnected, ""
		settle(r)
		c.progress.record(r, now)
		setCondition(r, v1.Condition{Type: v1.ReadyCondition, Status: v1.False, Reason: "Stopped", Message: "router " + r.Name + " was stopped", Since: now})
	})
}

// clear removes domain and volumes from the router's host.
func (c *call) clear(ctx context.Context) error {
	c.Agents.Forget(c.uuid)
	hv, err := c.hostIfAny()
	if err != nil {
		return err
	}
	if hv == nil {
		return c.leaveBehind(ctx)
	}
	if err := hv.DeleteDomain(ctx, c.uuid); err != nil {
		return err
	}
	return c.deleteVolumes(ctx, hv, func(string) bool { return true })
}

// hostIfAny is the connection to the router's host; nil if it was never
// placed, or its host was deleted or fenced: nobody can reach what is there.
func (c *call) hostIfAny() (hypervisor.Hypervisor, error) {
	if c.row.HostUUID == "" {
		return nil, nil
	}
	if model.Get[v1.Host](c.view, c.row.HostUUID) == nil {
		c.log.Warn("host was deleted, what is on it stays", "host", c.row.HostUUID)
		return nil, nil
	}
	if fenced(c.view, c.row.HostUUID) {
		return nil, nil
	}
	return c.hosts.get(c.row.HostUUID)
}

func fenced(view *model.View, host string) bool {
	h := model.Get[v1.Host](view, host)
	return h != nil && h.Fenced
}

// leaveBehind notes what a fenced host has to get rid of when it is back.
func (c *call) leaveBehind(ctx context.Context) error {
	if !fenced(c.view, c.row.HostUUID) {
		return nil
	}
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error { return model.LeaveBehind(tx, c.row.HostUUID, c.uuid) })
	return err
}

func (c *call) forget(ctx context.Context) error {
	if err := c.Store.Private().Delete(ctx, tokenKey(c.uuid)); err != nil {
		return err
	}
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error { return model.ForgetRouter(tx, c.uuid) })
	return err
}
