package httpapi

import (
	"context"
	"net/http"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// places are zones, clusters and hosts.
func (a *API) places() {
	Read[v1.Zone](a)
	Create(a, model.CreateZone)
	Delete[v1.Zone](a, model.DeleteZone)

	Read[v1.Cluster](a)
	Create(a, model.CreateCluster)
	Delete[v1.Cluster](a, model.DeleteCluster)

	List[v1.Host](a)
	GetWaiting[v1.Host](a, a.effects.WaitHost)
	Patch[v1.Host](a)
	Handle(a, operation("delete-host", http.MethodDelete, "/v1/hosts/{uuid}", "Move its routers away, or destroy them, and delete it; a missing one is fine"), a.deleteHost)
	Change[v1.Host](a, "act-on-host", http.MethodPost, "/v1/hosts/{uuid}/actions", "fence: an unreachable host is dead, its routers are made elsewhere",
		func(tx *model.Tx, in *CallWith[v1.Action]) error {
			_, err := model.HostAction(tx, in.UUID, in.Body.Action)
			return err
		})
	type createHost struct {
		DryRun
		Wait
		Body v1.CreateHost
	}
	Handle(a, createOperation[v1.Host](), func(ctx context.Context, in *createHost) (*One[v1.Host], error) {
		patience, err := in.patience(0)
		if err != nil {
			return nil, err
		}
		made, err := create(ctx, a, in.dry(), func(tx *model.Tx) (*v1.Host, error) { return model.CreateHost(tx, in.Body) })
		if err != nil {
			return nil, err
		}
		uuid := made.Body.UUID
		if err := await(ctx, patience, func(ctx context.Context) error { return a.effects.WaitHost(ctx, uuid) }); err != nil {
			return nil, err // the host stays, and is tried again
		}
		return one[v1.Host](a.view(ctx), uuid)
	})
}

func (a *API) deleteHost(ctx context.Context, in *Call) (*Nothing, error) {
	rule := func(tx *model.Tx) error { return model.DrainHost(tx, in.UUID) }
	return nil, a.effect(ctx, in, model.Hosts, rule, func(ctx context.Context) error { return a.effects.DeleteHost(ctx, in.UUID) })
}
