package httpapi

import (
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// anyParameter marks an operation whose parameters have any names: filters.
const anyParameter = "anyParameter"

// checkQuery refuses what would mean something else than it says: ?dryrun=true
// would do it, and so would ?dryRun alone, of two the one would be taken, and
// what is no query at all would be left out.
func (a *API) checkQuery(c *gin.Context) {
	if c.Request.URL.RawQuery == "" {
		return // most calls
	}
	op := a.described(c.Request.Method, c.FullPath())
	if op == nil {
		return
	}
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		refuse(c, v1.Invalid("invalid-query", "the query %q cannot be read: %v", shorten(c.Request.URL.RawQuery), err))
		return
	}
	for name, values := range query {
		if err := checkParameter(op, name, values); err != nil {
			refuse(c, err)
			return
		}
	}
}

func checkParameter(op *huma.Operation, name string, values []string) *v1.Error {
	i := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
	switch {
	case i < 0 && op.Metadata[anyParameter] != nil:
	case i < 0:
		return v1.Invalid("unknown-parameter", "the call has no parameter %q; its own are %v", shorten(name), parametersOf(op))
	case slices.Contains(values, ""):
		return v1.Invalid("invalid-parameter", "parameter %s has no value; give it one, such as %s=%s, or leave it out", name, name, exampleOf(op.Parameters[i]))
	case len(values) > 1 && op.Parameters[i].Schema.Type != huma.TypeArray:
		return v1.Invalid("invalid-parameter", "parameter %s is given %d times; give it once", name, len(values))
	}
	return nil
}

func exampleOf(p *huma.Param) string {
	if p.Schema.Type == huma.TypeBoolean {
		return "true"
	}
	return "VALUE"
}

func parametersOf(op *huma.Operation) []string {
	names := []string{}
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return names
}

// described is what the document says of a route; nil: nothing.
func (a *API) described(method, ginPath string) *huma.Operation {
	path := a.huma.OpenAPI().Paths[ginParameter.ReplaceAllString(ginPath, "{$1}")]
	if path == nil {
		return nil
	}
	return map[string]*huma.Operation{"GET": path.Get, "POST": path.Post, "PUT": path.Put, "PATCH": path.Patch, "DELETE": path.Delete}[method]
}
