package httpapi_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// server is a site on a store that it shares, with an audit directory.
func server(t *testing.T, db *store.Store, name, dir string) *site {
	t.Helper()
	log, err := audit.Open(audit.Config{Dir: dir, Host: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	s := newSiteOn(t, db, httpapi.Config{Log: slog.New(slog.DiscardHandler), Rate: httpapi.Rate{PerSecond: -1}, Audit: log, AuditServer: name + ":" + dir})
	return s
}

// elsewhere are the servers whose chains an answer says it does not have.
func (a answer) elsewhere() string {
	var all []string
	list, _ := a.object["elsewhere"].([]any)
	for _, e := range list {
		all = append(all, strings.Split(e.(object)["server"].(string), ":")[0])
	}
	return strings.Join(all, " ")
}

// TestServersTellOfEachOther: of several servers on one store each shows its own
// records and names the others; in one directory each shows all.
func TestServersTellOfEachOther(t *testing.T) {
	db, together := store.NewMemory(catalog), t.TempDir()
	a, b, c := server(t, db, "a", together), server(t, db, "b", together), server(t, db, "c", t.TempDir())
	for i, s := range []*site{a, b, c} {
		s.create("/v1/zones", object{"name": string(rune('x' + i))})
		s.api.NoteHead(t.Context())
	}
	for _, s := range []*site{a, b} {
		if got := s.ok("GET", "/v1/audit", nil); len(s.records("")) != 4 || got.elsewhere() != "c" { // and two starts
			t.Errorf("side by side: %s", got.raw)
		}
		if got := s.ok("GET", "/v1/audit-verification", nil); got.object["intact"] != true || len(got.object["chains"].([]any)) != 2 || got.elsewhere() != "c" {
			t.Errorf("side by side: %s", got.raw)
		}
	}
	if got := c.ok("GET", "/v1/audit", nil); len(got.items()) != 2 || got.elsewhere() != "a b" {
		t.Errorf("apart: %s", got.raw)
	}
	account := a.create("/v1/accounts", object{"name": "red"})
	red := a.with(a.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
	if got := red.ok("GET", "/v1/audit", nil); got.elsewhere() != "" {
		t.Errorf("an account is told of servers: %s", got.raw)
	}
}

// TestCutEndIsFoundByTheStore: who cuts the end off a chain without a note of its
// head elsewhere is found out, since the store has one.
func TestCutEndIsFoundByTheStore(t *testing.T) {
	dir := t.TempDir()
	s := server(t, store.NewMemory(catalog), "a", dir)
	s.create("/v1/zones", object{"name": "z"})
	s.api.NoteHead(t.Context())
	if got := s.ok("GET", "/v1/audit-verification", nil); got.object["intact"] != true {
		t.Fatal(got.raw)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	if err := os.WriteFile(files[0], content[:end], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.ok("GET", "/v1/audit-verification", nil); got.object["intact"] != false || !strings.Contains(got.raw, "was noted: its end was cut off") {
		t.Errorf("the last record was cut off: %s", got.raw)
	}
}
