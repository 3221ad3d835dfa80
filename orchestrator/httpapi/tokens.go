package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// tokenRoutes make, list and revoke tokens. Nobody sees, makes or revokes one
// that may do more than he.
func (a *API) tokenRoutes() {
	Handle(a, listOperation[v1.Token]("list-token", "/v1/tokens", "List, without the secrets"), func(ctx context.Context, in *Query) (*Page[v1.Token], error) {
		all, err := a.tokensOf(ctx, callerOf(ctx))
		if err != nil {
			return nil, err
		}
		shown := make([]*v1.Token, len(all))
		for i, t := range all {
			shown[i] = &t.Token
		}
		return listOf(shown, in, func(t *v1.Token) string { return t.UUID })
	})
	op := operation("create-token", http.MethodPost, "/v1/tokens", "Create; the answer has the secret, this once")
	op.Parameters, op.DefaultStatus = nil, http.StatusCreated // an answer kept would be a secret kept
	Handle(a, op, a.createToken)
	Handle(a, operation("delete-token", http.MethodDelete, "/v1/tokens/{uuid}", "Revoke it, and those that were made with it, at once; a missing one is fine"), a.deleteToken)
}

type createToken struct {
	DryRun
	Body v1.CreateToken
}

type tokenMade struct{ Body *v1.NewToken }

func (a *API) createToken(ctx context.Context, in *createToken) (*tokenMade, error) {
	caller := callerOf(ctx)
	t, err := a.newToken(ctx, caller, &in.Body)
	if err != nil {
		return nil, err
	}
	made := &v1.NewToken{Token: t.Token}
	if in.dry() {
		return nil, &planned{Changes: []v1.PlannedChange{{Change: "created", Kind: "tokens", UUID: t.UUID, Name: t.Name, Resource: &t.Token}}, Routers: []v1.PlannedRouter{}}
	}
	if made.Secret, err = a.addToken(ctx, caller, t); v1.Code(err) != "" {
		return nil, err
	} else if err != nil {
		return nil, v1.Unavailable("store-unavailable", "the token cannot be stored; retry").Because(err)
	}
	trail := trailOf(ctx)
	trail.touch(&trail.Resources, model.TokenQuota, t.UUID)
	return &tokenMade{made}, nil
}

// newToken checks a request for a token.
func (a *API) newToken(ctx context.Context, caller *Caller, req *v1.CreateToken) (*token, error) {
	if err := v1.ValidateName(req.Name); err != nil {
		return nil, err
	}
	if err := checkScope(req.Scope); err != nil {
		return nil, err
	}
	now := a.now().UTC().Truncate(time.Second)
	t := &token{Token: v1.Token{
		UUID: model.NewUUID(), Name: req.Name, Role: req.Role, AccountUUID: req.AccountUUID, Scope: req.Scope, CreateDate: now, CreatedBy: caller.ID,
	}}
	if t.AccountUUID == "" && t.confined() {
		t.AccountUUID = caller.Account
	}
	if req.ExpiresIn != "" {
		life, err := time.ParseDuration(req.ExpiresIn)
		if err != nil || life < time.Second {
			return nil, v1.Invalid("invalid-expiry", "expiresIn %q is not a duration of a second or more, such as 720h", shorten(req.ExpiresIn))
		}
		t.Expires = now.Add(life)
	}
	if err := a.setAccount(ctx, t); err != nil {
		return nil, err
	}
	if !caller.covers(t) {
		return nil, v1.Forbidden("token-too-strong", "%s cannot make a token that may do more, or lasts longer, than its own: role %s, account %q, scope %v, expires %s",
			caller.Name, caller.Role, caller.Account, caller.Scope, caller.expires())
	}
	return t, nil
}

// setAccount holds role and account of a new token against each other.
func (a *API) setAccount(ctx context.Context, t *token) error {
	switch {
	case t.AccountUUID == "" && t.Role != v1.RoleAccount:
		return nil
	case t.AccountUUID == "":
		return v1.Invalid("missing-account", "a token of role %s is for one account; give accountUuid", t.Role)
	case !t.confined():
		return v1.Invalid("role-has-no-account", "a token of role %s is for the whole site; leave accountUuid out", t.Role)
	case t.AccountUUID == v1.AdminAccountUUID:
		return v1.Invalid("role-has-no-account", "the admin's account is not one to be confined to; use role %s with a scope", v1.RoleOperator)
	}
	view := a.view(ctx)
	account := model.Get[v1.Account](view, t.AccountUUID)
	if account == nil || !view.Sees(account) {
		return v1.NotFound(model.Accounts.Noun(), t.AccountUUID)
	}
	t.AccountDate = account.CreateDate
	return nil
}

// covers reports whether a token may do nothing that the caller may not.
func (c *Caller) covers(t *token) bool {
	lasts := c.token == nil || c.token.Expires.IsZero() || !t.Expires.IsZero() && !t.Expires.After(c.token.Expires)
	return lasts && c.coversRole(t) && c.coversScope(t.Scope)
}

func (c *Caller) coversRole(t *token) bool {
	if c.Role == v1.RoleAdmin {
		return true
	}
	return c.Role == v1.RoleAccount && t.AccountUUID == c.Account && t.confined()
}

func (c *Caller) coversScope(scope []string) bool {
	if len(c.Scope) == 0 {
		return true
	}
	return len(scope) > 0 && !slices.ContainsFunc(scope, func(s string) bool {
		group, onlyReads := strings.CutSuffix(s, readScope)
		return !c.inScope(group, onlyReads)
	})
}

func (c *Caller) expires() string {
	if c.token == nil || c.token.Expires.IsZero() {
		return "never"
	}
	return c.token.Expires.Format(time.RFC3339)
}

// tokensOf are the tokens that may do nothing that the caller may not.
func (a *API) tokensOf(ctx context.Context, caller *Caller) ([]*token, error) {
	all, err := a.tokens.list(ctx)
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "tokens cannot be read; retry").Because(err)
	}
	return slices.DeleteFunc(all, func(t *token) bool {
		return !caller.coversRole(t) || !caller.coversScope(t.Scope) || t.AccountUUID != "" && !t.lives(a.store.View())
	}), nil
}

// deleteToken revokes a token with those that it made: who stole one may have
// made others with it.
func (a *API) deleteToken(ctx context.Context, in *struct {
	DryRun
	UUID string `path:"uuid" doc:"UUID of the token"`
}) (*Nothing, error) {
	visible, err := a.tokensOf(ctx, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(visible, func(t *token) bool { return t.UUID == in.UUID })
	if in.dry() {
		would := &planned{Changes: []v1.PlannedChange{}, Routers: []v1.PlannedRouter{}}
		if i >= 0 {
			would.Changes = append(would.Changes, v1.PlannedChange{Change: "deleted", Kind: "tokens", UUID: in.UUID, Name: visible[i].Name})
		}
		return nil, would
	}
	if i < 0 {
		return nil, nil
	}
	revoked, err := a.tokens.revoke(ctx, in.UUID)
	trail := trailOf(ctx)
	for _, uuid := range revoked {
		trail.touch(&trail.Resources, model.TokenQuota, uuid)
	}
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "the token cannot be revoked; retry").Because(err)
	}
	return nil, nil
}

// forgetTokens deletes tokens whose account is gone, which nobody can use.
func (a *API) forgetTokens(ctx context.Context) error {
	all, err := a.tokens.list(ctx)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	view := a.store.View()
	a.tokens.forget(a.now())
	return a.tokens.remove(ctx, slices.DeleteFunc(all, func(t *token) bool { return t.lives(view) }))
}
