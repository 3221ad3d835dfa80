package reconcile

import (
	"context"
	"fmt"
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
	hostSeen := err == nil
	if err != nil {
		// What cannot be seen is assumed unchanged: an orchestrator that lost
		// libvirt must not rebuild routers that work.
		o.Domain = assumed(view, row)
	} else if d, err := hv.GetDomain(ctx, row.UUID); err != nil {
		w.log.Warn("observe domain", "err", err)
		o.Domain, hostSeen = assumed(view, row), false
	} else {
		o.Domain = d.State
	}
	if o.Domain == hypervisor.Running && row.State == v1.StateRunning && row.WantedState == v1.StateRunning {
		w.observeAgent(ctx, view, row, &o)
	}
	if !hostSeen && o.Agent != plan.AgentReady {
		// A broken network takes host and agent away together, and nothing can
		// be built there now: the router may well work.
		o.Agent = plan.AgentSilent
	}
	if row.State == v1.StateCreating {
		token, err := w.readToken(ctx, row)
		o.TokenOld = err == nil && token.old(time.Now())
	}
	return o
}

func assumed(view *model.View, row *v1.VirtualRouter) hypervisor.State {
	if fenced(view, row.HostUUID) {
		return hypervisor.Absent // by the administrator's word
	}
	switch row.State {
	case v1.StateRunning:
		return hypervisor.Running
	case v1.StateStopped:
		return hypervisor.Stopped
	}
	return hypervisor.Unknown
}

func (w *worker) observeAgent(ctx context.Context, view *model.View, row *v1.VirtualRouter, o *plan.Observed) {
	addr, err := plan.AgentAddress(row)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	status, err := w.Agents.Brief(ctx, agentlink.Target{RouterUUID: row.UUID, Addr: addr})
	if err == nil || agentlink.IsNotEnrolled(err) {
		w.hearing.hear(row, time.Now())
	}
	switch {
	case err == nil:
		w.silent, w.deaf, w.faults = time.Time{}, false, faults(status)
		o.Agent, o.AppliedHash = plan.AgentReady, status.AppliedHash
	case agentlink.IsNotEnrolled(err):
		o.Agent = plan.AgentStranger
	case w.silent.IsZero():
		w.silent = time.Now()
	case time.Since(w.silent) <= w.LostAfter:
	case !w.hearing.dead(view, row, w.silent, time.Now()):
		w.deaf = true
	default:
		w.log.Warn("agent is lost", "silent", time.Since(w.silent).Round(time.Second), "err", err)
		o.Agent = plan.AgentLost // until the next build is adopted
	}
}

// recordObserved stores what was seen when nothing has to be done, if it is news.
func (w *worker) recordObserved(row *v1.VirtualRouter) error {
	status, ready := row.Status, v1.FindCondition(row.Conditions, v1.ReadyCondition)
	switch {
	case row.WantedState != v1.StateRunning:
		status = v1.Disconnected
	case w.seen.Agent == plan.AgentReady && w.faults != "":
		ready = v1.Condition{Type: v1.ReadyCondition, Status: v1.False, Reason: "Degraded",
			Message: fmt.Sprintf("router %s: it reached what is wanted, and does not keep it: %s; its agent goes on trying, see `sluice virtual-router logs %s`", row.Name, w.faults, row.Name)}
	case w.seen.Agent == plan.AgentReady:
		ready = v1.Condition{Type: v1.ReadyCondition, Status: v1.True, Reason: "Serving"}
	case !w.silent.IsZero():
		status = v1.Disconnected
		ready = v1.Condition{Type: v1.ReadyCondition, Status: v1.Unknown, Reason: "Silent",
			Message: fmt.Sprintf("router %s: its agent does not answer; it is rebuilt if that lasts for %s", row.Name, w.LostAfter)}
		if w.deaf {
			ready.Message = fmt.Sprintf("router %s: no agent of its management network answers, and this one is left alone until another does; see whether this machine reaches that network", row.Name)
		}
	}
	if have := v1.FindCondition(row.Conditions, v1.ReadyCondition); status == row.Status && ready.Status == have.Status && ready.Message == have.Message {
		return nil
	}
	return w.update(w.ctx, func(r *v1.VirtualRouter, now time.Time) {
		if wishOf(r) != wishOf(row) {
			return
		}
		r.Status, ready.Since = status, now
		setCondition(r, ready)
		if ready.Status == v1.True {
			settle(r)
		}
	})
}

// recordDown stores that a router is down and not built at once.
func (w *worker) recordDown(row *v1.VirtualRouter, wait time.Duration) error {
	if row.State != v1.StateRunning {
		return nil // known
	}
	return w.update(w.ctx, func(r *v1.VirtualRouter, now time.Time) {
		if wishOf(r) != wishOf(row) {
			return
		}
		r.State, r.Status = downState(w.seen.Domain), v1.Disconnected
		stage := plan.Define.Stage()
		message := fmt.Sprintf("router %s: it was lost again soon after it was built (domain %s, agent %s); the next attempt is in %.1fs; look at its console with `virsh console %s`",
			r.Name, w.seen.Domain, w.seen.Agent, wait.Seconds(), plan.DomainName(r.UUID))
		setCondition(r, v1.Condition{Type: stage, Status: v1.False, Reason: "Failed", Message: message, Since: now})
		setCondition(r, v1.Condition{Type: v1.ReadyCondition, Status: v1.False, Reason: stage + failedSuffix, Message: message, Since: now})
	})
}

// downState is how a router's row calls a domain that does not serve.
func downState(s hypervisor.State) string {
	switch s {
	case hypervisor.Stopped, hypervisor.Paused, hypervisor.Crashed:
		return string(s) // the same words
	case hypervisor.Absent:
		return v1.StateDestroyed
	}
	return v1.StateUnknown
}

// hostUsable reports whether the router can stay where it is. One that has to
// leave and cannot go anywhere does, while it runs: better there than nowhere.
func hostUsable(view *model.View, row *v1.VirtualRouter, domain hypervisor.State) bool {
	if row.HostUUID == "" || !placement.MustMove(view, row) {
		return row.HostUUID != ""
	}
	runs := row.State == v1.StateRunning && domain == hypervisor.Running && model.Get[v1.Host](view, row.HostUUID) != nil
	return runs && len(model.CandidateHosts(view, row)) == 0
}
