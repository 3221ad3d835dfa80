package agent

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
	"github.com/sluice-nfv/sluice/appliance/bootstrap/bootstraptest"
)

// api is an agent's handler, with or without an identity issued.
func api(t *testing.T, enrolled bool, tools Tools) (http.Handler, *fakeRouter) {
	t.Helper()
	f := &fakeRouter{}
	a := newAgent(t, t.TempDir(), f, time.Hour)
	start(t, a)
	id, err := bootstrap.OpenIdentity(t.TempDir(), self, "token")
	if err != nil {
		t.Fatal(err)
	}
	if enrolled {
		if err := id.Install(bootstraptest.Sign(t, id.Describe().CSR, self)); err != nil {
			t.Fatal(err)
		}
	}
	return a.Handler(id, tools), f
}

func do(h http.Handler, method, path string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p agentv1.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code == "" || p.Detail == "" {
		t.Fatalf("HTTP %d without a problem: %s", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("problem as %s", got)
	}
	return p.Code
}

func TestUntilEnrolledOnlyIdentityAnswers(t *testing.T) {
	h, f := api(t, false, Tools{})
	for _, call := range []string{"PUT /v1/spec", "GET /v1/spec", "GET /v1/status", "GET /v1/events", "POST /v1/commands/ping", "POST /v1/commands/rotate-certificate", "POST /v1/commands/reboot"} {
		method, path, _ := strings.Cut(call, " ")
		w := do(h, method, path, raw(t, 1, 1, "one"))
		if w.Code != http.StatusConflict || code(t, w) != agentv1.CodeNotEnrolled {
			t.Errorf("%s: HTTP %d %s", call, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/v1/identity", "/healthz", "/metrics"} {
		if w := do(h, "GET", path, nil); w.Code != http.StatusOK {
			t.Errorf("GET %s: HTTP %d", path, w.Code)
		}
	}
	if _, n := f.state(); n != 0 {
		t.Fatal("a spec got through")
	}
}

func TestCodesAndStatuses(t *testing.T) {
	h, _ := api(t, true, Tools{})
	if w := do(h, "GET", "/v1/spec", nil); w.Code != http.StatusNotFound || code(t, w) != agentv1.CodeNotFound {
		t.Errorf("no spec yet: HTTP %d", w.Code)
	}
	if w := do(h, "PUT", "/v1/spec", raw(t, 5, 5, "five")); w.Code != http.StatusOK {
		t.Fatalf("HTTP %d: %s", w.Code, w.Body)
	}
	newer := incoming(6, 6, "six").Spec
	newer.Version = 2
	newerRaw, _ := json.Marshal(newer)
	for name, tc := range map[string]struct {
		body   []byte
		status int
		code   string
	}{
		"older":       {raw(t, 4, 5, "four"), 409, agentv1.CodeOlderGeneration},
		"conflicting": {raw(t, 5, 5, "cinq"), 409, agentv1.CodeConflictingContent},
		"fence":       {raw(t, 6, 4, "six"), 409, agentv1.CodeLowerFence},
		"version":     {newerRaw, 422, agentv1.CodeUnsupportedVersion},
		"field":       {raw(t, 6, 5, "invalid"), 422, agentv1.CodeInvalidSpec},
		"no JSON":     {[]byte("hello"), 422, agentv1.CodeInvalidSpec},
		"nothing":     {nil, 422, agentv1.CodeInvalidSpec},
	} {
		if w := do(h, "PUT", "/v1/spec", tc.body); w.Code != tc.status || code(t, w) != tc.code {
			t.Errorf("%s: HTTP %d %s", name, w.Code, w.Body)
		}
	}
	if got := do(h, "GET", "/v1/spec", nil).Body.Bytes(); !bytes.Equal(got, raw(t, 5, 5, "five")) {
		t.Errorf("spec is %s", got)
	}
}

func TestUnknownFieldsAreReported(t *testing.T) {
	h, _ := api(t, true, Tools{})
	body := bytes.Replace(raw(t, 1, 1, "one"), []byte(`{"version"`), []byte(`{"tomorrow":{},"version"`), 1)
	w := do(h, "PUT", "/v1/spec", body)
	var s agentv1.RouterStatus
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 || len(s.Ignored) != 1 || s.Ignored[0] != "/tomorrow" {
		t.Fatalf("HTTP %d %s", w.Code, w.Body)
	}
	if got := do(h, "GET", "/v1/spec", nil).Body.String(); !strings.Contains(got, "tomorrow") {
		t.Fatalf("the unknown field was dropped: %s", got)
	}
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBodies(t *testing.T) {
	h, _ := api(t, true, Tools{})
	if w := do(h, "PUT", "/v1/spec", zipped(t, raw(t, 1, 1, "one")), "Content-Encoding", "gzip"); w.Code != 200 {
		t.Errorf("gzip: HTTP %d %s", w.Code, w.Body)
	}
	bomb := zipped(t, make([]byte, MaxSpecBytes+1))
	if len(bomb) > MaxSpecBytes/100 {
		t.Fatal("that is no bomb")
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"bomb":       do(h, "PUT", "/v1/spec", bomb, "Content-Encoding", "gzip"),
		"too large":  do(h, "PUT", "/v1/spec", make([]byte, MaxSpecBytes+1)),
		"no gzip":    do(h, "PUT", "/v1/spec", raw(t, 2, 1, "two"), "Content-Encoding", "gzip"),
		"brotli":     do(h, "PUT", "/v1/spec", raw(t, 2, 1, "two"), "Content-Encoding", "br"),
		"large args": do(h, "POST", "/v1/commands/ping", make([]byte, maxSmallBytes+1)),
		"cut short":  do(h, "PUT", "/v1/spec", zipped(t, raw(t, 2, 1, "two"))[:40], "Content-Encoding", "gzip"),
	} {
		if w.Code != http.StatusBadRequest || code(t, w) != agentv1.CodeInvalidRequest {
			t.Errorf("%s: HTTP %d %s", name, w.Code, w.Body)
		}
	}
}

// The API is a closed list.
func TestNothingElse(t *testing.T) {
	h, _ := api(t, true, Tools{})
	for _, call := range []string{"GET /", "GET /etc/passwd", "GET /v1/spec/../../etc/passwd", "POST /v1/spec", "DELETE /v1/spec",
		"POST /v1/commands/exec", "POST /v1/commands/", "GET /v1/commands/ping", "GET /debug/pprof/", "GET /v1/ledger", "POST /v1/commands/probe"} {
		method, path, _ := strings.Cut(call, " ")
		if w := do(h, method, path, nil); w.Code < 300 {
			t.Errorf("%s: HTTP %d %s", call, w.Code, w.Body)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	reboots := 0
	var runs atomic.Int32
	release := make(chan struct{})
	h, _ := api(t, true, Tools{
		Diagnose: func(context.Context) map[string]string {
			<-release
			return map[string]string{"run": string('0' + runs.Add(1))}
		},
		Probe:  func(context.Context, agentv1.Probe) agentv1.ProbeResult { return agentv1.ProbeResult{OK: true} },
		Reboot: func() error { reboots++; return nil },
	})
	const both = 2
	answers := make(chan string, both)
	for range both { // the second comes while the first runs
		go func() {
			answers <- do(h, "POST", "/v1/commands/diagnostics", nil, agentv1.IdempotencyHeader, "k").Body.String()
		}()
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	first := <-answers
	if second := <-answers; first != second || !strings.Contains(first, `"1"`) {
		t.Fatalf("answers %s and %s", first, second)
	}
	if again := do(h, "POST", "/v1/commands/diagnostics", nil, agentv1.IdempotencyHeader, "k").Body.String(); again != first || runs.Load() != 1 {
		t.Fatalf("%d runs, answer %s", runs.Load(), again)
	}
	for range 2 { // asked twice with one key, it ends once
		if w := do(h, "POST", "/v1/commands/reboot", nil, agentv1.IdempotencyHeader, "reboot-7"); w.Code != 200 || reboots != 1 {
			t.Fatalf("reboot: HTTP %d, %d reboots", w.Code, reboots)
		}
	}
	if w := do(h, "POST", "/v1/commands/probe", []byte("{}"), agentv1.IdempotencyHeader, "k"); code(t, w) != agentv1.CodeInvalidRequest {
		t.Fatalf("the key of another command: HTTP %d %s", w.Code, w.Body)
	}
	if w := do(h, "POST", "/v1/commands/ping", nil, agentv1.IdempotencyHeader, strings.Repeat("k", 200)); w.Code != 400 {
		t.Fatalf("a very long key: HTTP %d", w.Code)
	}
	do(h, "POST", "/v1/commands/diagnostics", nil)
	if runs.Load() != 2 {
		t.Fatal("without a key it is another run")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	m := newAnswers(3)
	for i := range 10 {
		if _, err := m.once(t.Context(), string(rune('a'+i)), "r", func() answer { return answer{} }); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.byKey) != 3 || len(m.order) != 3 {
		t.Fatalf("%d answers kept", len(m.byKey))
	}
}

func TestIdentityThroughTheAPI(t *testing.T) {
	h, _ := api(t, false, Tools{})
	var id agentv1.Identity
	if err := json.Unmarshal(do(h, "GET", "/v1/identity", nil).Body.Bytes(), &id); err != nil || id.CSR == "" || id.Proof == "" || id.BootID == "" {
		t.Fatalf("%+v, %v", id, err)
	}
	put := func(chain string) *httptest.ResponseRecorder {
		b, _ := json.Marshal(agentv1.Certificate{Chain: chain})
		return do(h, "PUT", "/v1/identity", b)
	}
	if w := put(bootstraptest.Sign(t, id.CSR, "another-router")); w.Code != 422 || code(t, w) != agentv1.CodeInvalidCertificate {
		t.Fatalf("another router's certificate: HTTP %d %s", w.Code, w.Body)
	}
	chain := bootstraptest.Sign(t, id.CSR, self)
	if w := put(chain); w.Code != 200 || w.Header().Get("Connection") != "close" {
		t.Fatalf("HTTP %d %s", w.Code, w.Body)
	}
	if w := put(chain); w.Code != 200 {
		t.Fatalf("a repeated answer: HTTP %d %s", w.Code, w.Body)
	}
	if w := put(bootstraptest.Sign(t, id.CSR, self)); w.Code != 409 || code(t, w) != agentv1.CodeAlreadyEnrolled {
		t.Fatalf("replayed enrolment: HTTP %d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(do(h, "GET", "/v1/identity", nil).Body.Bytes(), &id); err != nil || !id.Enrolled {
		t.Fatalf("%+v, %v", id, err)
	}
	var fresh agentv1.Identity
	_ = json.Unmarshal(do(h, "GET", "/v1/identity", nil).Body.Bytes(), &fresh)
	if fresh.CSR != "" || fresh.Proof != "" {
		t.Fatalf("an enrolled router still proves its token: %+v", fresh)
	}
}

func TestEventStream(t *testing.T) {
	h, _ := api(t, true, Tools{})
	srv := httptest.NewServer(h)
	defer srv.Close()
	read := func(last string, want ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v1/events", nil)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer resp.Body.Close()
		if last == "" { // follows from now on
			if w := do(h, "PUT", "/v1/spec", raw(t, 1, 1, "one")); w.Code != 200 {
				t.Fatal(w.Body)
			}
		}
		for lines := bufio.NewScanner(resp.Body); len(want) > 0 && lines.Scan(); {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				if kind != want[0] {
					t.Fatalf("event %s, want %s", kind, want[0])
				}
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("stream ended before %v", want)
		}
	}
	read("", "accepted", "applied")
	read("1", "applied")
	if resp, err := http.Get(srv.URL + "/v1/status"); err != nil || resp.StatusCode != 200 {
		t.Fatal(err)
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestMetrics(t *testing.T) {
	h, _ := api(t, true, Tools{})
	do(h, "PUT", "/v1/spec", raw(t, 9, 1, "nine"))
	text := do(h, "GET", "/metrics", nil).Body.String()
	for _, line := range []string{
		`sluice_agent_info{version="test"} 1`, "sluice_spec_applied_generation 9", "sluice_apply_writes_total 1",
		`sluice_service_ready{service="dhcp"} 1`, `sluice_service_packets_total{service="dhcp"} 7`,
		"# TYPE sluice_service_packets_total counter", "# TYPE sluice_service_entries gauge", `sluice_service_entries{service="dhcp"} 3`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
}
