package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Caller is who makes a request.
type Caller struct {
	// ID is token:UUID, or uid:NUMBER for the unix socket.
	ID   string
	Name string
	Role string
	// Account that the caller is confined to; empty: none.
	Account string
	// Scope is empty for all that the role may do.
	Scope []string

	token *token // nil on the unix socket
}

type callerKey struct{}

// callerOf is the zero Caller while nobody is known.
func callerOf(ctx context.Context) *Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return c
	}
	return &Caller{}
}

// view is what is stored, as the caller may see it.
func (a *API) view(ctx context.Context) *model.View {
	return a.store.View().For(callerOf(ctx).Account)
}

// authenticate finds the caller: on the unix socket the kernel's word, else the
// bearer token. Calls that are open to all go on without one.
func (a *API) authenticate(c *gin.Context) {
	ctx := c.Request.Context()
	caller, err := a.identifyCaller(ctx, c.GetHeader("Authorization"))
	if err == nil {
		c.Request = c.Request.WithContext(context.WithValue(ctx, callerKey{}, caller))
		return
	}
	if access[routeOf(c.Request.Method, c.FullPath())].who&nobodyAtAll != 0 {
		return
	}
	e := a.problem(ctx, err)
	if e.Status == http.StatusUnauthorized {
		e = (*Problem)(a.strangers.answer(c, (*v1.Error)(e), a.now()))
	}
	refuse(c, (*v1.Error)(e))
}

func (a *API) identifyCaller(ctx context.Context, header string) (*Caller, error) {
	if peer, ok := peerOf(ctx); ok && peer.Uid == 0 && header == "" {
		return &Caller{ID: uidCaller(peer), Name: "root", Role: v1.RoleAdmin}, nil
	}
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || !secretShape.MatchString(secret) {
		return nil, unauthorized()
	}
	t, err := a.tokens.find(ctx, secret)
	if err != nil {
		return nil, v1.Unavailable("store-unavailable", "the token cannot be looked up; retry").Because(err)
	}
	if t == nil || t.expired(a.now()) || !t.lives(a.store.View()) {
		return nil, unauthorized()
	}
	if err := a.tokens.used(ctx, t, a.now()); err != nil {
		a.log.Debug("last use of token not noted", "token", t.UUID, "err", err)
	}
	return &Caller{ID: tokenCaller + t.UUID, Name: t.Name, Role: t.Role, Account: t.AccountUUID, Scope: t.Scope, token: t}, nil
}

func unauthorized() *v1.Error {
	return v1.Errorf(http.StatusUnauthorized, "unauthorized", "the token is missing, wrong, expired or revoked: send a valid one as Authorization: Bearer ... (sluice: --token-file), or use the unix socket as root")
}
