package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

// backupRoute is a POST although nothing is changed: what it answers are the
// keys of everything, so that no scope for reading includes it, and each is on
// record.
func (a *API) backupRoute() {
	const content = "application/octet-stream"
	op := operation("backup", http.MethodPost, "/v1/backup", "Back up the store: everything at one revision, with the keys of both CAs, not encrypted")
	op.Parameters = nil
	op.Description = "JSON lines. The last line has a checksum; an answer without it was cut off. `sluice restore` makes a store of it."
	Handle(a, op, func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			c := humagin.Unwrap(ctx)
			c.Header("Content-Type", content)
			c.Header("Cache-Control", "no-store")
			// The audit outcome comes after the last byte: one that failed on
			// its way has the status of one that did not, but a code.
			if err := a.store.Backup(c.Request.Context(), c.Writer, a.version); err != nil {
				trailOf(c.Request.Context()).Code = "backup-cut-off"
				a.log.Error("backup cut off", "request", requestID(c.Request.Context()), "err", err)
			}
		}}, nil
	})
	a.huma.OpenAPI().Paths[op.Path].Post.Responses["200"] = &huma.Response{
		Description: "The backup", Content: map[string]*huma.MediaType{content: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}
