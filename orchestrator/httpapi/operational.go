package httpapi

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// operational are the routes for those who run the orchestrator.
func (a *API) operational() {
	// healthz: the process answers. readyz: what it answers is current.
	a.engine.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	a.engine.GET("/readyz", func(c *gin.Context) {
		if err := a.store.Trouble(); err != nil {
			refuse(c, v1.Unavailable("store-behind", "the store cannot be followed: %v", err).Because(err))
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "ready", "revision": a.store.View().Revision})
	})
	a.engine.GET("/version", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"version": a.version, "api": "v1"}) })
	a.engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{})))
	a.engine.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", a.document()) })
	a.engine.GET("/docs", a.docs)
}

// describe is the OpenAPI document.
func (a *API) describe() []byte {
	b, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil { // made of our own types: a defect
		panic(fmt.Sprintf("httpapi: encode OpenAPI document: %v", err))
	}
	return append(b, '\n')
}

// docsPage needs nothing from anywhere else: no script, no style sheet.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice API</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
code { font-size: 14px; } td { padding: .15rem .8rem .15rem 0; vertical-align: top; } h2 { margin: 1.6rem 0 .4rem; }
</style></head><body>
<h1>Sluice API</h1>
<p>The types are in <a href="/openapi.json">/openapi.json</a>. Errors are <code>application/problem+json</code> with a stable <code>code</code>.</p>
{{range .}}<h2>{{.Name}}</h2><table>
{{range .Calls}}<tr><td><code>{{.Method}}</code></td><td><code>{{.Path}}</code></td><td>{{.Summary}}</td></tr>
{{end}}</table>{{end}}
</body></html>
`))

type docsGroup struct {
	Name  string
	Calls []docsCall
}

type docsCall struct{ Method, Path, Summary string }

func (a *API) docs(c *gin.Context) {
	groups := map[string][]docsCall{}
	paths := a.huma.OpenAPI().Paths
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		p := paths[path]
		for _, op := range []struct {
			method string
			call   *huma.Operation
		}{{"GET", p.Get}, {"POST", p.Post}, {"PUT", p.Put}, {"PATCH", p.Patch}, {"DELETE", p.Delete}} {
			if op.call != nil {
				groups[op.call.Tags[0]] = append(groups[op.call.Tags[0]], docsCall{op.method, path, op.call.Summary})
			}
		}
	}
	var all []docsGroup
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, docsGroup{name, groups[name]})
	}
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	c.Header("Content-Type", "text/html; charset=utf-8")
	if err := docsPage.Execute(c.Writer, all); err != nil {
		a.log.Debug("docs not written", "err", err) // the reader has gone
	}
}
