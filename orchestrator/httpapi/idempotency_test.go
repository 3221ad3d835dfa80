package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

const keyHeader = "Idempotency-Key"

// restart is another API process on the same store, with the same token.
func (s *site) restart() *site {
	next := *s
	next.api = httpapi.New(httpapi.Config{
		Store: s.store, Effects: s.world, Version: "test", Log: slog.New(slog.DiscardHandler),
		Services: []func(*httpapi.API){dhcp.Routes},
	})
	return &next
}

func (s *site) count(kind model.Kind) int { return s.store.View().Len(kind) }

func (s *site) keys() []string {
	s.t.Helper()
	keys, err := s.store.Private().Keys(s.t.Context(), "idempotency/", "idempotency0")
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// TestNewKeysAreLimited: nobody fills the store with the answers to his refused
// calls; keys that are known are answered all the same, and so are other accounts.
func TestNewKeysAreLimited(t *testing.T) {
	m := newManor(t)
	m.api.SetNewKeys(httpapi.Rate{PerSecond: 0.001, Burst: 3})
	red, blue := m.with(m.token["red"]), m.with(m.token["blue"])
	other := red.with(red.newToken(object{"name": "other", "role": "account"}))
	before := len(m.keys())
	for i := range 3 {
		red.refused(404, "not-found", "POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": nobody}, keyHeader, fmt.Sprint(i))
	}
	full := len(m.keys())
	for _, s := range []*site{red, other} {
		a := s.refused(429, "too-many-idempotency-keys", "POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": nobody}, keyHeader, "new")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if got := len(m.keys()); full != before+6 || got != full {
		t.Errorf("%d keys in the store, then %d, then %d", before, full, got)
	}
	if a := red.send("POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": nobody}, keyHeader, "0"); a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a known key: %s", a.raw)
	}
	blue.ok("POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": m.cloud["public"]}, keyHeader, "new")
}

func TestSameKeySameAnswer(t *testing.T) {
	s := newSite(t)
	first := s.ok("POST", "/v1/zones", object{"name": "z"}, keyHeader, "k")
	for _, api := range []*site{s, s.restart()} {
		again := api.ok("POST", "/v1/zones?wait=1s", object{"name": "z"}, keyHeader, "k")
		if again.raw != first.raw || again.status != first.status || again.header.Get("ETag") != first.header.Get("ETag") ||
			again.header.Get("Content-Type") != first.header.Get("Content-Type") || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%d %v %s, want %d %v %s", again.status, again.header, again.raw, first.status, first.header, first.raw)
		}
	}
	s.refused(422, "idempotency-key-reused", "POST", "/v1/zones", object{"name": "other"}, keyHeader, "k")
	s.refused(422, "idempotency-key-reused", "POST", "/v1/clusters", object{"name": "z"}, keyHeader, "k")
	if s.count(model.Zones) != 1 {
		t.Errorf("%d zones", s.count(model.Zones))
	}
	if first.header.Get("Idempotency-Replayed") != "" {
		t.Error("the first answer says that it is a repetition")
	}
	var err error // another caller's key is another key
	if s.token, err = httpapi.CreateToken(t.Context(), s.store.Private(), v1.Token{Name: "second", Role: v1.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	if other := s.ok("POST", "/v1/zones", object{"name": "z"}, keyHeader, "k"); other.str("uuid") == first.str("uuid") {
		t.Error("two callers share a key")
	}
}

// TestKeyOutlivesTheProcess: on the real store, closed and opened again.
func TestKeyOutlivesTheProcess(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	var first answer
	for i := range 2 {
		db, err := store.Open(t.Context(), store.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.store, s.world = db, &world{store: db}
		if i == 0 {
			s.token, err = httpapi.CreateToken(t.Context(), db.Private(), v1.Token{Name: "admin", Role: v1.RoleAdmin})
			if err != nil {
				t.Fatal(err)
			}
		}
		now := s.restart().ok("POST", "/v1/zones", object{"name": "z"}, keyHeader, "k")
		if i == 0 {
			first = now
		} else if now.raw != first.raw || now.header.Get("Idempotency-Replayed") != "true" || s.count(model.Zones) != 1 {
			t.Errorf("%s after %s, %d zones", now.raw, first.raw, s.count(model.Zones))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConcurrentSameKeyMakesOne(t *testing.T) {
	s := newSite(t)
	two := []*site{s, s.restart()}
	answers := make([]answer, 20)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = two[i%2].send("POST", "/v1/zones", object{"name": "z"}, keyHeader, "k") })
	}
	all.Wait()
	for _, a := range answers {
		if a.status != 201 || a.raw != answers[0].raw {
			t.Errorf("%d %s, want %s", a.status, a.raw, answers[0].raw)
		}
	}
	if s.count(model.Zones) != 1 {
		t.Errorf("%d zones", s.count(model.Zones))
	}
}

func TestKeyInProgress(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.world.hold = make(chan struct{})
	s.api.SetAnswerPatience(20 * time.Millisecond)
	path, start := "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"}
	before := s.world.waits.Load()
	done := make(chan answer)
	go func() { done <- s.send("POST", path, start, keyHeader, "k") }()
	for s.world.waits.Load() == before {
		time.Sleep(time.Millisecond)
	}
	s.refused(409, "idempotency-in-progress", "POST", path, start, keyHeader, "k")
	close(s.world.hold)
	first := <-done
	if again := s.ok("POST", path, start, keyHeader, "k"); again.raw != first.raw || s.world.waits.Load() != before+1 {
		t.Errorf("%s after %s, %d waits", again.raw, first.raw, s.world.waits.Load()-before)
	}
}

// TestFailureIsTriedAgain: the host that a failed call has made is found by
// the next one, and so is what was made by a process that died before it could
// note the answer.
func TestFailureIsTriedAgain(t *testing.T) {
	s := newSite(t)
	zone := s.create("/v1/zones", object{"name": "z"})
	cluster := s.create("/v1/clusters", object{"name": "c", "zoneUuid": zone})
	host := object{"name": "h", "clusterUuid": cluster}
	s.world.broken.Store(v1.Unavailable("host-unreachable", "no libvirt"))
	if a := s.send("POST", "/v1/hosts?wait=1s", host, keyHeader, "k"); a.status != 503 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	s.world.broken.Store(nil)
	made := s.restart().ok("POST", "/v1/hosts?wait=1s", host, keyHeader, "k")
	if s.count(model.Hosts) != 1 || made.str("status") != v1.Connected || made.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%d hosts, %s", s.count(model.Hosts), made.raw)
	}
}

func TestCrashBeforeTheAnswerIsNoted(t *testing.T) {
	s := newSite(t)
	m := s.build()
	for i, call := range []struct {
		path string
		body object
		kind model.Kind
	}{
		{"/v1/zones", object{"name": "z"}, model.Zones},
		{"/v1/vm-instances", object{"name": "v", "nics": []object{{"l3NetworkUuid": m["guest"]}}}, model.VMs},
		{"/v1/vips", object{"name": "v", "l3NetworkUuid": m["public"]}, model.VIPs},
		{"/v1/images", object{"name": "i", "source": "/images/x"}, model.Images},
	} {
		key := fmt.Sprint("k", i)
		before := s.count(call.kind)
		ctx, crash := context.WithCancel(t.Context())
		first := s.ok("POST", call.path, call.body, keyHeader, key)
		s.unanswer(ctx, first)
		crash()
		again := s.restart().ok("POST", call.path, call.body, keyHeader, key)
		if again.raw != first.raw || s.count(call.kind) != before+1 || again.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: %d of them\n%s after\n%s", call.path, s.count(call.kind), again.raw, first.raw)
		}
	}
	l3 := s.create("/v1/l3-networks", object{"name": "split", "l2NetworkUuid": m["inner"]})
	ranges := "/v1/l3-networks/" + l3 + "/ip-ranges"
	body := object{"name": "r", "networkCidr": "10.9.0.0/24", "gateway": "10.9.0.100"}
	first := s.ok("POST", ranges, body, keyHeader, "r")
	s.unanswer(t.Context(), first)
	again := s.restart().ok("POST", ranges, body, keyHeader, "r")
	if len(again.items()) != 2 || again.raw != first.raw {
		t.Errorf("%s after %s", again.raw, first.raw)
	}
}

// unanswer makes the records what they were while the calls ran.
func (s *site) unanswer(ctx context.Context, a answer) {
	s.t.Helper()
	for _, key := range s.keys() {
		if !strings.HasPrefix(key, "idempotency/answers/") {
			continue
		}
		b, _, err := s.store.Private().Get(ctx, key)
		if err != nil {
			s.t.Fatal(err)
		}
		head, _, found := strings.Cut(string(b), `,"status":`)
		if found {
			if err := s.store.Private().Put(ctx, key, []byte(head+"}")); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if a.status != 201 {
		s.t.Fatalf("%d %s", a.status, a.raw)
	}
}

func TestRefusalsUnderAKey(t *testing.T) {
	s := newSite(t)
	missing := object{"name": "c", "zoneUuid": "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"}
	first := s.send("POST", "/v1/clusters", missing, keyHeader, "k")
	again := s.send("POST", "/v1/clusters", missing, keyHeader, "k")
	if first.status < 400 || again.raw != first.raw || again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s, then %d %s", first.status, first.raw, again.status, again.raw)
	}
	s.refused(400, "invalid-request", "POST", "/v1/zones", object{"nam": "z"}, keyHeader, "typo")
	s.ok("POST", "/v1/zones", object{"name": "z"}, keyHeader, "typo") // free again
	for _, bad := range []string{"", strings.Repeat("k", 256), "k\x01", "schlüssel"} {
		s.refused(400, "invalid-idempotency-key", "POST", "/v1/zones", object{"name": "z"}, keyHeader, bad)
	}
	s.ok("POST", "/v1/zones", object{"name": "z"}, keyHeader, strings.Repeat("~", 255))
	s.refused(400, "body-too-large", "POST", "/v1/zones", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`, keyHeader, "long")
	s.ok("POST", "/v1/zones?dryRun=true", object{"name": "try"}, keyHeader, "try")
	if made := s.ok("POST", "/v1/zones", object{"name": "try"}, keyHeader, "try"); made.header.Get("Idempotency-Replayed") != "" {
		t.Error("a dry run took the key")
	}
	count := len(s.keys())
	s.token = "sluice_" + strings.Repeat("x", 43)
	for _, path := range []string{"/v1/zones", "/healthz", "/nowhere"} {
		if a := s.send("POST", path, object{"name": "z"}, keyHeader, "stranger"); a.status < 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if len(s.keys()) != count {
		t.Error("strangers write to the store")
	}
}

func TestKeysExpire(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	body := object{"name": "z"}
	first := s.ok("POST", "/v1/zones", body, keyHeader, "k")
	s.api.At(now.Add(23 * time.Hour))
	if a := s.ok("POST", "/v1/zones", body, keyHeader, "k"); a.raw != first.raw {
		t.Error("the key was forgotten within 24 h")
	}
	s.api.At(now.Add(25 * time.Hour))
	second := s.ok("POST", "/v1/zones", body, keyHeader, "k")
	if second.str("uuid") == first.str("uuid") {
		t.Error("the key stands after 24 h")
	}
	s.api.At(now.Add(27 * time.Hour)) // the first mark is due; the second answer counts
	if err := s.api.ForgetExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := s.ok("POST", "/v1/zones", body, keyHeader, "k"); a.raw != second.raw || len(s.keys()) != 2 {
		t.Errorf("the newer answer was deleted: %s %q", a.raw, s.keys())
	}
	s.api.At(now.Add(52 * time.Hour))
	if err := s.api.ForgetExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.keys(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestBigAnswer: it is kept compressed.
func TestBigAnswer(t *testing.T) {
	s := newSite(t)
	m := s.build()
	nics, options := make([]object, 32), object{}
	for i := range 8 {
		options[fmt.Sprint(224+i)] = strings.Repeat("ab", 200)
	}
	for i := range nics {
		nics[i] = object{"l3NetworkUuid": m["guest"], "dhcpOptions": options}
	}
	body := object{"name": "big", "nics": nics}
	first := s.send("POST", "/v1/vm-instances", body, keyHeader, "k")
	if first.status != 201 || len(first.raw) <= 64<<10 {
		t.Fatalf("%d, %d bytes: %.300s", first.status, len(first.raw), first.raw)
	}
	if again := s.ok("POST", "/v1/vm-instances", body, keyHeader, "k"); again.raw != first.raw || again.header.Get("Idempotency-Replayed") != "true" {
		t.Error("the repetition is another")
	}
	for _, key := range s.keys() {
		if v, _, err := s.store.Private().Get(t.Context(), key); err != nil || len(v) > 64<<10 {
			t.Errorf("%s: %d bytes, %v", key, len(v), err)
		}
	}
}
