package reconcile

import (
	"context"
	"fmt"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

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
func (r *Reconciler) RouterStatus(ctx context.Context, uuid string) (status agentv1.RouterStatus, err error) {
	err = r.askAgent(uuid, "read status", func(t agentlink.Target) (err error) {
		status, err = r.Agents.Status(ctx, t)
		return err
	})
	return status, err
}

// RouterDiagnostics asks a router's agent for its log, rules and tables.
func (r *Reconciler) RouterDiagnostics(ctx context.Context, uuid string) (d agentv1.Diagnostics, err error) {
	err = r.askAgent(uuid, "read diagnostics", func(t agentlink.Target) error {
		return r.Agents.Command(ctx, t, agentv1.CommandDiagnostics, "", nil, &d)
	})
	return d, err
}

func (r *Reconciler) askAgent(uuid, what string, ask func(agentlink.Target) error) error {
	row := model.Get[v1.VirtualRouter](r.Store.View(), uuid)
	if row == nil {
		return v1.NotFound("virtual-router", uuid)
	}
	addr, err := plan.AgentAddress(row)
	if err != nil {
		return err
	}
	if err := ask(agentlink.Target{RouterUUID: uuid, Addr: addr}); err != nil {
		return v1.Unavailable("router-unreachable", "the agent of router %s at %s does not answer: %v; it is rebuilt by itself if it stays silent", row.Name, addr, err).
			On(uuid).Because(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// RouterConsole reads the end of a router's serial console from its host.
func (r *Reconciler) RouterConsole(ctx context.Context, uuid string, max int) ([]byte, error) {
	row := model.Get[v1.VirtualRouter](r.Store.View(), uuid)
	if row == nil {
		return nil, v1.NotFound("virtual-router", uuid)
	}
	if row.HostUUID == "" {
		return nil, v1.Conflict("router-not-placed", "router %s has no host yet, and no console; see `sluice explain router %s`", row.Name, uuid).On(uuid)
	}
	hv, err := r.hosts.get(row.HostUUID)
	if err != nil {
		return nil, v1.Unavailable("host-unreachable", "the host of router %s does not answer: %v; see `sluice doctor`", row.Name, err).On(uuid, row.HostUUID)
	}
	b, err := hv.ConsoleTail(ctx, uuid, max)
	if err != nil {
		return nil, v1.Unavailable("console-unreadable", "read console of router %s: %v; it has one once its domain was started", row.Name, err).On(uuid).Because(err)
	}
	return b, nil
}
