package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
)

func TestHostileBodies(t *testing.T) {
	s := newSite(t)
	deep := func(open, close string, n int) string {
		return `{"name":"z","systemTags":` + strings.Repeat(open, n) + strings.Repeat(close, n) + `}`
	}
	for name, c := range map[string]struct{ body, code string }{
		"empty":                 {"", "invalid-request"},
		"not JSON":              {"name=z", "invalid-request"},
		"an array":              {`[{"name":"z"}]`, "invalid-request"},
		"null":                  {`null`, "invalid-request"},
		"cut off":               {`{"name":"z"`, "invalid-request"},
		"more behind":           {`{"name":"z"}{"name":"y"}`, "invalid-request"},
		"unknown field":         {`{"name":"z","colour":"red"}`, "invalid-request"},
		"read-only field":       {`{"name":"z","revision":7}`, "invalid-request"},
		"other case":            {`{"NAME":"z"}`, "invalid-request"},
		"both cases":            {`{"name":"z","Name":"y"}`, "invalid-request"},
		"duplicate key":         {`{"name":"z","name":"y"}`, "invalid-request"},
		"duplicate escaped key": {`{"name":"z","n\u0061me":"y"}`, "invalid-request"},
		"wrong type":            {`{"name":7}`, "invalid-request"},
		"null field":            {`{"name":null}`, "invalid-request"},
		"missing field":         {`{}`, "invalid-request"},
		"empty name":            {`{"name":""}`, "invalid-request"},
		"long name":             {`{"name":"` + strings.Repeat("n", 256) + `"}`, "invalid-request"},
		"newline in name":       {`{"name":"a\nb"}`, "invalid-name"},
		"zero byte in name":     {`{"name":"a\u0000b"}`, "invalid-name"},
		"not UTF-8":             {"{\"name\":\"a\xff\"}", "invalid-request"},
		"deep arrays":           {deep("[", "]", 33), "invalid-request"},
		"deep objects":          {deep(`{"a":`, "}", 40), "invalid-request"},
		"very deep":             {strings.Repeat("[", 500_000), "invalid-request"},
		"too long":              {`{"name":"` + strings.Repeat("n", 1<<20) + `"}`, "body-too-large"},
		"a tag with a newline":  {`{"name":"z","systemTags":["a\nb"]}`, "unknown-tag"},
		"unknown tag":           {`{"name":"z","systemTags":["cleanTraffic::x::y"]}`, "invalid-tag"},
		"array for a text":      {`{"name":["z"]}`, "invalid-request"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			began := time.Now()
			a := s.refused(400, c.code, "POST", "/v1/zones", c.body)
			if len(a.raw) > 8000 {
				t.Errorf("%d bytes of answer", len(a.raw))
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	s.t = t
	for name, number := range map[string]string{
		"huge": "1e400", "beyond int64": "99999999999999999999", "fraction": "1.5", "beyond uint16": "65536", "negative": "-1", "zero": "0", "text": `"80"`,
	} {
		t.Run("port "+name, func(t *testing.T) {
			s.t = t
			s.refused(400, "invalid-request", "POST", "/v1/port-forwarding-rules", `{"name":"r","vipUuid":"`+nobody+`","protocolType":"TCP","vipPortStart":`+number+`}`)
		})
	}
	s.t = t
	s.refused(415, "unsupported-media-type", "POST", "/v1/zones", "name: z", "Content-Type", "application/yaml")
	s.refused(415, "unsupported-media-type", "POST", "/v1/zones", `{"name":"z"}`, "Content-Type", "text/plain")
	uuid := s.create("/v1/zones", object{"name": "z"})
	if got := s.ok("PATCH", "/v1/zones/"+uuid, `{"name":"y"}`, "Content-Type", "application/merge-patch+json"); got.str("name") != "y" {
		t.Errorf("merge patch: %s", got.raw)
	}
}

func TestHostilePaths(t *testing.T) {
	s := newSite(t)
	s.refused(404, "no-such-path", "GET", "/v1/moons", nil)
	s.refused(404, "no-such-path", "GET", "/v1/zones/", nil)
	s.refused(404, "no-such-path", "GET", "/../etc/passwd", nil)
	s.refused(405, "method-not-allowed", "PUT", "/v1/zones", `{}`)
	s.refused(405, "method-not-allowed", "TRACE", "/v1/zones", nil)
	s.refused(404, "not-found", "GET", "/v1/zones/%0a%00<script>", nil)
	s.refused(404, "not-found", "GET", "/v1/zones/"+strings.Repeat("x", 5000), nil)
	s.refused(404, "no-such-path", "GET", "/v1/zones/..%2f..", nil)
	s.refused(400, "invalid-request", "POST", "/v1/zones?dryRun=perhaps", object{"name": "z"})
	s.refused(400, "invalid-request", "GET", "/v1/zones?limit=0", nil)
	s.refused(400, "invalid-request", "GET", "/v1/zones?limit=1001", nil)
	s.refused(400, "unknown-filter", "GET", "/v1/zones?colour=red", nil)
	s.refused(400, "unknown-sort-field", "GET", "/v1/zones?sort=colour", nil)
	s.refused(400, "invalid-cursor", "GET", "/v1/zones?cursor=nonsense", nil)
	id := s.send("GET", "/v1/moons", nil, "X-Request-Id", "evil\x01 id").header.Get("X-Request-Id")
	if len(id) != 36 {
		t.Errorf("request id %q", id)
	}
	if id := s.send("GET", "/v1/moons", nil, "X-Request-Id", "mine-1").header.Get("X-Request-Id"); id != "mine-1" {
		t.Errorf("request id %q", id)
	}
}

var errSecret = errors.New("secret")

func route(id, path string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"test"}}
}

// TestPanic: a defect answers 500 without telling what it was.
func TestPanic(t *testing.T) {
	s := newSite(t)
	httpapi.Handle(s.api, route("panic", "/v1/panic"), func(_ context.Context, _ *struct{}) (*httpapi.Nothing, error) { panic("secret") })
	httpapi.Handle(s.api, route("defect", "/v1/defect"), func(_ context.Context, _ *struct{}) (*httpapi.Nothing, error) { return nil, errSecret })
	for _, path := range []string{"/v1/panic", "/v1/defect"} {
		s.refused(403, "forbidden", "GET", path, nil) // not in the table of access
		t.Cleanup(httpapi.Permit("GET " + path))
		a := s.refused(500, "internal", "GET", path, nil, "X-Request-Id", "r1")
		if strings.Contains(a.raw, "secret") || !strings.Contains(a.str("detail"), "r1") {
			t.Errorf("%s answers %s", path, a.raw)
		}
	}
}

func TestWhoMayCall(t *testing.T) {
	s := newSite(t)
	admin := s.token
	reader, err := httpapi.CreateToken(t.Context(), s.store.Private(), v1.Token{Name: "r", Role: v1.RoleReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"nothing": "", "basic": "Basic cm9vdDpyb290", "no token": "Bearer ", "short": "Bearer sluice_abc",
		"unknown": "Bearer sluice_" + strings.Repeat("A", 43), "longer": "Bearer " + admin + "A", "path": "Bearer sluice_../../epoch",
	} {
		a := s.refused(401, "unauthorized", "GET", "/v1/zones", nil, "Authorization", header)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
		s.refused(401, "unauthorized", "POST", "/v1/zones", `{"name":"z"}`, "Authorization", header)
		s.refused(401, "unauthorized", "GET", "/metrics", nil, "Authorization", header)
		s.refused(401, "unauthorized", "GET", "/v1/moons", nil, "Authorization", header)
	}
	for _, path := range []string{"/healthz", "/readyz", "/version", "/openapi.json", "/docs"} {
		s.ok("GET", path, nil, "Authorization", "")
	}
	s.token = reader
	s.ok("GET", "/v1/zones", nil)
	s.refused(403, "forbidden", "POST", "/v1/zones", object{"name": "z"})
	s.refused(403, "forbidden", "DELETE", "/v1/zones/"+nobody, nil)
	s.token = admin
	s.ok("POST", "/v1/zones", object{"name": "z"}, "X-Forwarded-For", "127.0.0.1")
	if a := s.ok("GET", "/metrics", nil); !strings.Contains(a.raw, `sluice_api_request_duration_seconds_count{method="POST",route="/v1/zones",status="201"} 1`) {
		t.Errorf("metrics: %s", a.raw)
	}
}

func TestReadyWhileTheStoreIsGone(t *testing.T) {
	s := newSite(t)
	if a := s.ok("GET", "/readyz", nil); a.str("status") != "ready" {
		t.Error(a.raw)
	}
	s.store.Close()
	a := s.send("POST", "/v1/zones", object{"name": "z"})
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}
