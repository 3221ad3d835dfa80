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
	status, err := c.Agents.PushSpec(ctx, agentlink.Target{RouterUUID: c.uuid, Addr: addr}, spec)
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

// decide stores a new generation if the content is a new one.
func (c *call) decide(ctx context.Context) (agentv1.RouterSpec, error) {
	var spec agentv1.RouterSpec
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.VirtualRouter](tx.View, c.uuid)
		if row == nil {
			return v1.NotFound("virtual-router", c.uuid)
		}
		content, err := plan.Content(tx.View, row, c.Services)
		if err != nil {
			return err
		}
		hash := content.Hash()
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
