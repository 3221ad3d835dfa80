package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// works is whether a token is one, at an API on the site's store.
func (s *site) works(token string) bool {
	s.t.Helper()
	a := s.with(token).send("GET", "/v1/vips", nil)
	if a.status != 200 && a.str("code") != "unauthorized" {
		s.t.Errorf("a token is answered with %d %s", a.status, a.raw)
	}
	return a.status == 200
}

func TestExpiry(t *testing.T) {
	s := newSite(t)
	now := time.Now().UTC().Truncate(time.Second)
	s.api.At(now)
	for _, life := range []string{"-1h", "0s", "999ms", "1", "tomorrow", "9999999999h", now.Format(time.RFC3339)} {
		a := s.refused(400, "invalid-expiry", "POST", "/v1/tokens", object{"name": "n", "role": "admin", "expiresIn": life})
		if !strings.Contains(a.str("detail"), life) || !strings.Contains(a.str("detail"), "720h") {
			t.Errorf("%s is refused with %q", life, a.str("detail"))
		}
	}
	a := s.ok("POST", "/v1/tokens", object{"name": "n", "role": "read-only", "expiresIn": "90m"})
	if want := now.Add(90 * time.Minute).Format(time.RFC3339); a.str("expires") != want {
		t.Errorf("it expires %s, want %s", a.str("expires"), want)
	}
	for after, want := range map[time.Duration]bool{0: true, 90*time.Minute - time.Nanosecond: true, 90 * time.Minute: false, 1e6 * time.Hour: false} {
		s.api.At(now.Add(after))
		if got := s.works(a.str("secret")); got != want {
			t.Errorf("after %s it works: %v", after, got)
		}
	}
}

// TestRevocation: a token goes with those that it made, at once and at every
// orchestrator, and nothing stays of their use.
func TestRevocation(t *testing.T) {
	s := newSite(t)
	far := newSiteOn(t, s.store, httpapi.Config{Log: slog.New(slog.DiscardHandler)})
	account := s.create("/v1/accounts", object{"name": "red"})
	other := s.newToken(object{"name": "other", "role": "account", "accountUuid": s.create("/v1/accounts", object{"name": "blue"})})
	sibling := s.newToken(object{"name": "sibling", "role": "account", "accountUuid": account})
	first := s.ok("POST", "/v1/tokens", object{"name": "first", "role": "account", "accountUuid": account})
	line := []string{first.str("secret")}
	for _, role := range []string{"account", "account", "read-only"} { // each made with the one before
		line = append(line, s.with(line[len(line)-1]).newToken(object{"name": "next", "role": role}))
	}
	check := func(want bool) {
		t.Helper()
		for i, token := range line {
			if s.works(token) != want || far.works(token) != want {
				t.Errorf("token %d works, or not: want %v", i, want)
			}
		}
	}
	check(true)
	path := "/v1/tokens/" + first.str("uuid")
	s.with(other).ok("DELETE", path, nil) // as a missing one
	s.ok("DELETE", path+"?dryRun=true", nil)
	check(true)
	far.ok("DELETE", path, nil)
	check(false)
	far.ok("DELETE", path, nil)
	if !s.works(sibling) || !far.works(other) {
		t.Error("a token that it did not make is gone with it")
	}
	for _, token := range line {
		for _, prefix := range []string{"tokens/", "token-use/"} {
			if _, found, err := s.store.Private().Get(t.Context(), prefix+hashOf(token)); err != nil || found {
				t.Errorf("%s stays: %v", prefix, err)
			}
		}
	}
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// TestTokensMakeWeakerOnes is who may make which: never a stronger one.
func TestTokensMakeWeakerOnes(t *testing.T) {
	s := newSite(t)
	red, blue := s.create("/v1/accounts", object{"name": "red"}), s.create("/v1/accounts", object{"name": "blue"})
	makers := map[string]string{"admin": s.token}
	for name, body := range map[string]object{
		"operator": {"role": "operator"}, "reader": {"role": "read-only"}, "red reader": {"role": "read-only", "accountUuid": red},
		"red": {"role": "account", "accountUuid": red}, "brief": {"role": "account", "accountUuid": red, "expiresIn": "2h"},
		"narrow": {"role": "account", "accountUuid": red, "scope": []string{"tokens", "vips", "eips:read"}},
		"looker": {"role": "account", "accountUuid": red, "scope": []string{"tokens", "*:read"}},
		"warden": {"role": "admin", "scope": []string{"tokens"}},
	} {
		body["name"] = name
		makers[name] = s.newToken(body)
	}
	const strong, role, gone, scope = "403 token-too-strong", "403 forbidden", "404 not-found", "400 invalid-scope"
	for _, row := range []struct {
		maker string
		body  object
		want  string
	}{
		{"admin", object{"role": "admin"}, ""}, {"admin", object{"role": "operator", "scope": []string{"hosts"}}, ""},
		{"admin", object{"role": "account"}, "400 missing-account"}, {"admin", object{"role": "operator", "accountUuid": red}, "400 role-has-no-account"},
		{"admin", object{"role": "account", "accountUuid": nobody}, gone}, {"admin", object{"role": "admin", "scope": []string{"moons"}}, scope},
		{"admin", object{"role": "admin", "scope": []string{"vips", "vips"}}, scope}, {"admin", object{"role": "admin", "scope": []string{"vips:write"}}, scope},
		{"operator", object{"role": "read-only"}, role}, {"reader", object{"role": "read-only"}, role}, {"red reader", object{"role": "read-only"}, role},
		{"red", object{"role": "account"}, ""}, {"red", object{"role": "read-only"}, ""}, {"red", object{"role": "account", "accountUuid": red, "scope": []string{"vips"}}, ""},
		{"red", object{"role": "admin"}, strong}, {"red", object{"role": "operator"}, strong}, {"red", object{"role": "operator", "scope": []string{"vips:read"}}, strong},
		{"red", object{"role": "account", "accountUuid": blue}, gone}, {"red", object{"role": "read-only", "accountUuid": blue}, gone},
		{"brief", object{"role": "account"}, strong}, {"brief", object{"role": "account", "expiresIn": "3h"}, strong}, {"brief", object{"role": "account", "expiresIn": "1h"}, ""},
		{"narrow", object{"role": "account"}, strong}, {"narrow", object{"role": "account", "scope": []string{}}, strong}, {"narrow", object{"role": "account", "scope": []string{"*"}}, strong},
		{"narrow", object{"role": "account", "scope": []string{"*:read"}}, strong}, {"narrow", object{"role": "account", "scope": []string{"eips"}}, strong},
		{"narrow", object{"role": "account", "scope": []string{"vips", "eips:read", "vm-nics:read"}}, strong}, {"narrow", object{"role": "account", "scope": []string{"vips:read", "eips:read"}}, ""},
		{"looker", object{"role": "account", "scope": []string{"*:read"}}, ""}, {"looker", object{"role": "account", "scope": []string{"tokens", "eips:read"}}, ""},
		{"looker", object{"role": "account", "scope": []string{"vips"}}, strong}, {"looker", object{"role": "read-only"}, strong},
		{"warden", object{"role": "admin"}, strong}, {"warden", object{"role": "admin", "scope": []string{"tokens", "vips:read"}}, strong}, {"warden", object{"role": "admin", "scope": []string{"tokens"}}, ""},
	} {
		row.body["name"] = "new"
		before := len(s.ok("GET", "/v1/tokens", nil).items())
		a := s.with(makers[row.maker]).send("POST", "/v1/tokens", row.body)
		got, made := strings.TrimSuffix(fmt.Sprint(a.status, " ", a.str("code")), " "), len(s.ok("GET", "/v1/tokens", nil).items())-before
		if row.want == "" && (got != "201" || made != 1 || a.str("secret") == "") || row.want != "" && (got != row.want || made != 0) {
			t.Errorf("%s makes %v: %s, %d made, want %q: %s", row.maker, row.body, got, made, row.want, a.raw)
		}
	}
}

// TestLastUse is written at most once a minute, and is no change of the model.
func TestLastUse(t *testing.T) {
	s := newSite(t)
	now := time.Now().UTC().Truncate(time.Second)
	s.api.At(now)
	made := s.ok("POST", "/v1/tokens", object{"name": "n", "role": "read-only"})
	token, key, keys := made.str("secret"), "token-use/"+hashOf(made.str("secret")), s.store.Private()
	if made.str("lastUsed") != "" {
		t.Errorf("a new one was used: %s", made.raw)
	}
	view := s.store.View()
	check := func(after time.Duration, want string) {
		t.Helper()
		s.api.At(now.Add(after))
		for range 20 {
			s.works(token)
		}
		if got, _, err := keys.Get(t.Context(), key); err != nil || string(got) != want {
			t.Errorf("after %s: used %s, want %s: %v", after, got, want, err)
		}
	}
	check(0, now.Format(time.RFC3339))
	if err := keys.Put(t.Context(), key, []byte("as it was")); err != nil {
		t.Fatal(err)
	}
	check(time.Second, "as it was")
	check(59*time.Second, "as it was")
	later := now.Add(time.Minute).Format(time.RFC3339)
	check(time.Minute, later)
	for _, listed := range s.ok("GET", "/v1/tokens", nil).items() {
		if listed["uuid"] == made.str("uuid") && listed["lastUsed"] != later {
			t.Errorf("listed as %v", listed)
		}
	}
	if s.store.View() != view {
		t.Error("the use of a token changes the model")
	}
}

// TestSecretsAreNowhere: what is on the disk and in the log is hashes and UUIDs.
func TestSecretsAreNowhere(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), store.Config{Dir: dir, Catalog: catalog, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s := newSiteOn(t, db, httpapi.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	made := s.ok("POST", "/v1/tokens", object{"name": "n", "role": "admin"})
	unknown := "sluice_" + strings.Repeat("Secret-", 6) + "x"
	s.refused(400, "no-idempotency-key", "POST", "/v1/tokens", object{"name": "n", "role": "admin"}, "Idempotency-Key", "k")
	s.with(made.str("secret")).create("/v1/zones", object{"name": "z"})
	s.with(made.str("secret")).refused(400, "invalid-request", "POST", "/v1/zones", object{"name": ""})
	s.with(unknown).refused(401, "unauthorized", "GET", "/v1/zones", nil)
	if a := s.ok("GET", "/v1/tokens", nil); strings.Contains(a.raw, "sluice_") || strings.Contains(a.raw, "secret") {
		t.Errorf("the list has secrets: %s", a.raw)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.with(made.str("secret")).send("POST", "/v1/zones", object{"name": "z2"}) // fails, and says so
	places := map[string][]byte{"the log": log.Bytes(), "the disk": everything(t, dir)}
	for place, content := range places {
		for _, secret := range []string{s.token, made.str("secret"), unknown} {
			if bytes.Contains(content, []byte(strings.TrimPrefix(secret, "sluice_"))) {
				t.Errorf("%s has %s", place, secret)
			}
		}
	}
	if !bytes.Contains(places["the disk"], []byte(hashOf(made.str("secret")))) || !bytes.Contains(places["the log"], []byte("token:"+made.str("uuid"))) {
		t.Error("the disk or the log was not searched where tokens are")
	}
}

func everything(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
