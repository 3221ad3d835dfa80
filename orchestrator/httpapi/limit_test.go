package httpapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// TestRate: who makes too many requests is told how long to wait, and nobody
// else is.
func TestRate(t *testing.T) {
	for _, row := range []struct {
		rate httpapi.Rate
		free int
	}{
		{httpapi.Rate{PerSecond: 1, Burst: 3}, 3}, {httpapi.Rate{PerSecond: 5}, 10}, {httpapi.Rate{PerSecond: 0.1}, 1}, {httpapi.Rate{Burst: 4}, 4},
	} {
		t.Run(fmt.Sprint(row.rate), func(t *testing.T) {
			s := newSiteOn(t, store.NewMemory(catalog), httpapi.Config{Log: slog.New(slog.DiscardHandler), Rate: row.rate})
			now := time.Now()
			s.api.At(now)
			other := s.newToken(object{"name": "other", "role": "read-only"})
			for range row.free - 1 {
				s.ok("GET", "/v1/zones", nil)
			}
			forwarded := []string{"X-Forwarded-For", "192.0.2.7", "Forwarded", "for=192.0.2.7", "X-Real-Ip", "192.0.2.7"}
			a := s.refused(429, "rate-limited", "POST", "/v1/zones", object{"name": "z"}, forwarded...)
			if !s.works(other) {
				t.Error("another token has to wait too")
			}
			s.with("").ok("GET", "/healthz", nil)
			wait, err := strconv.Atoi(a.header.Get("Retry-After"))
			if err != nil || wait < 1 || wait > 10 {
				t.Fatalf("Retry-After is %q", a.header.Get("Retry-After"))
			}
			s.api.At(now.Add(time.Duration(wait) * time.Second))
			s.ok("POST", "/v1/zones", object{"name": "z"})
		})
	}
}

// TestForwardedForIsNobody: what a proxy claims makes nobody of nobody.
func TestForwardedForIsNobody(t *testing.T) {
	s := newSite(t).with("")
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Forwarded-User", "X-Remote-User"} {
		for _, value := range []string{"127.0.0.1", "::1", "root", "@"} {
			s.refused(401, "unauthorized", "GET", "/v1/zones", nil, header, value)
		}
	}
}

// TestRequestsAreBounded in size and in time.
func TestRequestsAreBounded(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(t.TempDir(), "s")
	s.serve(httpapi.Listen{Socket: path})
	c := unixClient(path)
	for size, want := range map[int]int{16 << 10: http.StatusOK, 128 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sluice/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("x", size))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a header of %d bytes: %s", size, resp.Status)
		}
	}
	for _, route := range []string{"POST /v1/tokens", "PATCH /v1/quotas", "POST /v1/vips", "PUT /v1/l3-networks/" + nobody + "/shared-with"} {
		method, path, _ := strings.Cut(route, " ")
		s.refused(400, "body-too-large", method, path, `{"name":"`+strings.Repeat("n", 1<<20)+`"}`)
	}
	server := s.api.Server(t.Context())
	for name, limit := range map[string]struct{ got, least, most time.Duration }{
		"slow headers":   {server.ReadHeaderTimeout, time.Second, 10 * time.Second},
		"slow bodies":    {server.ReadTimeout, time.Second, time.Minute},
		"idle clients":   {server.IdleTimeout, time.Second, 10 * time.Minute},
		"slow receivers": {server.WriteTimeout, 10 * time.Minute, 20 * time.Minute}, // beyond the longest wait
	} {
		if limit.got < limit.least || limit.got > limit.most {
			t.Errorf("%s have %s", name, limit.got)
		}
	}
}

// TestQuotaIsExact: of many calls at once, at two APIs, as many succeed as
// there is room for.
func TestQuotaIsExact(t *testing.T) {
	const allowed, calls = 20, 50
	s := newSite(t)
	m := s.build()
	s.ok("PUT", "/v1/l3-networks/"+m["public"]+"/shared-with", object{"accountUuids": []string{"*"}})
	account := s.create("/v1/accounts", object{"name": "red"})
	s.ok("PATCH", "/v1/quotas", object{"accountUuid": account, "quotas": object{"vips": allowed}})
	token := s.newToken(object{"name": "red", "role": "account", "accountUuid": account})
	near, far := s.with(token), newSiteOn(t, s.store, httpapi.Config{Log: slog.New(slog.DiscardHandler)}).with(token)
	answers := make([]answer, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			at := []*site{near, far}[i%2]
			answers[i] = at.send("POST", "/v1/vips", object{"name": fmt.Sprint("v", i), "l3NetworkUuid": m["public"]})
		})
	}
	all.Wait()
	count := map[string]int{}
	for _, a := range answers {
		count[fmt.Sprint(a.status, a.str("code"))]++
	}
	if count["201"] != allowed || count["429quota-exceeded"] != calls-allowed {
		t.Errorf("answered were %v", count)
	}
	if listed := len(near.ok("GET", "/v1/vips?limit=100", nil).items()); listed != allowed {
		t.Errorf("there are %d", listed)
	}
	for _, q := range near.ok("GET", "/v1/quotas", nil).items() {
		if q["name"] == "vips" && (q["used"] != float64(allowed) || q["allowed"] != float64(allowed)) {
			t.Errorf("the quota says %v", q)
		}
	}
}
