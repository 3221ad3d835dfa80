package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/placement"
)

// do is what each action does. All are idempotent: the store is written before
// an effect, and an effect that is there already is left alone.
var do = map[plan.Action]func(*call, context.Context) error{
	plan.Place:   (*call).place,
	plan.Begin:   (*call).begin,
	plan.Token:   (*call).token,
	plan.Image:   (*call).image,
	plan.Config:  (*call).config,
	plan.Define:  (*call).define,
	plan.Enrol:   (*call).enrol,
	plan.Adopt:   (*call).adopt,
	plan.Apply:   (*call).apply,
	plan.Stop:    (*call).stop,
	plan.Destroy: (*call).destroy,
	plan.Forget:  (*call).forget,
}

// call is one action on a router, with the newest view and row.
type call struct {
	*worker
	view     *model.View
	row      *v1.VirtualRouter
	fence    int64
	progress *progress
}

func (c *call) place(ctx context.Context) error {
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.VirtualRouter](tx.View, c.uuid)
		if row == nil {
			return nil
		}
		host, err := placement.Choose(tx.View, row)
		if err != nil {
			return err
		}
		next := model.Copy(row)
		next.HostUUID, next.ClusterUUID = host, model.Get[v1.Host](tx.View, host).ClusterUUID
		tx.Save(next)
		return nil
	})
	return err
}

func (c *call) begin(ctx context.Context) error {
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.Epoch++
		r.State, r.Status = v1.StateCreating, v1.Connecting
		r.AppliedGeneration, r.AppliedHash, r.BootID = 0, "", ""
		c.progress.record(r, now)
		setCondition(r, v1.Condition{Type: readyCondition, Status: v1.Unknown, Reason: "Building", Since: now})
	})
}

func (c *call) image(ctx context.Context) error {
	img, hv, err := c.template()
	if err != nil {
		return err
	}
	for _, name := range plan.ImageVolumes(img) {
		if err := hv.EnsureVolume(ctx, plan.ImageVolume(img, name), img.Files[name].Size, imageFile(img, name)); err != nil {
			return fmt.Errorf("upload %s of image %s: %w", name, img.Name, err)
		}
	}
	if img.Format == "qcow2" {
		return hv.EnsureOverlay(ctx, plan.DiskVolume(c.row), plan.ImageVolume(img, plan.DiskFile))
	}
	return nil
}

func (c *call) define(ctx context.Context) error {
	img, hv, err := c.template()
	if err != nil {
		return err
	}
	d, err := plan.Domain(c.view, c.row, img)
	if err != nil {
		return err
	}
	c.Agents.Forget(c.uuid)
	return hv.EnsureDomain(ctx, d)
}

// enrol waits for the agent, and says what the console showed if it never came.
func (c *call) enrol(ctx context.Context) error {
	t, err := c.target(ctx)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, c.BootTimeout)
	defer cancel()
	began := time.Now()
	err = c.Agents.WaitReachable(waitCtx, t)
	if err == nil {
		err = c.Agents.Enrol(waitCtx, t)
	}
	if err != nil {
		return fmt.Errorf("its agent at %s did not enrol within %.1fs of its start: %w; the console ends with %q; look at it with `virsh console %s`, it is built anew now",
			t.Addr, time.Since(began).Seconds(), err, c.consoleTail(ctx), plan.DomainName(c.uuid))
	}
	return nil
}

func (c *call) consoleTail(ctx context.Context) string {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return ""
	}
	b, err := hv.ConsoleTail(ctx, c.uuid, 300)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// adopt ends the build. The token is spent, so it goes.
func (c *call) adopt(ctx context.Context) error {
	if err := c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.State = v1.StateRunning
		c.progress.record(r, now)
	}); err != nil {
		return err
	}
	if err := c.Store.Private().Delete(ctx, tokenKey(c.row)); err != nil {
		return err
	}
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return err
	}
	return c.deleteVolumes(ctx, hv, func(name string) bool {
		return name != plan.ConfigVolume(c.row) && name != plan.DiskVolume(c.row)
	})
}

// apply decides on a generation, stores it, pushes it, and stores what was reached.
func (c *call) apply(ctx context.Context) error {
	spec, err := c.decide(ctx)
	if err != nil {
		return err
	}
	t, err := c.target(ctx)
	if err != nil {
		return err
	}
	status, err := c.Agents.PushSpec(ctx, t, spec)
	if err != nil {
		return fmt.Errorf("push generation %d to its agent at %s: %w", spec.Generation, t.Addr, err)
	}
	if status.AppliedHash != spec.Hash {
		return fmt.Errorf("generation %d was accepted but not reached: %s; see `sluice virtual-router explain %s`", spec.Generation, faults(status), c.row.Name)
	}
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.AppliedGeneration, r.AppliedHash = spec.Generation, spec.Hash
		r.Status, r.BootID, r.AgentVersion = v1.Connected, status.BootID, status.AgentVersion
		c.progress.done(plan.Apply, now)
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

func (c *call) stop(ctx context.Context) error {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return err
	}
	if err := hv.StopDomain(ctx, c.uuid); err != nil {
		return err
	}
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.State, r.Status, r.AppliedHash = v1.StateStopped, v1.Disconnected, ""
		setCondition(r, v1.Condition{Type: readyCondition, Status: v1.False, Reason: "Stopped", Message: "router " + r.Name + " was stopped", Since: now})
	})
}

func (c *call) destroy(ctx context.Context) error {
	if c.row.HostUUID == "" { // never placed: nothing was made
		return nil
	}
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return err
	}
	c.Agents.Forget(c.uuid)
	if err := hv.DeleteDomain(ctx, c.uuid); err != nil {
		return err
	}
	return c.deleteVolumes(ctx, hv, func(string) bool { return true })
}

func (c *call) forget(ctx context.Context) error {
	if err := c.Store.Private().Delete(ctx, tokenKey(c.row)); err != nil {
		return err
	}
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error { return model.ForgetRouter(tx, c.uuid) })
	return err
}

// deleteVolumes removes the router's volumes that a predicate chooses.
func (c *call) deleteVolumes(ctx context.Context, hv hypervisor.Hypervisor, choose func(name string) bool) error {
	volumes, err := hv.ListVolumes(ctx)
	if err != nil {
		return err
	}
	for _, vol := range volumes {
		if strings.HasPrefix(vol.Name, plan.RouterVolumePrefix(c.uuid)) && choose(vol.Name) {
			if err := hv.DeleteVolume(ctx, vol.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// template is the router's image and the connection to its host.
func (c *call) template() (*v1.Image, hypervisor.Hypervisor, error) {
	img := model.Get[v1.Image](c.view, c.row.ImageUUID)
	if img == nil {
		return nil, nil, v1.Unavailable("image-missing", "its image %s is not registered any more; register one, point the offering at it, and rebuild the router", c.row.ImageUUID).On(c.row.ImageUUID)
	}
	hv, err := c.hosts.get(c.row.HostUUID)
	return img, hv, err
}

func (c *call) target(ctx context.Context) (agentlink.Target, error) {
	addr, err := plan.AgentAddress(c.row)
	if err != nil {
		return agentlink.Target{}, err
	}
	token, _, err := c.Store.Private().Get(ctx, tokenKey(c.row))
	return agentlink.Target{RouterUUID: c.uuid, Addr: addr, JoinToken: string(token)}, err
}

func faults(s agentv1.RouterStatus) string {
	var out []string
	for name, service := range s.Services {
		if !service.Ready {
			out = append(out, name+": "+service.Error)
		}
	}
	return strings.Join(out, "; ")
}
