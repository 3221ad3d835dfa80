package httpapi_test

import (
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/backup"
)

// TestBackup is whole, for unrestricted admins only, and on record.
func TestBackup(t *testing.T) {
	s := newSite(t)
	m := s.build()
	a := s.ok("POST", "/v1/backup", nil)
	found := map[string]bool{}
	info, err := backup.Read(strings.NewReader(a.raw), func(key string, value []byte) error {
		found[key] = true
		return nil
	})
	if err != nil || info.Server != "test" || info.Revision != s.store.View().Revision || !found["/sluice/v1/r/zones/"+m["zone"]] || !found["/sluice/v1/p/tokens/"+hashOf(s.token)] {
		t.Errorf("%+v %v, %d keys", info, err, len(found))
	}
	if a.header.Get("Cache-Control") != "no-store" || strings.Contains(a.raw, strings.TrimPrefix(s.token, "sluice_")) {
		t.Errorf("it may be kept on its way, or has a secret: %v", a.header)
	}
	if got := s.records("?limit=1")[0]; got != "done POST /v1/backup 200" {
		t.Errorf("on record as %q", got)
	}
	s.refused(400, "no-idempotency-key", "POST", "/v1/backup", nil, "Idempotency-Key", "k")
	for _, scope := range []string{"*:read", "backup:read", "audit"} {
		reader := s.newToken(object{"name": "reader", "role": "admin", "scope": []string{scope}})
		s.with(reader).refused(403, "outside-scope", "POST", "/v1/backup", nil)
	}
	for _, role := range []string{"operator", "read-only"} {
		s.with(s.newToken(object{"name": role, "role": role})).refused(403, "forbidden", "POST", "/v1/backup", nil)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	cut := s.send("POST", "/v1/backup", nil)
	if _, err := backup.Read(strings.NewReader(cut.raw), func(string, []byte) error { return nil }); err == nil {
		t.Errorf("a store that is closed is backed up: %d", cut.status)
	}
}
