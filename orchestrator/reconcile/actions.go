package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	plan.Leave:   (*call).leave,
	plan.Place:   (*call).place,
	plan.Begin:   (*call).begin,
	plan.Ask:     (*call).ask,
	plan.Claim:   (*call).claim,
	plan.Image:   (*call).image,
	plan.Token:   (*call).token,
	plan.Config:  (*call).config,
	plan.Define:  (*call).define,
	plan.Boot:    (*call).boot,
	plan.Enrol:   (*call).enrol,
	plan.Adopt:   (*call).adopt,
	plan.Apply:   (*call).apply,
	plan.Stop:    (*call).stop,
	plan.Destroy: (*call).clear,
	plan.Forget:  (*call).forget,
}

// errSuperseded ends the actions without a failure: what was planned is not
// what is wanted any more, or not this orchestrator's to do.
var errSuperseded = errors.New("superseded by a newer wish, or the lock was lost")

// call is one action on a router, with the newest view and row.
type call struct {
	*worker
	view     *model.View
	row      *v1.VirtualRouter
	fence    int64
	progress *progress
}

// update changes the row, unless the router is to be built anew meanwhile:
// what was done then says nothing about the next build.
func (c *call) update(ctx context.Context, change func(r *v1.VirtualRouter, now time.Time)) error {
	superseded := false
	err := c.worker.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		if superseded = r.Epoch != c.row.Epoch; !superseded {
			change(r, now)
		}
	})
	if superseded {
		return errSuperseded
	}
	return err
}

func (c *call) place(ctx context.Context) error {
	chosen := ""
	_, err := c.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.VirtualRouter](tx.View, c.uuid)
		if row == nil || row.Epoch != c.row.Epoch {
			return errSuperseded
		}
		host, err := placement.Choose(tx.View, row)
		if err != nil {
			return err
		}
		chosen = host
		_, err = model.PlaceRouter(tx, c.uuid, host)
		return err
	})
	if err != nil {
		return err
	}
	select { // after the server's start Connected tells of the time before it
	case <-c.hosts.settled(chosen):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// begin starts a build. What the stages of the former one were like says
// nothing about this one; why it failed is kept to be read.
func (c *call) begin(ctx context.Context) error {
	c.builds.begin(time.Now())
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		ready := v1.Condition{Type: v1.ReadyCondition, Status: v1.Unknown, Reason: "Building", Since: now}
		if last := v1.FindCondition(r.Conditions, v1.ReadyCondition); last.Status == v1.False {
			ready.Message = "last time: " + last.Message
		}
		r.Epoch++
		r.State, r.Status = v1.StateCreating, v1.Connecting
		r.AppliedGeneration, r.AppliedHash, r.BootID = 0, "", ""
		r.Conditions = []v1.Condition{ready}
		c.progress.record(r, now)
	})
}

// image uploads the template, one orchestrator at a time: another would take a
// half uploaded file for one that was cut short, and replace it.
func (c *call) image(ctx context.Context) error {
	img, hv, err := c.template()
	if err != nil {
		return err
	}
	lock, err := c.Store.Lock(ctx, "image/"+img.UUID+"/"+c.row.HostUUID)
	if err != nil {
		return err
	}
	defer lock.Unlock()
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

// define makes the domain. Its bridges are looked after first: somebody may
// have removed one since the host connected.
func (c *call) define(ctx context.Context) error {
	img, hv, err := c.template()
	if err != nil {
		return err
	}
	if err := c.realizeFor(ctx, c.row); err != nil {
		return err
	}
	d, err := plan.Domain(c.Store.View(), c.row, img)
	if err != nil {
		return err
	}
	c.endGuest(ctx, hv)
	c.Agents.Forget(c.uuid)
	return hv.EnsureDomain(ctx, d)
}

// enrol gives the agent its certificate, against the token of this build.
func (c *call) enrol(ctx context.Context) error {
	addr, err := plan.AgentAddress(c.row)
	if err != nil {
		return err
	}
	token, err := c.readToken(ctx, c.row)
	if err != nil {
		return err
	}
	if token.old(time.Now()) {
		return fmt.Errorf("its join token was made at %s, more than %s ago, and is not taken any more; it is built anew now", token.Made.Format(time.RFC3339), tokenLife)
	}
	ctx, cancel := context.WithTimeout(ctx, c.BootTimeout)
	defer cancel()
	if err := c.Agents.Enrol(ctx, agentlink.Target{RouterUUID: c.uuid, Addr: addr, JoinToken: token.Secret}); err != nil {
		return fmt.Errorf("its agent at %s did not enrol: %w; the console ends with %q; it is built anew now", addr, err, c.consoleTail(ctx))
	}
	return nil
}

// adopt ends the build. What it and older ones leave behind goes first: once
// the row says Running nobody looks for it any more.
func (c *call) adopt(ctx context.Context) error {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return err
	}
	err = c.deleteVolumes(ctx, hv, func(name string) bool {
		return name != plan.ConfigVolume(c.row) && name != plan.DiskVolume(c.row)
	})
	if err != nil {
		return err
	}
	if err := c.Store.Private().Delete(ctx, tokenKey(c.uuid)); err != nil {
		return err
	}
	c.silent, c.deaf = time.Time{}, false // a former agent's silence is not this one's
	return c.update(ctx, func(r *v1.VirtualRouter, now time.Time) {
		r.State = v1.StateRunning
		r.Nics = slices.Clone(r.Nics)
		for i := range r.Nics {
			r.Nics[i].Claimed = true
		}
		c.progress.record(r, now)
	})
}

// deleteVolumes removes the router's volumes that a predicate chooses.
func (c *call) deleteVolumes(ctx context.Context, hv hypervisor.Hypervisor, choose func(name string) bool) error {
	return deleteVolumes(ctx, hv, c.uuid, choose)
}

func deleteVolumes(ctx context.Context, hv hypervisor.Hypervisor, router string, choose func(name string) bool) error {
	volumes, err := hv.ListVolumes(ctx)
	if err != nil {
		return err
	}
	for _, vol := range volumes {
		if strings.HasPrefix(vol.Name, plan.RouterVolumePrefix(router)) && choose(vol.Name) {
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
