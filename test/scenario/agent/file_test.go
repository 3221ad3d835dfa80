package agent_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func (w *world) writeSpec(path string, c agentv1.Content) {
	w.t.Helper()
	b, err := json.MarshalIndent(agentv1.RouterSpec{Version: 1, RouterUUID: "r-file", Content: c}, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// TestSpecFile: no orchestrator, no drive; the file is the spec.
func TestSpecFile(t *testing.T) {
	w := newWorld(t)
	spec := filepath.Join(t.TempDir(), "spec.json")
	w.writeSpec(spec, w.content(1))
	if out := run(t, binary+" validate "+spec); !strings.Contains(out, "good (router r-file") {
		t.Fatalf("validate: %s", out)
	}
	p := startIn(t, w.router, binary, "run", "--spec", spec, "--listen", "127.0.0.1:7080")
	p.await("sluice-agent: ready router=r-file", 1)
	w.guestIsServed()
	// Nics keep the names they have in somebody's namespace.
	if links := in(t, w.router, "ip -o link"); !strings.Contains(links, "guest@") || strings.Contains(links, "eth2") {
		t.Fatalf("links renamed:\n%s", links)
	}
	status := func() (s agentv1.RouterStatus) {
		raw := in(t, w.router, "curl -sS http://127.0.0.1:7080/v1/status")
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return s
	}
	if s := status(); s.AppliedGeneration != 1 || s.RouterUUID != "r-file" {
		t.Fatalf("%+v", s)
	}
	if code := in(t, w.router, "curl -sS -o /dev/null -w %{http_code} -X POST http://127.0.0.1:7080/v1/commands/resync"); code != "404" {
		t.Fatalf("a command without TLS: %s", code)
	}

	w.writeSpec(spec, w.content(2))
	w.eventually("changed file applied", func() bool { return status().AppliedGeneration == 2 })

	bad := w.content(1)
	bad.Interfaces[2].MTU = 1
	w.writeSpec(spec, bad)
	p.await("spec file not applied", 1)
	if err := os.WriteFile(spec, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.await("spec file not applied", 2)
	if s := status(); s.AppliedGeneration != 2 || !s.Services["eip"].Ready {
		t.Fatalf("bad content did harm: %+v", s)
	}
	w.writeSpec(spec, w.content(3))
	w.eventually("mended file applied", func() bool { return status().AppliedGeneration == 3 })
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"run", "run --config a --spec b", "run --config a --listen 127.0.0.1:1", "run --nonsense", "walk", "validate", "init"} {
		p := startPlain(t, strings.Fields(args)...)
		if p.code != 2 || p.out == "" {
			t.Errorf("%s: exit status %d, output %q", args, p.code, p.out)
		}
	}
	for _, args := range []string{"help", "--help", "run --help", "validate --help", "version"} {
		if p := startPlain(t, strings.Fields(args)...); p.code != 0 || p.out == "" {
			t.Errorf("%s: exit status %d, output %q", args, p.code, p.out)
		}
	}
	if p := startPlain(t, "run", "--spec", "/nonexistent", "--listen", "192.0.2.1:80"); p.code != 1 || !strings.Contains(p.out, "loopback") {
		t.Errorf("listen off loopback: %+v", p)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"version":1,"content":{"interfaces":[{"name":"lo"}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := startPlain(t, "validate", bad); p.code != 1 || !strings.Contains(p.out, "/content/interfaces/0/name") {
		t.Errorf("validate of a bad file: %+v", p)
	}
}
