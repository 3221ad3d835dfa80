package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// planned ends a dry run. It travels as an error, the way of a refusal: so no
// effect and no wait that comes after the rule is ever reached.
type planned v1.Plan

func (p *planned) Error() string { return "a dry run does nothing" }

// GetStatus is 200: nothing was created.
func (p *planned) GetStatus() int { return http.StatusOK }

// ContentType is that of plans, whatever was negotiated.
func (p *planned) ContentType(string) string { return v1.PlanType }

// run commits what a rule writes on behalf of the caller, or answers with what
// would come of it. The view that it answers is the caller's.
func (a *API) run(ctx context.Context, dry bool, rule func(*model.Tx) error) (*model.View, error) {
	account := callerOf(ctx).Account
	var before *model.View
	var last *model.Tx // of the run that was committed
	acting := func(tx *model.Tx) error {
		before, last = tx.For(account).Clone(), tx
		tx.ActFor(account)
		return rule(tx)
	}
	if !dry {
		view, err := a.store.Update(ctx, acting)
		if err != nil {
			return nil, err
		}
		t := trailOf(ctx)
		t.Revision = view.Revision
		t.wrote(account, before, last)
		return view.For(account), nil
	}
	var would v1.Plan
	_, err := a.store.DryRun(func(tx *model.Tx) error {
		err := acting(tx)
		if err == nil {
			would = plan.Preview(before, tx, a.planners)
			discreetPlan(&would, before, tx.View)
		}
		return err
	})
	if err == nil {
		err = (*planned)(&would)
	}
	return nil, err
}

// discreetPlan leaves out of a plan for an account what is not its own.
func discreetPlan(p *v1.Plan, before, after *model.View) {
	if after.Account() == "" {
		return
	}
	p.Routers = []v1.PlannedRouter{}
	p.Changes = slices.DeleteFunc(p.Changes, func(c v1.PlannedChange) bool {
		kind, _ := model.KindByPath(c.Kind)
		r := after.Any(kind, c.UUID)
		if r == nil {
			r = before.Any(kind, c.UUID)
		}
		return r == nil || !after.Sees(r)
	})
	for i, c := range p.Changes {
		if r, ok := c.Resource.(v1.Resource); ok {
			p.Changes[i].Resource = withoutCloud(r)
		}
	}
}

// documentPlan adds to an operation that a dry run answers a plan.
func documentPlan(api huma.API, op *huma.Operation) {
	response := op.Responses["200"]
	if response == nil {
		response = &huma.Response{Description: "With dryRun: what would be done"}
		op.Responses["200"] = response
	}
	if response.Content == nil {
		response.Content = map[string]*huma.MediaType{}
	}
	response.Content[v1.PlanType] = &huma.MediaType{Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[v1.Plan](), true, "")}
}
