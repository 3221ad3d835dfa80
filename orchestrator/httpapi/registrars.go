package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Read registers list, get and patch of a kind.
func Read[T any, P model.Resources[T]](a *API) {
	List[T, P](a)
	Get[T, P](a)
	Patch[T, P](a)
}

// Get registers the get call of a kind.
func Get[T any, P model.Resources[T]](a *API) {
	type input struct {
		UUID string `path:"uuid"`
	}
	Handle(a, operation("get-"+kindOf[T, P]().Noun(), http.MethodGet, pathOf[T, P]("/{uuid}"), "Get"),
		func(ctx context.Context, in *input) (*One[T], error) { return one[T, P](a.view(ctx), in.UUID) })
}

// GetWaiting is Get with ?wait, for kinds that take time to become what they
// are to be. That it failed or is not ready yet is no failure of the call: the
// resource's conditions tell.
func GetWaiting[T any, P model.Resources[T]](a *API, wait func(ctx context.Context, uuid string) error) {
	type input struct {
		UUID string `path:"uuid"`
		Wait
	}
	Handle(a, operation("get-"+kindOf[T, P]().Noun(), http.MethodGet, pathOf[T, P]("/{uuid}"), "Get, when ready or failed with ?wait"),
		func(ctx context.Context, in *input) (*One[T], error) {
			patience, err := in.patience(0)
			if err != nil {
				return nil, err
			}
			if _, err := one[T, P](a.view(ctx), in.UUID); err != nil {
				return nil, err
			}
			err = await(ctx, patience, func(ctx context.Context) error { return wait(ctx, in.UUID) })
			if err != nil && v1.Code(err) == "" {
				return nil, err
			}
			return one[T, P](a.view(ctx), in.UUID)
		})
}

// Patch registers the merge patch of a kind.
func Patch[T any, P model.Resources[T]](a *API) {
	Change[T, P](a, "patch-"+kindOf[T, P]().Noun(), http.MethodPatch, pathOf[T, P]("/{uuid}"), "Change "+strings.Join(model.Changeable(kindOf[T, P]()), ", "),
		func(tx *model.Tx, in *CallWith[mergePatch[T, P]]) error {
			_, err := model.Patch(tx, kindOf[T, P](), in.UUID, in.Body)
			return err
		})
}

// List registers the list of a kind.
func List[T any, P model.Resources[T]](a *API) {
	op := listOperation[T]("list-"+kindOf[T, P]().Noun(), pathOf[T, P](""), "List")
	Handle(a, op, func(ctx context.Context, in *Query) (*Page[T], error) { return list[T, P](a.view(ctx), in) })
}

// Create registers the create call of a kind.
func Create[T any, P model.Resources[T], C any](a *API, rule func(*model.Tx, C) (P, error)) {
	type input struct {
		DryRun
		Wait
		Body C
	}
	Handle(a, createOperation[T, P](), func(ctx context.Context, in *input) (*One[T], error) {
		return settled(ctx, a, in.Wait, func() (*One[T], error) {
			return create(ctx, a, in.dry(), func(tx *model.Tx) (P, error) { return rule(tx, in.Body) })
		})
	})
}

func createOperation[T any, P model.Resources[T]]() huma.Operation {
	op := operation("create-"+kindOf[T, P]().Noun(), http.MethodPost, pathOf[T, P](""), "Create")
	op.DefaultStatus = http.StatusCreated
	return op
}

// create runs a rule that makes a resource, and answers it. What an earlier
// attempt under the same Idempotency-Key has made is not made again.
func create[T any, P model.Resources[T]](ctx context.Context, a *API, dry bool, rule func(*model.Tx) (P, error)) (*One[T], error) {
	var uuid string
	view, err := a.run(ctx, dry, func(tx *model.Tx) error {
		if made := chosenUUID(ctx); made != "" && model.Get[T, P](tx.View, made) != nil {
			uuid = made
			return nil
		}
		r, err := rule(tx)
		if err == nil {
			uuid = r.GetMeta().UUID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return one[T, P](view, uuid)
}

// Delete registers the delete call of a kind. Deleting twice is fine, which is
// the rule's affair.
func Delete[T any, P model.Resources[T]](a *API, rule func(tx *model.Tx, uuid string) error) {
	Remove[T, P](a, "delete-"+kindOf[T, P]().Noun(), pathOf[T, P]("/{uuid}"), "Delete; a missing one is fine",
		func(tx *model.Tx, in *Call) error { return rule(tx, in.UUID) })
}

// Change registers a call that changes one resource, and answers it.
func Change[T any, P model.Resources[T], I any, PI caller[I]](a *API, id, method, path, summary string, rule func(*model.Tx, *I) error) {
	op := operation(id, method, path, summary)
	op.DefaultStatus = http.StatusOK
	Handle(a, op, func(ctx context.Context, in *I) (*One[T], error) {
		call := PI(in).call()
		return settled(ctx, a, call.Wait, func() (*One[T], error) {
			return change[T, P](ctx, a, call, func(tx *model.Tx) error { return rule(tx, in) })
		})
	})
}

func change[T any, P model.Resources[T]](ctx context.Context, a *API, call *Call, rule func(*model.Tx) error) (*One[T], error) {
	view, err := a.run(ctx, call.dry(), guarded[T, P](call, rule))
	if err != nil {
		return nil, err
	}
	return one[T, P](view, call.UUID)
}

// Remove registers a call that takes something away and answers nothing.
func Remove[T any, P model.Resources[T], I any, PI caller[I]](a *API, id, path, summary string, rule func(*model.Tx, *I) error) {
	Handle(a, operation(id, http.MethodDelete, path, summary), func(ctx context.Context, in *I) (*Nothing, error) {
		call := PI(in).call()
		return settled(ctx, a, call.Wait, func() (*Nothing, error) {
			_, err := a.run(ctx, call.dry(), guarded[T, P](call, func(tx *model.Tx) error { return rule(tx, in) }))
			return nil, err
		})
	})
}

func guarded[T any, P model.Resources[T]](call *Call, rule func(*model.Tx) error) func(*model.Tx) error {
	return func(tx *model.Tx) error {
		if err := tx.Claim(kindOf[T, P](), call.UUID); err != nil {
			return err
		}
		if err := call.matches(tx, kindOf[T, P]()); err != nil {
			return err
		}
		return rule(tx)
	}
}

func kindOf[T any, P model.Resources[T]]() model.Kind { return model.KindOf(P(nil)) }

func pathOf[T any, P model.Resources[T]](rest string) string {
	return "/v1/" + kindOf[T, P]().String() + rest
}
