package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// TestListWatch: the list, then a line for each change, over a restart of the
// server too, until it is interrupted.
func TestListWatch(t *testing.T) {
	db := store.NewMemory(catalog)
	defer db.Close()
	socket := filepath.Join(t.TempDir(), "s")
	token, err := httpapi.CreateToken(t.Context(), db.Private(), v1.Token{Name: "admin", Role: v1.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	writeFile(t, tokenFile, token)
	stop := serveOn(t, db, socket)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	watch := func(args ...string) (*bufio.Scanner, <-chan int) {
		r, w := io.Pipe()
		code := make(chan int, 1)
		go func() {
			code <- cli.Main(ctx, "", append([]string{"--server", "unix://" + socket, "--token-file", tokenFile}, args...), w, io.Discard)
			w.Close()
		}()
		return bufio.NewScanner(r), code
	}
	line := func(lines *bufio.Scanner) string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the output ended: %v", lines.Err())
		}
		return lines.Text()
	}
	first := zoneNamed(t, db, "old")
	table, code := watch("zone", "list", "--watch")
	if head, row := line(table), line(table); !strings.HasPrefix(head, "NAME") || !strings.HasPrefix(row, "old") {
		t.Errorf("%q, %q", head, row)
	}
	lines, _ := watch("zone", "list", "-w", "-o", "json")
	if l := line(lines); !strings.Contains(l, `"event":"listed"`) {
		t.Errorf("%q", l)
	}
	some, _ := watch("zone", "list", "-w", "--filter", "name~=ne", "-o", "name")
	made := zoneNamed(t, db, "new")
	if l := line(table); l != "+ zone new "+made {
		t.Errorf("%q", l)
	}
	var e struct {
		Event    string
		Resource v1.Zone
	}
	if err := json.Unmarshal([]byte(line(lines)), &e); err != nil || e.Event != v1.EventCreated || e.Resource.UUID != made {
		t.Errorf("%+v %v", e, err)
	}
	if l := line(some); l != "+ new" && l != "new" { // in time for the list, perhaps
		t.Errorf("%q", l)
	}
	if _, err := db.Update(ctx, func(tx *model.Tx) error {
		_, err := model.Patch(tx, model.Zones, made, map[string]json.RawMessage{"name": json.RawMessage(`"other"`)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for l := line(some); l != "- other"; l = line(some) {
		if l != "+ new" && l != "~ new" {
			t.Errorf("%q", l)
		}
	}
	if l := line(table); l != "~ zone other "+made {
		t.Errorf("%q", l)
	}
	stop()
	defer serveOn(t, db, socket)()
	if again := line(table); !strings.HasPrefix(again, "NAME") { // another process: it lists again
		t.Errorf("%q", again)
	}
	line(table)
	line(table)
	if _, err := db.Update(ctx, func(tx *model.Tx) error { tx.Drop(model.Zones, first); return nil }); err != nil {
		t.Fatal(err)
	}
	if l := line(table); l != "- zone old "+first {
		t.Errorf("%q", l)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func zoneNamed(t *testing.T, db *store.Store, name string) (uuid string) {
	t.Helper()
	_, err := db.Update(t.Context(), func(tx *model.Tx) error {
		z, err := model.CreateZone(tx, v1.CreateZone{CreateMeta: v1.CreateMeta{Name: name}})
		if err == nil {
			uuid = z.UUID
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return uuid
}

// serveOn serves until stop.
func serveOn(t *testing.T, db *store.Store, socket string) (stop func()) {
	t.Helper()
	api := httpapi.New(httpapi.Config{Store: db, Effects: &world{store: db}, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, httpapi.Listen{Socket: socket}) }()
	waitFor(t, socket)
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 500 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s does not appear", path)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is added to a console is shown until it is interrupted.
func TestConsoleFollow(t *testing.T) {
	db := store.NewMemory(catalog)
	defer db.Close()
	router := &v1.VirtualRouter{Meta: v1.Meta{UUID: model.NewUUID(), Name: "vr"}}
	if _, err := db.Update(t.Context(), func(tx *model.Tx) error { return tx.Create(router) }); err != nil {
		t.Fatal(err)
	}
	token, err := httpapi.CreateToken(t.Context(), db.Private(), v1.Token{Name: "admin", Role: v1.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	tokenFile, socket := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "s")
	writeFile(t, tokenFile, token)
	defer serveOn(t, db, socket)()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(ctx, "", []string{"--server", "unix://" + socket, "--token-file", tokenFile, "virtual-router", "console", "vr", "-f"}, w, io.Discard)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	for _, want := range []string{"[ 0.000000] line 0", "[ 1.000000] line 1"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
	}
	cancel()
	for lines.Scan() {
		t.Log(lines.Text()) // one more, perhaps
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}
