package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	for name, text := range map[string]string{
		File: `{"spec":`, "journal-1.jsonl": "{\"fence\":1}\nodd\n{\"fence\":2}\n",
	} {
		dir := t.TempDir()
		l, _ := Open(dir)
		if err := errors.Join(l.Store(Entry{RouterUUID: "r1"}), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := l.Load(); ok || err == nil || !strings.Contains(err.Error(), name) {
			t.Fatalf("ok=%v err=%v, want an error naming %s", ok, err, name)
		}
	}
}

// TestDamagedJournalIsNotGoneOnFrom: what is stored after damage was found must
// not make an older entry look like the newest.
func TestDamagedJournalIsNotGoneOnFrom(t *testing.T) {
	dir := t.TempDir()
	l, _ := Open(dir)
	old := Entry{RouterUUID: "r1", Spec: json.RawMessage(`{"a":1}`), Accepted: Mark{1, "h1"}, Fence: 1}
	text := "{\"accepted\":{\"generation\":2,\"hash\":\"h2\"}}\nodd\n{\"fence\":2}\n"
	if err := errors.Join(l.Store(old), os.WriteFile(l.journalPath(l.number), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	l, _ = Open(dir)
	if _, ok, err := l.Load(); ok || err == nil {
		t.Fatalf("ok=%v err=%v, want damage", ok, err)
	}
	if err := l.Append(Entry{RouterUUID: "r1", Fence: 3}, nil); err != nil {
		t.Fatal(err)
	}
	e, ok, err := l.Load()
	if err != nil || !ok || e.Fence != 3 || e.Accepted != (Mark{}) || len(e.Spec) > 0 {
		t.Fatalf("got %+v ok=%v err=%v, want nothing but the fence", e, ok, err)
	}
}

func TestFailedStoreKeepsTheOldEntry(t *testing.T) {
	dir := t.TempDir()
	l, _ := Open(dir)
	if err := l.Store(Entry{RouterUUID: "old"}); err != nil {
		t.Fatal(err)
	}
	l.dir = filepath.Join(dir, "none")
	if err := l.Store(Entry{RouterUUID: "new"}); err == nil {
		t.Fatal("an entry was stored nowhere")
	}
	l.dir = dir
	if e, ok, err := l.Load(); !ok || err != nil || e.RouterUUID != "old" {
		t.Fatalf("got %+v ok=%v err=%v", e, ok, err)
	}
}

func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"." + File + ".123", "mine", ".other"} {
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

// TestACrashAtAnyByteLeavesAPrefix: whatever of the journal was written when the
// process was killed, what was acknowledged before is there, and the ledger goes
// on from it.
func TestACrashAtAnyByteLeavesAPrefix(t *testing.T) {
	dir := t.TempDir()
	l, _ := Open(dir)
	e := Entry{RouterUUID: "r1", Spec: json.RawMessage(`{"a":1}`), Accepted: Mark{1, "h1"}, Fence: 1}
	if err := l.Store(e); err != nil {
		t.Fatal(err)
	}
	want := []Entry{e}
	ends := []int64{0}
	for i := range uint64(4) {
		change := json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
		e.Accepted, e.Fence = Mark{2 + i, fmt.Sprint("h", i)}, int64(2+i)
		e.Changes = append(slices.Clone(e.Changes), change)
		if err := l.Append(e, change); err != nil {
			t.Fatal(err)
		}
		want, ends = append(want, e), append(ends, l.size)
	}
	journal, err := os.ReadFile(l.journalPath(l.number))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(journal) + 1 {
		if err := os.WriteFile(l.journalPath(l.number), journal[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		is := want[0]
		for i, end := range ends {
			if int64(n) >= end {
				is = want[i]
			}
		}
		killed, _ := Open(dir)
		got, ok, err := killed.Load()
		if err != nil || !ok || !reflect.DeepEqual(got, is) {
			t.Fatalf("%d bytes: got %+v, %v, want %+v", n, got, err, is)
		}
		is.Fence = 99
		if err := killed.Append(is, nil); err != nil {
			t.Fatal(err)
		}
		again, _ := Open(dir)
		if got, _, err := again.Load(); err != nil || !reflect.DeepEqual(got, is) {
			t.Fatalf("%d bytes and one line more: got %+v, %v, want %+v", n, got, err, is)
		}
	}
}

// TestACrashWhileTheBaseIsReplaced: a journal never goes with another base than
// its own, be it the old or the new one that is left.
func TestACrashWhileTheBaseIsReplaced(t *testing.T) {
	dir := t.TempDir()
	l, _ := Open(dir)
	old := Entry{RouterUUID: "r1", Spec: json.RawMessage(`{"a":1}`), Accepted: Mark{1, "h1"}}
	changed := old
	changed.Accepted, changed.Changes = Mark{2, "h2"}, []json.RawMessage{json.RawMessage(`{"n":1}`)}
	if err := errors.Join(l.Store(old), l.Append(changed, changed.Changes[0])); err != nil {
		t.Fatal(err)
	}
	base, _ := os.ReadFile(l.path())
	first := l.journalPath(l.number)
	journal, _ := os.ReadFile(first)
	whole := Entry{RouterUUID: "r1", Spec: json.RawMessage(`{"a":2}`), Accepted: Mark{2, "h2"}}
	if err := l.Store(whole); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want Entry) {
		t.Helper()
		killed, _ := Open(dir)
		if got, ok, err := killed.Load(); err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", when, got, err, want)
		}
	}
	check("all done", whole)
	if err := os.WriteFile(first, journal, 0o600); err != nil {
		t.Fatal(err)
	}
	check("before the old journal was removed", whole)
	if err := os.WriteFile(l.path(), base, 0o600); err != nil {
		t.Fatal(err)
	}
	check("before the new base was there", changed)
	fresh, _ := Open(dir) // one that stores without having read
	if err := fresh.Store(whole); err != nil {
		t.Fatal(err)
	}
	check("stored unread", whole)
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("files left: %v", names)
	}
}

func TestAJournalOutgrowsItsBase(t *testing.T) {
	l, _ := Open(t.TempDir())
	e := Entry{RouterUUID: "r1", Spec: json.RawMessage(`{}`)}
	if err := l.Store(e); err != nil {
		t.Fatal(err)
	}
	change := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	n := 0
	for ; !l.Outgrown(); n++ {
		if err := l.Append(e, change); err != nil {
			t.Fatal(err)
		}
	}
	if n < 60 || n > 70 {
		t.Errorf("after %d changes of a kB", n)
	}
	if err := l.Store(e); err != nil || l.Outgrown() {
		t.Errorf("after a new base: %v", err)
	}
}
