package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

var quiet = slog.New(slog.DiscardHandler)

func call(name string) v1.AuditCall {
	return v1.AuditCall{
		Actor: v1.AuditActor{ID: "token:" + name, Name: name, Role: "account", AccountUUID: "account-" + name, Address: "192.0.2.1:4711"}, Method: "PATCH", Route: "/v1/vips/{uuid}",
		Parameters: map[string]string{"uuid": "vip-" + name}, Body: &v1.AuditBody{Content: map[string]any{"description": name}, Size: 23, SHA256: "00"},
	}
}

func begin(t testing.TB, l *Log, name string) uint64 {
	t.Helper()
	n, err := l.Begin(t.Context(), call(name))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func records(t testing.TB, l *Log, q Query) []v1.AuditRecord {
	t.Helper()
	found, _, err := l.Find(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// shown is records in short.
func shown(all []v1.AuditRecord) (out []string) {
	for _, r := range all {
		out = append(out, strings.TrimSuffix(r.Actor.Name+" "+r.State, " "))
	}
	return out
}

func intact(t testing.TB, l *Log, expected ...Expectation) v1.AuditVerification {
	t.Helper()
	v, err := l.Verify(context.Background(), expected)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Intact {
		t.Fatalf("not intact: %+v", *v.Chains[0].Damage)
	}
	return v
}

func TestRecords(t *testing.T) {
	l := NewMemory()
	defer l.Close()
	red, blue := begin(t, l, "red"), begin(t, l, "blue")
	begin(t, l, "green")
	l.End(blue, v1.AuditOutcome{Status: 422, Code: "no-such-thing", Resources: []string{"l3-networks/l3"}})
	l.End(red, v1.AuditOutcome{Status: 200, Resources: []string{"vips/vip-red"}, Cloud: []string{"virtual-routers/router"}, Revision: 7})
	l.Refused(call("nosy"), v1.AuditOutcome{Status: 403, Code: "forbidden"})
	if got, want := shown(records(t, l, Query{})), []string{"nosy refused", "green running", "blue refused", "red done", "note"}; !slices.Equal(trimmed(got), want) {
		t.Errorf("%q, want %q", got, want)
	}
	all := records(t, l, Query{})
	for _, row := range []struct {
		q    Query
		want string
	}{
		{Query{Account: "account-red"}, "red"}, {Query{Actor: "blue"}, "blue"}, {Query{Actor: "token:green"}, "green"}, {Query{Resource: "vip-blue"}, "blue"},
		{Query{Resource: "router"}, "red"}, {Query{Resource: "l3"}, "blue"}, {Query{Resource: "vip"}, ""}, {Query{ID: all[0].UUID}, "nosy"}, {Query{ID: "x"}, ""},
		{Query{Since: all[1].Time}, "nosy green"}, {Query{Before: all[3].Time}, ""}, {Query{Since: all[2].Time, Before: all[0].Time}, "green blue"}, {Query{Account: "account-red", Actor: "blue"}, ""},
	} {
		var names []string
		for _, r := range records(t, l, row.q) {
			if r.State != v1.AuditNote {
				names = append(names, r.Actor.Name)
			}
		}
		if got := strings.Join(names, " "); got != row.want {
			t.Errorf("%+v finds %q, want %q", row.q, got, row.want)
		}
	}
	v := intact(t, l)
	if c := v.Chains[0]; c.Records != 8 || c.First != 1 || c.Open != 1 || c.Head.Number != 8 || c.Head.Hash != l.Head(t.Context()).Hash {
		t.Errorf("%+v", c)
	}
	if red := all[3]; red.Outcome.Revision != 7 || red.Body.Content.(map[string]any)["description"] != "red" || red.Number != 3 || red.Chain != "memory" {
		t.Errorf("%+v", red)
	}
}

func trimmed(all []string) (out []string) {
	for _, s := range all {
		out = append(out, strings.TrimSpace(s))
	}
	return out
}

// Pages are the whole list, whatever their size, and also while more is written.
func TestPages(t *testing.T) {
	a := newMemory()
	l, err := start(a, "memory", Config{Log: quiet, fileSize: 4000, files: 10_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	long := begin(t, l, "long")
	for i := range 60 {
		l.End(begin(t, l, fmt.Sprint("n", i)), v1.AuditOutcome{Status: 200})
	}
	l.End(long, v1.AuditOutcome{Status: 200}) // files away from its intent
	all := shown(records(t, l, Query{}))
	for _, q := range []Query{{Limit: 1}, {Limit: 7}, {Bytes: 1}, {Bytes: 9000}, {Limit: 62}, {Limit: 1000}} {
		var got []string
		for range 1000 {
			found, next, err := l.Find(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, shown(found)...)
			if q.Before = next; next.IsZero() {
				break
			}
			begin(t, l, "meanwhile")
		}
		if !slices.Equal(got, all) {
			t.Errorf("%+v: %d of %d", q, len(got), len(all))
		}
		all = shown(records(t, l, Query{}))
	}
}

// Of many at once each has its record, and they share the disk.
func TestManyAtOnce(t *testing.T) {
	a := newMemory()
	l, err := start(a, "memory", Config{Log: quiet, fileSize: 50_000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			for j := range 20 {
				l.End(begin(t, l, fmt.Sprintf("%d-%d", i, j)), v1.AuditOutcome{Status: 200})
			}
		})
	}
	group.Wait()
	names := map[string]bool{}
	for _, r := range records(t, l, Query{}) {
		if names[r.Actor.Name] = true; r.State != v1.AuditDone && r.State != v1.AuditNote {
			t.Errorf("%s is %s", r.Actor.Name, r.State)
		}
	}
	if len(names) != 1001 { // and the note's
		t.Errorf("%d records", len(names))
	}
	intact(t, l)
}

// What cannot be written is refused, and nothing of it stays; outcomes are
// written when there is room again.
func TestDiskFull(t *testing.T) {
	for left := range 12 {
		a := newMemory()
		l, err := start(a, "memory", Config{Log: quiet, fileSize: 1500, files: 100}, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := begin(t, l, "last")
		a.mu.Lock()
		a.fault, a.left = syscall.ENOSPC, left
		a.mu.Unlock()
		want := []string{}
		refused := 0
		for i := range 20 {
			name := fmt.Sprint("n", i)
			n, err := l.Begin(t.Context(), call(name))
			if err == nil {
				want = append(want, name+" done")
				l.End(n, v1.AuditOutcome{Status: 200})
				continue
			}
			if refused++; v1.Code(err) != "audit-unavailable" || !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space") {
				t.Fatalf("refused with %v", err)
			}
		}
		l.End(last, v1.AuditOutcome{Status: 200})
		l.flush(t.Context())
		if refused < 10 || !l.isFailing() {
			t.Errorf("after %d operations: %d are refused, failing %v", left, refused, l.isFailing())
		}
		a.mu.Lock()
		a.fault = nil
		a.mu.Unlock()
		want = append([]string{"last done"}, append(want, "after running")...)
		begin(t, l, "after")
		got := shown(slices.DeleteFunc(records(t, l, Query{}), func(r v1.AuditRecord) bool { return r.State == v1.AuditNote }))
		slices.Reverse(got)
		if !slices.Equal(got, want) || l.isFailing() {
			t.Errorf("after %d operations: %q, want %q", left, got, want)
		}
		intact(t, l)
		l.Close()
	}
}

// Old files are removed, and the chain says so itself.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, Host: "here", fileSize: 3000, files: 3, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	early := l.Head(t.Context())
	for i := range 100 {
		l.End(begin(t, l, fmt.Sprint(i)), v1.AuditOutcome{Status: 200})
	}
	v := intact(t, l)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err != nil || len(files) != 3 || v.Chains[0].First == 1 {
		t.Fatalf("%d files, first record %d: %v", len(files), v.Chains[0].First, err)
	}
	if v, err := l.Verify(t.Context(), []Expectation{expect(t, early.Expect)}); err != nil || v.Intact || !strings.Contains(v.Chains[0].Damage.What, "older than what is kept") {
		t.Errorf("a removed record is taken for verified: %+v %v", v, err)
	}
	l.Close()
	l, err = Open(Config{Dir: dir, fileSize: 3000, files: 3, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	intact(t, l)
	l.Close()
	files, _ = filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	v, err = Read(dir).Verify(nil)
	if err != nil || v.Intact || !strings.Contains(v.Chains[0].Damage.What, "no later record says") {
		t.Errorf("a file that somebody else removed: %+v %v", v, err)
	}
}

// Less is kept from the next start on, and more from the one after; the chain is
// whole all the time, and says where it begins.
func TestRetentionChanges(t *testing.T) {
	dir := t.TempDir()
	count := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for i, files := range []int{12, 3, 2, 6, 3} {
		l, err := Open(Config{Dir: dir, Host: "here", fileSize: 2000, files: files, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if v := intact(t, l); count() > files || i > 0 && v.Chains[0].First == 1 {
			t.Errorf("%d files, of which %d are kept, from record %d on", count(), files, v.Chains[0].First)
		}
		for i := range 60 {
			l.End(begin(t, l, fmt.Sprint(i)), v1.AuditOutcome{Status: 200})
		}
		intact(t, l)
		l.Close()
		if v, err := Read(dir).Verify(nil); err != nil || !v.Intact || count() != files {
			t.Errorf("%d files, %d kept: %+v %v", count(), files, v.Chains[0].Damage, err)
		}
	}
}

// A size is what all files take together.
func TestSize(t *testing.T) {
	for size, want := range map[int64]int64{0: 1 << 30, 1: 16 << 20, 100 << 20: 100 << 20, 5 << 30: 5 << 30} {
		if each, n := files(size); n < 2 || each*int64(n) > want || each*int64(n+1) < want {
			t.Errorf("%d: %d files of %d bytes", size, n, each)
		}
	}
}

// Directories of several servers are read as one; what would hide a chain is
// refused.
func TestSeveralDirectories(t *testing.T) {
	var dirs []string
	for _, host := range []string{"a", "b"} {
		l, err := Open(Config{Dir: filepath.Join(t.TempDir(), "audit"), Host: host, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		l.End(begin(t, l, host), v1.AuditOutcome{Status: 200})
		dirs = append(dirs, string(l.archive.(disk)))
		l.Close()
	}
	found, _, err := Read(dirs...).Find(t.Context(), Query{})
	if got := trimmed(shown(found)); err != nil || !slices.Equal(got, []string{"b done", "note", "a done", "note"}) {
		t.Errorf("merged: %q %v", got, err)
	}
	if v, err := Read(dirs...).Verify(nil); err != nil || !v.Intact || len(v.Chains) != 2 {
		t.Errorf("verified: %+v %v", v, err)
	}
	for _, with := range []string{dirs[0], t.TempDir(), filepath.Join(dirs[0], "nowhere")} {
		if _, err := Read(append(dirs, with)...).Verify(nil); err == nil {
			t.Errorf("%s: verified", with)
		}
		if _, _, err := Read(append(dirs, with)...).Find(t.Context(), Query{}); err == nil {
			t.Errorf("%s: read", with)
		}
	}
}

func expect(t testing.TB, text string) Expectation {
	t.Helper()
	e, err := ParseExpectation(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// On a disk: modes, one writer a chain, several chains side by side.
func TestChainsSideBySide(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	c := Config{Dir: dir, Host: "fe80::1 %x/", Log: quiet}
	one, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range []*Log{one, two, two, one} {
		l.End(begin(t, l, fmt.Sprint(i)), v1.AuditOutcome{Status: 200})
	}
	if one.chain == two.chain || !strings.HasPrefix(one.chain, "fe80-1-x-") {
		t.Errorf("chains %s and %s", one.chain, two.chain)
	}
	begin(t, two, "left")
	if got := strings.Join(shown(records(t, one, Query{Limit: 5})), ","); got != "left unknown,3 done,2 done,1 done,0 done" {
		t.Errorf("merged: %s", got)
	}
	if got := shown(records(t, two, Query{Limit: 1})); got[0] != "left running" {
		t.Errorf("its own: %s", got)
	}
	intact(t, one)
	two.Close()
	again, err := Open(c)
	if err != nil || again.chain != two.chain {
		t.Fatalf("went on with %v: %v", again, err)
	}
	if got := shown(records(t, one, Query{Actor: "left"})); got[0] != "left interrupted" {
		t.Errorf("after a restart: %s", got)
	}
	one.Close()
	again.Close()
	found, _, err := Read(dir).Find(t.Context(), Query{Account: "account-0"})
	if err != nil || len(found) != 1 {
		t.Errorf("offline: %v %v", found, err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A chain that was changed is left as it is, and another one is begun.
func TestDamagedChainIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, l, "red")
	begin(t, l, "blue")
	l.Close()
	path := filepath.Join(dir, l.chain, fileName(1))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), "red", "rot", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	begin(t, next, "green")
	after, err := os.ReadFile(path)
	if err != nil || string(after) != changed || next.chain == l.chain {
		t.Errorf("chain %s was changed: %v", l.chain, err)
	}
	v, err := next.Verify(t.Context(), nil)
	if err != nil || v.Intact || len(v.Chains) != 2 {
		t.Fatalf("%+v %v", v, err)
	}
	for _, r := range v.Chains {
		if changed := r.Chain == l.chain; r.Intact == changed || changed && (r.Damage.Line != 3 || r.Damage.File != fileName(1)) {
			t.Errorf("%+v %+v", r, r.Damage)
		}
	}
}

// Of what strangers do only some is written, with the number of the rest.
func TestRefusalsAreSampled(t *testing.T) {
	l := NewMemory()
	defer l.Close()
	now := time.Now()
	l.now = func() time.Time { return now }
	for range 1000 {
		l.Refused(v1.AuditCall{}, v1.AuditOutcome{Status: 401})
	}
	for i := range 2 * maxActors {
		l.Refused(v1.AuditCall{Actor: v1.AuditActor{ID: fmt.Sprint("token:", i)}}, v1.AuditOutcome{Status: 403})
	}
	written := len(records(t, l, Query{}))
	if written < maxActors || written > maxActors+2*refusalsAtOnce {
		t.Errorf("%d records", written)
	}
	now = now.Add(10 * time.Second)
	l.Refused(v1.AuditCall{}, v1.AuditOutcome{Status: 401})
	if newest := records(t, l, Query{Limit: 1})[0]; newest.Suppressed < 1000-refusalsAtOnce {
		t.Errorf("%d were not written, it says", newest.Suppressed)
	}
	now = now.Add(time.Hour)
	l.Refused(v1.AuditCall{}, v1.AuditOutcome{Status: 401})
	if len(l.refused.actors) > 1 {
		t.Errorf("%d actors are remembered", len(l.refused.actors))
	}
}

// A caller that goes while its intent is written is no open call.
func TestCallerGone(t *testing.T) {
	l := NewMemory()
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	gone := 0
	for i := range 50 {
		if _, err := l.Begin(ctx, call(fmt.Sprint(i))); errors.Is(err, context.Canceled) {
			gone++
		}
	}
	for range 1000 {
		if got := shown(records(t, l, Query{})); gone > 0 && strings.Count(strings.Join(got, ","), "interrupted") == gone {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("of %d callers that went: %v", gone, shown(records(t, l, Query{})))
}

func TestClosed(t *testing.T) {
	l := NewMemory()
	n := begin(t, l, "red")
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	l.End(n, v1.AuditOutcome{Status: 200})
	if _, err := l.Begin(t.Context(), call("blue")); v1.Code(err) != "audit-unavailable" {
		t.Errorf("after the end: %v", err)
	}
}

func (l *Log) isFailing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing
}
