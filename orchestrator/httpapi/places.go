package httpapi

import (
	"context"

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
	Delete[v1.Host](a, model.DeleteHost)
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
		return one[v1.Host](a.store.View(), uuid)
	})
}
