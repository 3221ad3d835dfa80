package httpapi

import (
	"context"
	"net/http"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

func (a *API) images() {
	Read[v1.Image](a)
	Delete[v1.Image](a, model.DeleteImage)
	type createImage struct {
		DryRun
		Body v1.CreateImage
	}
	Handle(a, createOperation[v1.Image](), func(ctx context.Context, in *createImage) (*One[v1.Image], error) {
		found, err := a.effects.InspectImage(ctx, &in.Body)
		if err != nil {
			return nil, err
		}
		return create(ctx, a, in.dry(), func(tx *model.Tx) (*v1.Image, error) { return model.CreateImage(tx, found) })
	})
}

func (a *API) offerings() {
	Read[v1.VirtualRouterOffering](a)
	Create(a, model.CreateOffering)
	Delete[v1.VirtualRouterOffering](a, model.DeleteOffering)
	Change[v1.VirtualRouterOffering](a, "act-on-virtual-router-offering", http.MethodPost, "/v1/virtual-router-offerings/{uuid}/actions", "make-default",
		func(tx *model.Tx, in *CallWith[v1.Action]) error {
			if in.Body.Action != "make-default" {
				return v1.Invalid("unknown-action", "action %q is none of [make-default]", shorten(in.Body.Action))
			}
			_, err := model.MakeDefault(tx, in.UUID)
			return err
		})
}

// action is an action; its ?wait waits for what it acts on.
type action struct{ CallWith[v1.Action] }

func (a *API) routers() {
	List[v1.VirtualRouter](a)
	GetWaiting[v1.VirtualRouter](a, a.effects.WaitRouter)
	Patch[v1.VirtualRouter](a)
	Delete[v1.VirtualRouter](a, model.DeleteRouter)
	Handle(a, operation("act-on-virtual-router", http.MethodPost, "/v1/virtual-routers/{uuid}/actions", "start, stop, reboot, reconnect or rebuild"),
		func(ctx context.Context, in *action) (*One[v1.VirtualRouter], error) {
			patience, err := in.patience(0)
			if err != nil {
				return nil, err
			}
			done, err := change[v1.VirtualRouter](ctx, a, &in.Call, func(tx *model.Tx) error {
				_, err := model.RouterAction(tx, in.UUID, in.Body.Action)
				return err
			})
			if err != nil || patience == 0 {
				return done, err
			}
			if err := await(ctx, patience, func(ctx context.Context) error { return a.effects.WaitRouter(ctx, in.UUID) }); err != nil {
				return nil, err
			}
			return one[v1.VirtualRouter](a.view(ctx), in.UUID)
		})
	a.routerQueries()
}

func (a *API) routerQueries() {
	type input struct {
		UUID string `path:"uuid"`
	}
	type spec struct{ Body agentv1.RouterSpec }
	Handle(a, operation("get-router-spec", http.MethodGet, "/v1/virtual-routers/{uuid}/spec", "What is wanted of the router"),
		func(_ context.Context, in *input) (*spec, error) {
			s, err := a.effects.RouterSpec(in.UUID)
			return &spec{s}, err
		})
	type status struct{ Body agentv1.RouterStatus }
	Handle(a, operation("get-router-status", http.MethodGet, "/v1/virtual-routers/{uuid}/status", "What the router's agent says now"),
		func(ctx context.Context, in *input) (*status, error) {
			s, err := a.effects.RouterStatus(ctx, in.UUID)
			return &status{s}, err
		})
	type explanation struct{ Body *v1.Explanation }
	Handle(a, operation("explain-router", http.MethodGet, "/v1/virtual-routers/{uuid}/explain", "What is wanted of the router, what is there, and why they differ, in words"),
		func(ctx context.Context, in *input) (*explanation, error) {
			x, err := a.explain(ctx, in.UUID)
			return &explanation{x}, err
		})
	type diagnostics struct{ Body agentv1.Diagnostics }
	Handle(a, operation("get-router-diagnostics", http.MethodGet, "/v1/virtual-routers/{uuid}/diagnostics", "The agent's log, rules, mappings, routes and neighbours, as text by section"),
		func(ctx context.Context, in *input) (*diagnostics, error) {
			d, err := a.effects.RouterDiagnostics(ctx, in.UUID)
			return &diagnostics{d}, err
		})
	type console struct {
		UUID string `path:"uuid"`
		Max  int    `query:"max" minimum:"1" maximum:"2097152" default:"65536" doc:"How much of its end, in bytes"`
	}
	Handle(a, operation("get-router-console", http.MethodGet, "/v1/virtual-routers/{uuid}/console", "What the router wrote to its serial console since its last start"),
		func(ctx context.Context, in *console) (*Raw, error) {
			b, err := a.effects.RouterConsole(ctx, in.UUID, in.Max)
			return &Raw{ContentType: "text/plain; charset=utf-8", Body: b}, err
		})
}

// explain says why a router does not serve, also when it cannot be planned or
// does not answer.
func (a *API) explain(ctx context.Context, uuid string) (*v1.Explanation, error) {
	router, err := one[v1.VirtualRouter](a.view(ctx), uuid)
	if err != nil {
		return nil, err
	}
	x := &v1.Explanation{Router: *router.Body, Notes: plan.Clashes(a.view(ctx), router.Body)}
	if spec, err := a.effects.RouterSpec(uuid); err != nil {
		x.PlanError = err.Error()
	} else {
		x.WantedHash = spec.Hash
	}
	if status, err := a.effects.RouterStatus(ctx, uuid); err != nil {
		x.StatusError = err.Error()
	} else {
		x.Status = &status
	}
	plan.Explain(x)
	return x, nil
}
