package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// records are what the caller is shown, newest first, as "state METHOD route status".
func (s *site) records(query string) (all []string) {
	s.t.Helper()
	for _, r := range s.ok("GET", "/v1/audit"+query, nil).items() {
		outcome, _ := r["outcome"].(object)
		all = append(all, fmt.Sprint(r["state"], " ", r["method"], " ", r["route"], " ", outcome["status"]))
	}
	return all
}

func TestEveryChangeIsRecorded(t *testing.T) {
	s := newSite(t)
	zone := s.create("/v1/zones", object{"name": "lab"})
	s.ok("GET", "/v1/zones", nil)
	s.ok("POST", "/v1/zones?dryRun=true", object{"name": "never"})
	s.refused(400, "invalid-request", "POST", "/v1/zones", object{"name": "x", "nam": 1})
	s.refused(404, "not-found", "POST", "/v1/clusters", object{"name": "c", "zoneUuid": "0198f3c2-7d5a-7c3e-9a51-0d6f5a1b2c3d"})
	s.ok("DELETE", "/v1/zones/"+zone, nil)
	s.ok("DELETE", "/v1/zones/"+zone, nil)
	got := strings.Join(s.records(""), "\n")
	want := strings.Join([]string{
		"done DELETE /v1/zones/{uuid} 204", "done DELETE /v1/zones/{uuid} 204", "refused POST /v1/clusters 404",
		"refused POST /v1/zones 400", "done POST /v1/zones 201", "note <nil> <nil> <nil>",
	}, "\n")
	if got != want {
		t.Fatalf("records:\n%s\nwant:\n%s", got, want)
	}
	if n := len(s.records("?resource=" + zone)); n != 3 {
		t.Errorf("%d records of the zone, want its creation and both deletions", n)
	}
	first := s.ok("GET", "/v1/audit?limit=1&resource="+zone, nil)
	second := s.ok("GET", "/v1/audit?limit=1&resource="+zone+"&cursor="+first.str("next"), nil)
	if first.items()[0]["uuid"] == second.items()[0]["uuid"] {
		t.Error("the second page begins with the first one's record")
	}
	v := s.ok("GET", "/v1/audit-verification", nil)
	if v.object["intact"] != true {
		t.Errorf("verification: %s", v.raw)
	}
	head := s.ok("GET", "/v1/audit-head", nil).str("expect")
	if v := s.ok("GET", "/v1/audit-verification?expect="+head, nil); v.object["intact"] != true {
		t.Errorf("against its own head: %s", v.raw)
	}
	forged := head[:len(head)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(head, "0")]
	if v := s.ok("GET", "/v1/audit-verification?expect="+forged, nil); v.object["intact"] != false {
		t.Errorf("against another head: %s", v.raw)
	}
}

// TestAuditOfAccounts: an account sees what its own tokens did, and nothing of
// what the cloud did for it.
func TestAuditOfAccounts(t *testing.T) {
	m := newManor(t)
	for _, who := range []string{"red", "red reader"} {
		red := m.with(m.token[who])
		items := red.ok("GET", "/v1/audit?limit=1000", nil).items()
		if len(items) < 5 {
			t.Fatalf("%d records of red", len(items))
		}
		for _, r := range items {
			actor, outcome := r["actor"].(object), r["outcome"].(object)
			if actor["accountUuid"] != m.estate["red"]["accounts"] || r["chain"] != nil || outcome["cloud"] != nil {
				t.Errorf("%s is shown %v", who, r)
			}
		}
		if got := red.records("?account=" + m.estate["blue"]["accounts"]); len(got) != 0 {
			t.Errorf("%s is shown blue's: %v", who, got)
		}
		red.refused(404, "not-found", "GET", "/v1/audit/"+m.estate["blue"]["audit"], nil)
		red.refused(403, "forbidden", "GET", "/v1/audit-head", nil)
	}
	for _, who := range []string{"operator", "reader"} { // who run the cloud see who changed what, and can change nothing of it
		if all := m.with(m.token[who]).records("?account=" + m.estate["blue"]["accounts"]); len(all) < 5 {
			t.Errorf("%s is shown %v of blue", who, all)
		}
		m.with(m.token[who]).ok("GET", "/v1/audit-verification", nil)
	}
	if all := m.records("?account=" + m.estate["blue"]["accounts"]); len(all) < 5 {
		t.Errorf("an admin is shown %v of blue", all)
	}
}

// TestNoSecretIsRecorded: of what is sent, and of what is answered.
func TestNoSecretIsRecorded(t *testing.T) {
	s := newSite(t)
	secret := s.newToken(object{"name": "other", "role": "admin"})
	s.send("POST", "/v1/hosts?key="+secret, object{"name": secret, "libvirtUri": "qemu+ssh://root:hunter2@host/system", "password": "hunter3"})
	raw := s.ok("GET", "/v1/audit", nil).raw
	for _, word := range []string{secret, "hunter2", "hunter3"} {
		if strings.Contains(raw, word) {
			t.Errorf("%q is recorded: %s", word, raw)
		}
	}
	if !strings.Contains(raw, "[redacted]") || !strings.Contains(raw, `"sha256"`) {
		t.Errorf("records: %s", raw)
	}
}

// broken is an audit log that cannot be written.
type broken struct{ *audit.Log }

func (broken) Begin(context.Context, v1.AuditCall) (uint64, error) {
	return 0, v1.Unavailable("audit-unavailable", "the disk is full").Because(errors.New("no space left on device"))
}

// TestNothingIsDoneUnrecorded: a change whose intent cannot be written is not made.
func TestNothingIsDoneUnrecorded(t *testing.T) {
	s := newSiteOn(t, store.NewMemory(catalog), httpapi.Config{Log: slog.New(slog.DiscardHandler), Rate: httpapi.Rate{PerSecond: -1}, Audit: broken{audit.NewMemory()}})
	before := s.store.View()
	s.refused(503, "audit-unavailable", "POST", "/v1/zones", object{"name": "z"})
	s.refused(503, "audit-unavailable", "POST", "/v1/tokens", object{"name": "t", "role": "admin"})
	if s.store.View() != before || len(s.ok("GET", "/v1/zones", nil).items()) != 0 || len(s.ok("GET", "/v1/tokens", nil).items()) != 1 {
		t.Error("something was done")
	}
}

// TestWrongTokensAreBounded: who has none is told to wait, and counted; right
// tokens from the same address are answered.
func TestWrongTokensAreBounded(t *testing.T) {
	s := newSiteOn(t, store.NewMemory(catalog), httpapi.Config{
		Log: slog.New(slog.DiscardHandler), Rate: httpapi.Rate{PerSecond: -1}, WrongTokens: httpapi.Rate{PerSecond: 1, Burst: 3},
	})
	now := time.Now()
	s.api.At(now)
	stranger := s.with("sluice_" + strings.Repeat("A", 43))
	for range 3 {
		stranger.refused(401, "unauthorized", "GET", "/v1/zones", nil)
	}
	for range 1000 {
		if a := stranger.refused(429, "too-many-wrong-tokens", "POST", "/v1/zones", object{"name": "z"}); a.header.Get("Retry-After") != "1" {
			t.Fatalf("Retry-After is %q", a.header.Get("Retry-After"))
		}
	}
	s.ok("GET", "/v1/zones", nil)
	stranger.ok("GET", "/healthz", nil)
	s.api.At(now.Add(time.Second))
	stranger.refused(401, "unauthorized", "GET", "/v1/zones", nil)
	if raw := s.send("GET", "/metrics", nil).raw; !strings.Contains(raw, "sluice_api_unauthenticated_requests_total 1004") {
		t.Error("metrics do not count them")
	}
	if n := len(s.records("?limit=1000")); n == 0 || n > 100 {
		t.Errorf("%d records of 1004 calls by strangers: want a few", n)
	}
}

func TestTokensOfAnAccountAreLimited(t *testing.T) {
	s := newSite(t)
	account := s.create("/v1/accounts", object{"name": "red"})
	body := object{"name": "t", "role": "account", "accountUuid": account}
	s.ok("PATCH", "/v1/quotas", object{"accountUuid": account, "quotas": object{"tokens": 2}})
	s.newToken(body)
	red := s.with(s.newToken(body))
	for _, caller := range []*site{s, red} {
		a := caller.refused(429, "quota-exceeded", "POST", "/v1/tokens", body)
		if q := a.object["quota"].(object); fmt.Sprint(q["name"], " ", q["used"], " ", q["allowed"]) != "tokens 2 2" {
			t.Errorf("quota: %v", q)
		}
	}
	for _, q := range red.ok("GET", "/v1/quotas", nil).items() {
		if q["name"] == "tokens" && fmt.Sprint(q["used"], q["allowed"]) != "2 2" {
			t.Errorf("quota: %v", q)
		}
	}
	s.ok("DELETE", "/v1/tokens/"+s.ok("GET", "/v1/tokens", nil).items()[1]["uuid"].(string), nil)
	s.newToken(body)
	s.ok("PATCH", "/v1/quotas", object{"accountUuid": account, "quotas": object{"tokens": nil}})
	s.newToken(body)
}
