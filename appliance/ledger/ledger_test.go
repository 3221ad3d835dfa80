package ledger

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestStoreThenLoad(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Load(); ok || err != nil {
		t.Fatalf("load of nothing: ok=%v err=%v", ok, err)
	}
	want := Entry{
		RouterUUID: "r1", Spec: json.RawMessage(`{"generation":3,"future":1}`),
		Accepted: Mark{3, "aa"}, Applied: Mark{2, "bb"}, Fence: 9, AcceptedAt: time.Unix(5, 0).UTC(),
	}
	if err := errors.Join(l.Store(want), l.Reached(want.Applied)); err != nil {
		t.Fatal(err)
	}
	got, ok, err := l.Load()
	if err != nil || !ok || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v ok=%v err=%v, want %+v", got, ok, err, want)
	}
}

func TestFileIsPrivateAndLeavesNoRest(t *testing.T) {
	dir := t.TempDir()
	l, _ := Open(dir)
	for range 3 {
		if err := l.Store(Entry{RouterUUID: "r1"}); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 || names[0].Name() != File {
		t.Fatalf("files left: %v", names)
	}
	info, _ := names[0].Info()
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, want 0600", info.Mode())
	}
}

func TestDamagedFileIsReported(t *testing.T) {
	for _, name := range []string{File, AppliedFile} {
		dir := t.TempDir()
		l, _ := Open(dir)
		if err := errors.Join(l.Store(Entry{RouterUUID: "r1"}), os.WriteFile(filepath.Join(dir, name), []byte(`{"spec":`), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := l.Load(); ok || err == nil || !strings.Contains(err.Error(), name) {
			t.Fatalf("ok=%v err=%v, want an error naming %s", ok, err, name)
		}
	}
}

func TestFailedStoreKeepsTheOldEntry(t *testing.T) {
	l, _ := Open(t.TempDir())
	if err := l.Store(Entry{RouterUUID: "old"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Store(Entry{RouterUUID: "new", Spec: json.RawMessage(`{`)}); err == nil {
		t.Fatal("an entry that is no JSON was stored")
	}
	if e, ok, err := l.Load(); !ok || err != nil || e.RouterUUID != "old" {
		t.Fatalf("got %+v ok=%v err=%v", e, ok, err)
	}
}

func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"." + File + ".123", "." + AppliedFile + ".4", "mine", ".other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 2 || left[0].Name() != ".other" || left[1].Name() != "mine" {
		t.Fatalf("left: %v", left)
	}
}
