package httpapi

import (
	"context"
	"net/http"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// NicRules are the rules of a kind that maps something to a nic.
type NicRules[P any] struct {
	Attach func(tx *model.Tx, uuid, nic string) (P, error)
	Detach func(tx *model.Tx, uuid string) (P, error)
	// Candidates are the nics that Attach would accept.
	Candidates func(v *model.View, uuid string) ([]*v1.VMNic, error)
}

// MapToNic registers attach, detach and candidates of such a kind.
func MapToNic[T any, P model.Resources[T]](a *API, rules NicRules[P]) {
	noun := kindOf[T, P]().Noun()
	type nicCall struct {
		Call
		Nic string `path:"nic" doc:"UUID of the VM nic"`
	}
	Change[T, P](a, "attach-"+noun, http.MethodPost, pathOf[T, P]("/{uuid}/vm-nics/{nic}"), "Attach to a nic",
		func(tx *model.Tx, in *nicCall) error {
			_, err := rules.Attach(tx, in.UUID, in.Nic)
			return err
		})
	Remove[T, P](a, "detach-"+noun, pathOf[T, P]("/{uuid}/vm-nics"), "Detach; not attached is fine",
		func(tx *model.Tx, in *Call) error {
			_, err := rules.Detach(tx, in.UUID)
			return err
		})
	type input struct {
		UUID string `path:"uuid"`
	}
	Handle(a, operation("list-candidate-nics-of-"+noun, http.MethodGet, pathOf[T, P]("/{uuid}/candidate-vm-nics"), "List the nics that attach would accept"),
		func(ctx context.Context, in *input) (*Items[v1.VMNic], error) {
			nics, err := rules.Candidates(a.view(ctx), in.UUID)
			return items(nics), err
		})
}
