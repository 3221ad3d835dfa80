package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// DryRun is embedded by what changes something.
type DryRun struct {
	DryRun bool `query:"dryRun" doc:"Check everything, do nothing, and answer a plan: what would come of it"`
}

func (d *DryRun) dry() bool { return d.DryRun }

// Call is embedded by the input of a change to one resource.
type Call struct {
	DryRun
	Wait
	UUID    string `path:"uuid" doc:"UUID of the resource"`
	IfMatch string `header:"If-Match" doc:"The ETag that the resource has to have, else 412"`
}

func (c *Call) call() *Call { return c }

// CallWith is a Call with a body.
type CallWith[B any] struct {
	Call
	Body B
}

// caller is a pointer to an input that embeds Call.
type caller[I any] interface {
	*I
	call() *Call
}

// Wait is embedded by calls that can wait for what they started.
type Wait struct {
	Wait string `query:"wait" doc:"How long to wait for the end, such as 60s; at most 10m" example:"60s"`
}

// maxWait is the longest ?wait.
const maxWait = 10 * time.Minute

// patience is how long the caller wants to wait.
func (w Wait) patience(fallback time.Duration) (time.Duration, error) {
	if w.Wait == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(w.Wait)
	if err != nil || d < 0 || d > maxWait {
		return 0, v1.Invalid("invalid-wait", "wait %q is not a duration from 0s to %s, such as 60s", shorten(w.Wait), maxWait)
	}
	return d, nil
}

// await waits with patience; none at all asks nobody.
func await(ctx context.Context, patience time.Duration, wait func(context.Context) error) error {
	if patience == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return wait(ctx)
}

// settled makes a change and then waits, if the caller asked for it, until what
// was stored holds for packets too. A wait that is no duration is refused
// before anything is done.
func settled[O any](ctx context.Context, a *API, w Wait, change func() (*O, error)) (*O, error) {
	patience, err := w.patience(0)
	if err != nil {
		return nil, err
	}
	done, err := change()
	if err != nil {
		return nil, err
	}
	return done, await(ctx, patience, func(ctx context.Context) error { return a.effects.Settle(ctx, callerOf(ctx).Account) })
}

// One answers one resource.
type One[T any] struct {
	ETag string `header:"ETag" doc:"For If-Match"`
	Body *T
}

// Nothing answers a delete.
type Nothing struct{}

// etag quotes a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// matches checks If-Match against the resource as the Tx sees it.
func (c *Call) matches(tx *model.Tx, kind model.Kind) error {
	if c.IfMatch == "" || c.IfMatch == "*" {
		return nil
	}
	r := tx.Any(kind, c.UUID)
	if r == nil {
		return nil // the rule says what a missing one means
	}
	have := etag(r.GetMeta().Revision)
	for want := range strings.SplitSeq(c.IfMatch, ",") {
		if strings.TrimSpace(want) == have {
			return nil
		}
	}
	return v1.Errorf(http.StatusPreconditionFailed, "revision-mismatch",
		"%s %s is at revision %s, not %s: somebody changed it; read it again", kind.Noun(), c.UUID, have, shorten(c.IfMatch)).On(c.UUID)
}

// one is the answer with a resource as a view shows it, or 404.
func one[T any, P model.Resources[T]](v *model.View, uuid string) (*One[T], error) {
	r := model.Get[T, P](v, uuid)
	if r == nil || !v.Sees(r) {
		return nil, v1.NotFound(model.KindOf(P(nil)).Noun(), uuid)
	}
	return &One[T]{ETag: etag(r.GetMeta().Revision), Body: (*T)(filled(v, r))}, nil
}

// operation is what huma is told about a route. The id is what generated
// clients call it.
func operation(id, method, path, summary string) huma.Operation {
	status := http.StatusOK
	if method == http.MethodDelete {
		status = http.StatusNoContent
	}
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag},
		DefaultStatus: status, MaxBodyBytes: maxBody,
	}
	if method == http.MethodPost {
		op.Parameters = []*huma.Param{idempotencyParam()}
	}
	return op
}

// Handle registers a route whose errors go through the mapper. The other
// registrars are built on it.
func Handle[I, O any](a *API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.Responses = map[string]*huma.Response{}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		chooseUUID(ctx, in)
		out, err := handler(ctx, in)
		var would *planned
		switch {
		case errors.As(err, &would):
			return nil, would
		case err != nil:
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
	if _, can := any(new(I)).(interface{ dry() bool }); can {
		documentPlan(a.huma, &op)
	}
}
