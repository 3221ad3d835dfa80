package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// apply decides on a generation, stores it, pushes it, and stores what was reached.
func (c *call) apply(ctx context.Context) error {
	c.claims.settled(ctx, true)
	spec, err := c.decide(ctx)
	if err != nil {
		return err
	}
	addr, err := plan.AgentAddress(c.row)
	if err != nil {
		return err
	}
	status, err := c.push(ctx, agentlink.Target{RouterUUID: c.uuid, Addr: addr}, spec)
	if err != nil {
		return fmt.Errorf("push generation %d to its agent at %s: %w", spec.Generation, addr, err)
	}
	if status.AppliedHash != spec.Hash {
		return fmt.Errorf("generation %d was accepted but not reached: %s; see `sluice virtual-router explain %s`", spec.Generation, faults(status), c.row.Name)
	}
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.AppliedGeneration, r.AppliedHash = spec.Generation, spec.Hash
		r.Status, r.BootID, r.AgentVersion = v1.Connected, status.BootID, status.AgentVersion
		settle(r)
		c.progress.record(r, now)
		setCondition(r, c.progress.ready(now))
	})
}

// push sends what has become another since the router was told last, or all of
// the spec where that is not known, or the agent knows it differently.
func (c *call) push(ctx context.Context, to agentlink.Target, spec agentv1.RouterSpec) (status agentv1.RouterStatus, err error) {
	last := c.accepted
	c.accepted = nil // until it has said so
	change, ok := changeOf(last, spec)
	if ok {
		status, err = c.Agents.PushChange(ctx, to, change)
	}
	if !ok || agentlink.NeedsWhole(err) {
		status, err = c.Agents.PushSpec(ctx, to, spec)
	}
	if err == nil && status.AcceptedHash == spec.Hash {
		c.accepted = &spec
	}
	return status, err
}

// changeOf is what differs, where that is said and less than the whole.
func changeOf(last *agentv1.RouterSpec, spec agentv1.RouterSpec) (agentv1.SpecChange, bool) {
	if last == nil {
		return agentv1.SpecChange{}, false
	}
	difference, ok := last.Content.Difference(spec.Content)
	if !ok || difference.Len() > spec.Content.Len() {
		return agentv1.SpecChange{}, false
	}
	return agentv1.SpecChange{Version: spec.Version, RouterUUID: spec.RouterUUID, Generation: spec.Generation, Fence: spec.Fence,
		BaseHash: last.Hash, Hash: spec.Hash, Change: difference}, true
}

// decide stores a new generation if the content is a new one.
func (c *call) decide(ctx context.Context) (spec agentv1.RouterSpec, err error) {
	if err := c.wants.caughtUp(ctx, c.Store.View().Revision); err != nil {
		return spec, err
	}
	_, err = c.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.VirtualRouter](tx.View, c.uuid)
		if row == nil {
			return v1.NotFound("virtual-router", c.uuid)
		}
		content, hash, err := c.wants.content(tx.View, row)
		if err != nil {
			return err
		}
		if hash != row.DesiredHash {
			row = model.Copy(row)
			row.DesiredHash, row.DesiredGeneration = hash, row.DesiredGeneration+1
			tx.Save(row)
		}
		spec = agentv1.RouterSpec{
			Version: agentv1.SpecVersion, RouterUUID: row.UUID, Generation: row.DesiredGeneration,
			Hash: hash, Fence: c.fence, Content: content,
		}
		return nil
	})
	return spec, err
}

// faults are the services that are not as the spec wants them; empty: none.
func faults(s agentv1.RouterStatus) string {
	var out []string
	for name, service := range s.Services {
		if !service.Ready {
			out = append(out, name+": "+service.Error)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
