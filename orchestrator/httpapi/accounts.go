package httpapi

import (
	"context"
	"net/http"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// accounts are accounts, their quotas, and what is shared with them.
func (a *API) accounts() {
	Read[v1.Account](a)
	Create(a, model.CreateAccount)
	type remove struct {
		Call
		Cascade bool `query:"cascade" doc:"Delete all that the account owns first"`
	}
	Remove[v1.Account](a, "delete-account", "/v1/accounts/{uuid}", "Delete with its tokens; refused with the list while it owns anything",
		func(tx *model.Tx, in *remove) error { return model.DeleteAccount(tx, in.UUID, in.Cascade) })
	share[v1.L2Network](a)
	share[v1.L3Network](a)
	a.quotas()
}

func share[T any, P model.Resources[T]](a *API) {
	kind := kindOf[T, P]()
	Change[T, P](a, "share-"+kind.Noun(), http.MethodPut, pathOf[T, P]("/{uuid}/shared-with"), "Set which accounts may use it",
		func(tx *model.Tx, in *CallWith[v1.Sharing]) error {
			_, err := model.Share(tx, kind, in.UUID, in.Body.AccountUUIDs)
			return err
		})
}

func (a *API) quotas() {
	Handle(a, listOperation[v1.Quota]("list-quota", "/v1/quotas", "List what accounts may own, and what they do"),
		func(ctx context.Context, in *Query) (*Page[v1.Quota], error) {
			all, err := a.quotasOf(ctx, a.view(ctx), "")
			if err != nil {
				return nil, err
			}
			return listOf(all, in, func(q *v1.Quota) string { return q.AccountUUID + "/" + q.Name })
		})
	type set struct {
		DryRun
		Body v1.SetQuotas
	}
	Handle(a, operation("set-quota", http.MethodPatch, "/v1/quotas", "Change what an account may own"),
		func(ctx context.Context, in *set) (*Items[v1.Quota], error) {
			view, err := a.run(ctx, in.dry(), func(tx *model.Tx) error {
				_, err := model.SetQuotas(tx, in.Body.AccountUUID, in.Body.Quotas)
				return err
			})
			if err != nil {
				return nil, err
			}
			all, err := a.quotasOf(ctx, view, in.Body.AccountUUID)
			return items(all), err
		})
}

// quotasOf are the quotas of one account, or of all.
func (a *API) quotasOf(ctx context.Context, v *model.View, account string) ([]*v1.Quota, error) {
	tokens, err := a.tokens.ofAccounts(ctx, v)
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "tokens cannot be counted; retry").Because(err)
	}
	all := []*v1.Quota{}
	for r := range v.Seen(model.Accounts, "") {
		owner := r.(*v1.Account)
		if account != "" && owner.UUID != account {
			continue
		}
		all = append(all, model.QuotasOf(v, owner)...)
		all = append(all, &v1.Quota{AccountUUID: owner.UUID, AccountName: owner.Name, Name: model.TokenQuota, Used: tokens[owner.UUID], Allowed: model.AllowedTokens(owner)})
	}
	return all, nil
}
