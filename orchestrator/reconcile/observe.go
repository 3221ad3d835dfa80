package reconcile

import (
	"context"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/placement"
)

// observeRouter looks at the router's domain, and at its agent if that runs.
func (w *worker) observeRouter(view *model.View, row *v1.VirtualRouter) plan.Observed {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	o := plan.Observed{Domain: hypervisor.Unknown, Agent: plan.AgentSilent, AppliedHash: row.AppliedHash}
	hv, err := w.hosts.get(row.HostUUID)
	if err != nil {
		// What cannot be seen is assumed unchanged: an orchestrator that lost
		// libvirt must not rebuild routers that work.
		o.Domain = assumed(row)
	} else if d, err := hv.GetDomain(ctx, row.UUID); err != nil {
		w.log.Warn("observe domain", "err", err)
		o.Domain = assumed(row)
	} else {
		o.Domain = d.State
	}
	if o.Domain == hypervisor.Running && row.State == v1.StateRunning && row.WantedState == v1.StateRunning {
		w.observeAgent(ctx, row, &o)
	}
	return o
}

func assumed(row *v1.VirtualRouter) hypervisor.State {
	if row.State == v1.StateRunning {
		return hypervisor.Running
	}
	return hypervisor.Unknown
}

func (w *worker) observeAgent(ctx context.Context, row *v1.VirtualRouter, o *plan.Observed) {
	addr, err := plan.AgentAddress(row)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	status, err := w.Agents.Status(ctx, agentlink.Target{RouterUUID: row.UUID, Addr: addr})
	switch {
	case err == nil:
		w.silent = time.Time{}
		o.Agent, o.AppliedHash = plan.AgentReady, status.AppliedHash
	case agentlink.IsNotEnrolled(err):
		o.Agent = plan.AgentStranger
	case w.silent.IsZero():
		w.silent = time.Now()
	case time.Since(w.silent) > w.LostAfter:
		w.log.Warn("agent is lost", "silent", time.Since(w.silent).Round(time.Second), "err", err)
		w.silent = time.Time{}
		o.Agent = plan.AgentLost
	}
}

// recordObserved stores what was seen when nothing has to be done, if it is news.
func (w *worker) recordObserved(row *v1.VirtualRouter) error {
	status := row.Status
	switch {
	case row.WantedState != v1.StateRunning:
		status = v1.Disconnected
	case w.seen.Agent == plan.AgentSilent && !w.silent.IsZero():
		status = v1.Disconnected
	}
	if status == row.Status {
		return nil
	}
	return w.update(w.ctx, func(r *v1.VirtualRouter, _ time.Time) { r.Status = status })
}

// hostUsable reports whether the router can stay where it is.
func hostUsable(view *model.View, row *v1.VirtualRouter) bool {
	return row.HostUUID != "" && !placement.MustMove(view, row)
}
