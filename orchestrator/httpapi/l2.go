package httpapi

import (
	"context"
	"net/http"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// clusterCall names an L2 network and a cluster.
type clusterCall struct {
	Call
	Cluster string `path:"cluster" doc:"UUID of the cluster"`
}

func (a *API) l2Networks() {
	Read[v1.L2Network](a)
	Create(a, model.CreateL2Network)
	Handle(a, operation("delete-l2-network", http.MethodDelete, "/v1/l2-networks/{uuid}", "Delete with its L3 networks; a missing one is fine"), a.deleteL2)
	const attachment = "/v1/l2-networks/{uuid}/clusters/{cluster}"
	Handle(a, operation("attach-l2-network", http.MethodPost, attachment, "Attach to a cluster: make it on every connected host"), a.attachL2)
	Handle(a, operation("detach-l2-network", http.MethodDelete, attachment, "Detach from a cluster; not attached is fine"), a.detachL2)
}

func (a *API) attachL2(ctx context.Context, in *clusterCall) (*One[v1.L2Network], error) {
	rule := func(tx *model.Tx) error { return model.AttachL2(tx, in.UUID, in.Cluster, nil) }
	err := a.effect(ctx, &in.Call, model.L2Networks, rule, func(ctx context.Context) error {
		return a.effects.AttachL2(ctx, in.UUID, in.Cluster)
	})
	if err != nil {
		return nil, err
	}
	return one[v1.L2Network](a.view(ctx), in.UUID)
}

func (a *API) detachL2(ctx context.Context, in *clusterCall) (*Nothing, error) {
	rule := func(tx *model.Tx) error { return model.DetachL2(tx, in.UUID, in.Cluster) }
	return nil, a.effect(ctx, &in.Call, model.L2Networks, rule, func(ctx context.Context) error {
		return a.effects.DetachL2(ctx, in.UUID, in.Cluster)
	})
}

func (a *API) deleteL2(ctx context.Context, in *Call) (*Nothing, error) {
	rule := func(tx *model.Tx) error { return model.DeleteL2Network(tx, in.UUID) }
	return nil, a.effect(ctx, in, model.L2Networks, rule, func(ctx context.Context) error {
		return a.effects.DeleteL2(ctx, in.UUID)
	})
}

// effectTimeout bounds an effect on hosts.
const effectTimeout = 2 * time.Minute

// effect tries the rule, which refuses what the model forbids and is all that
// a dry run does, and then has the effect done. The effect goes on when the
// caller hangs up: half of it would be worse than all or nothing.
func (a *API) effect(ctx context.Context, call *Call, kind model.Kind, rule func(*model.Tx) error, do func(context.Context) error) error {
	tried := func(tx *model.Tx) error {
		if err := call.matches(tx, kind); err != nil {
			return err
		}
		return rule(tx)
	}
	if call.dry() {
		_, err := a.run(ctx, true, tried)
		return err
	}
	if _, err := a.store.DryRun(tried); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTimeout)
	defer cancel()
	t := trailOf(ctx)
	t.touch(&t.Resources, kind.String(), call.UUID)
	return do(ctx)
}
