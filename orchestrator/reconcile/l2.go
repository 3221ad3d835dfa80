package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// bridgesLock is held by who makes or removes bridges and records that, or a
// detach would remove what an attach beside it has just found. All bridges are
// on one machine, of which several orchestrators may take care.
const bridgesLock = "bridges"

// AttachL2 makes an L2 network real on every connected host of a cluster and
// then stores the attachment. A failure on one host names it, and undoes the
// rest. A host that connects later is brought up to date then.
func (r *Reconciler) AttachL2(ctx context.Context, l2uuid, cluster string) error {
	bridges, err := r.Store.Lock(ctx, bridgesLock)
	if err != nil {
		return err
	}
	defer bridges.Unlock()
	view := r.Store.View()
	if err := model.CheckAttachL2(view, l2uuid, cluster); err != nil {
		return err
	}
	l2 := model.Get[v1.L2Network](view, l2uuid)
	var made []v1.Realization
	for host := range model.Related[v1.Host](view, model.HostsOfCluster, cluster) {
		if host.Status != v1.Connected {
			continue
		}
		bridge, err := r.L2s.Realize(ctx, l2)
		if err != nil {
			return errors.Join(onHost(host, l2, err), r.undo(ctx, l2, made))
		}
		made = append(made, v1.Realization{HostUUID: host.UUID, Bridge: bridge})
	}
	if _, err := r.Store.Update(ctx, func(tx *model.Tx) error { return model.AttachL2(tx, l2uuid, cluster, made) }); err != nil {
		return errors.Join(err, r.undo(ctx, l2, made))
	}
	return nil
}

// DetachL2 stores that an L2 network leaves a cluster and removes its bridges there.
func (r *Reconciler) DetachL2(ctx context.Context, l2uuid, cluster string) error {
	bridges, err := r.Store.Lock(ctx, bridgesLock)
	if err != nil {
		return err
	}
	defer bridges.Unlock()
	before := model.Get[v1.L2Network](r.Store.View(), l2uuid)
	if _, err := r.Store.Update(ctx, func(tx *model.Tx) error { return model.DetachL2(tx, l2uuid, cluster) }); err != nil || before == nil {
		return err
	}
	after := model.Get[v1.L2Network](r.Store.View(), l2uuid)
	return r.unrealize(ctx, before, left(before, after))
}

// DeleteL2 deletes an L2 network with its L3 networks and removes its bridges.
func (r *Reconciler) DeleteL2(ctx context.Context, l2uuid string) error {
	bridges, err := r.Store.Lock(ctx, bridgesLock)
	if err != nil {
		return err
	}
	defer bridges.Unlock()
	before := model.Get[v1.L2Network](r.Store.View(), l2uuid)
	if _, err := r.Store.Update(ctx, func(tx *model.Tx) error { return model.DeleteL2Network(tx, l2uuid) }); err != nil || before == nil {
		return err
	}
	return r.unrealize(ctx, before, before.Realizations)
}

// DeleteHost moves the routers of a host away, or destroys those that no other
// host may take, and deletes it with its bridges. It goes on where it was when
// it is called again.
func (r *Reconciler) DeleteHost(ctx context.Context, uuid string) error {
	if _, err := r.Store.Update(ctx, func(tx *model.Tx) error { return model.DrainHost(tx, uuid) }); err != nil {
		return err
	}
	err := r.wait(ctx, "host "+uuid+": its end", func(view *model.View) (bool, error) {
		return model.First[v1.VirtualRouter](view, model.RoutersOfHost, uuid) == nil, nil
	})
	if err != nil {
		return err
	}
	bridges, err := r.Store.Lock(ctx, bridgesLock)
	if err != nil {
		return err
	}
	defer bridges.Unlock()
	before := r.Store.View()
	if _, err := r.Store.Update(ctx, func(tx *model.Tx) error { return model.DeleteHost(tx, uuid) }); err != nil {
		return err
	}
	var errs []error
	for l2 := range model.List[v1.L2Network](before) {
		for _, real := range l2.Realizations {
			if real.HostUUID == uuid {
				errs = append(errs, r.unrealize(ctx, l2, []v1.Realization{real}))
			}
		}
	}
	return errors.Join(errs...)
}

// left are the realizations that only before has.
func left(before, after *v1.L2Network) []v1.Realization {
	var out []v1.Realization
	for _, real := range before.Realizations {
		if after == nil || !slices.Contains(after.Realizations, real) {
			out = append(out, real)
		}
	}
	return out
}

// undo is unrealize also when the caller's patience is over.
func (r *Reconciler) undo(ctx context.Context, l2 *v1.L2Network, made []v1.Realization) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return r.unrealize(ctx, l2, made)
}

// unrealize removes bridges. All hosts' bridges are on the orchestrator's own
// machine, so those that are recorded for another host or network stay.
func (r *Reconciler) unrealize(ctx context.Context, l2 *v1.L2Network, from []v1.Realization) error {
	if len(from) == 0 {
		return nil
	}
	for other := range model.List[v1.L2Network](r.Store.View()) {
		if slices.ContainsFunc(other.Realizations, func(real v1.Realization) bool { return real.Bridge == from[0].Bridge }) {
			return nil
		}
	}
	if err := r.L2s.Unrealize(ctx, l2); err != nil {
		return fmt.Errorf("remove bridge %s of L2 network %s: %w", from[0].Bridge, l2.Name, err)
	}
	return nil
}

// bridgesOf stands for the L2 networks of the host's cluster and their bridges:
// it changes when one of them does.
func (l *hostLink) bridgesOf() string {
	view := l.r.Store.View()
	host := model.Get[v1.Host](view, l.uuid)
	if host == nil {
		return ""
	}
	s := " "
	for l2 := range model.List[v1.L2Network](view) {
		if slices.Contains(l2.AttachedClusterUUIDs, host.ClusterUUID) {
			s += fmt.Sprint(l2.UUID, l2.Revision, " ")
		}
	}
	return s
}

// realizeAll brings a host up to date with the L2 networks of its cluster:
// missing bridges are made, also those that somebody removed.
func (l *hostLink) realizeAll(ctx context.Context) error {
	return l.r.realizeOn(ctx, l.uuid, func(*v1.L2Network) bool { return true })
}

// realizeFor does it for the networks of a router, on its host.
func (r *Reconciler) realizeFor(ctx context.Context, row *v1.VirtualRouter) error {
	of := map[string]bool{}
	for _, uuid := range model.RouterL3s(row) {
		if l3 := model.Get[v1.L3Network](r.Store.View(), uuid); l3 != nil {
			of[l3.L2NetworkUUID] = true
		}
	}
	return r.realizeOn(ctx, row.HostUUID, func(l2 *v1.L2Network) bool { return of[l2.UUID] })
}

func (r *Reconciler) realizeOn(ctx context.Context, hostUUID string, choose func(*v1.L2Network) bool) error {
	bridges, err := r.Store.Lock(ctx, bridgesLock)
	if err != nil {
		return err
	}
	defer bridges.Unlock()
	view := r.Store.View()
	host := model.Get[v1.Host](view, hostUUID)
	if host == nil {
		return nil
	}
	var errs []error
	for l2 := range model.List[v1.L2Network](view) {
		if !slices.Contains(l2.AttachedClusterUUIDs, host.ClusterUUID) || !choose(l2) {
			continue
		}
		if known(l2, hostUUID) && r.L2s.Check(ctx, l2) == nil {
			continue
		}
		bridge, err := r.L2s.Realize(ctx, l2)
		if err == nil {
			err = r.recordBridge(ctx, hostUUID, l2.UUID, bridge)
		}
		if err != nil {
			errs = append(errs, onHost(host, l2, err))
		}
	}
	return errors.Join(errs...)
}

func known(l2 *v1.L2Network, host string) bool {
	return slices.ContainsFunc(l2.Realizations, func(real v1.Realization) bool { return real.HostUUID == host })
}

func (r *Reconciler) recordBridge(ctx context.Context, host, l2uuid, bridge string) error {
	_, err := r.Store.Update(ctx, func(tx *model.Tx) error {
		return model.RealizeL2(tx, l2uuid, []v1.Realization{{HostUUID: host, Bridge: bridge}})
	})
	return err
}

func onHost(host *v1.Host, l2 *v1.L2Network, err error) error {
	var refusal *v1.Error
	if errors.As(err, &refusal) {
		refusal.Detail = fmt.Sprintf("on host %s: %s", host.Name, refusal.Detail)
		return refusal.On(host.UUID)
	}
	return v1.Unavailable("l2-realize-failed", "on host %s, L2 network %s, interface %s: %v", host.Name, l2.Name, l2.PhysicalInterface, err).
		On(host.UUID, l2.UUID).Because(err)
}
