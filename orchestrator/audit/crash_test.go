package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// rebooted is what is left of a memory after the machine stopped: of what was
// not synced, a part (0 to 1).
func (m *memory) rebooted(part float64) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := newMemory()
	for name, f := range m.files {
		kept := f.synced + int(part*float64(len(f.content)-f.synced))
		out.files[name] = &memoryFile{memory: out, content: bytes.Clone(f.content[:kept]), synced: kept}
	}
	return out
}

var errStopped = errors.New("the machine stops")

// TestCrashAtEveryOperation stops the machine at each operation on the disk in
// turn, with all, half and nothing of what was not synced left, and then again
// while the next start mends that.
func TestCrashAtEveryOperation(t *testing.T) {
	c := Config{Log: quiet, fileSize: 2500, files: 2}
	for left := 0; ; left++ {
		a := newMemory()
		a.fault, a.left = errStopped, left
		begun, ended := work(a, c)
		if len(begun) == 15 { // it ended before
			if left < 30 {
				t.Fatalf("only %d operations", left)
			}
			return
		}
		for _, part := range []float64{0, 0.3, 0.5, 0.9, 1} {
			for again := range 6 {
				b := a.rebooted(part)
				b.fault, b.left = errStopped, again
				if l, err := start(b, "memory", c, nil); err == nil {
					b.mu.Lock()
					b.fault = nil
					b.mu.Unlock()
					l.Close()
				}
				name := fmt.Sprintf("stopped at operation %d, %g left, again at %d", left, part, again)
				afterCrash(t, name, b.rebooted(part), c, begun, ended)
			}
		}
	}
}

// work makes calls until the disk fails, and returns those that were begun, and
// of these those that were followed by another one after their end.
func work(a *memory, c Config) (begun, ended []uint64) {
	l, err := start(a, "memory", c, nil)
	if err != nil {
		return nil, nil
	}
	defer l.Close()
	var before []uint64
	for i := range 15 {
		n, err := l.Begin(context.Background(), call(fmt.Sprint(i)))
		if err != nil {
			return begun, ended
		}
		begun, ended = append(begun, n), before
		if i%4 != 3 {
			l.End(n, v1.AuditOutcome{Status: 200})
			before = append(before, n)
		}
	}
	return begun, ended
}

func afterCrash(t *testing.T, name string, a *memory, c Config, begun, ended []uint64) {
	t.Helper()
	before, err := report("memory", a, unlimited, nil)
	if err != nil || before.Damage != nil && !strings.Contains(before.Damage.What, "not whole") && !strings.Contains(before.Damage.What, "there is no record") {
		t.Fatalf("%s: as it was left: %+v %v", name, before.Damage, err)
	}
	l, err := start(a, "memory", c, nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer l.Close()
	onRecord(t, name, l, begun, ended)
}

// onRecord: calls that were begun, as far as they are kept, are done or
// interrupted, and those that were ended are done.
func onRecord(t *testing.T, name string, l *Log, begun, ended []uint64) {
	t.Helper()
	v := intact(t, l)
	states := map[uint64]string{}
	for _, r := range records(t, l, Query{}) {
		states[r.Number] = r.State
	}
	for _, n := range begun {
		if s := states[n]; n >= v.Chains[0].First && s != v1.AuditDone && s != v1.AuditInterrupted {
			t.Errorf("%s: call %d was begun, and is %q", name, n, s)
		}
	}
	for _, n := range ended {
		if s := states[n]; n >= v.Chains[0].First && s != v1.AuditDone {
			t.Errorf("%s: call %d was ended, and is %q", name, n, s)
		}
	}
}

const childVariable = "SLUICE_AUDIT_CHILD"

// TestMain is also the process that is killed below: it writes to a chain and
// prints which calls it has begun.
func TestMain(m *testing.M) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	l, err := Open(Config{Dir: dir, Log: quiet, fileSize: 2500, files: 3})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := range 12 {
		n, err := l.Begin(context.Background(), call(fmt.Sprint(i)))
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(n)
		if i%3 > 0 {
			l.End(n, v1.AuditOutcome{Status: 200})
		}
	}
	fmt.Println("end")
}

// TestKilledAtEverySystemCall kills a writing process at each of its writes,
// fsyncs, truncations and removals in turn, on a real file system.
func TestKilledAtEverySystemCall(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: `apt-get install strace`")
	}
	if testing.Short() {
		t.Skip("slow")
	}
	for _, syscall := range []string{"fsync", "write", "unlinkat", "openat"} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			c := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace="+syscall, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", syscall, n), os.Args[0])
			c.Env = append(os.Environ(), childVariable+"="+filepath.Join(dir, "audit"), "GOMAXPROCS=1")
			out, _ := c.Output() // it is killed
			var begun []uint64
			for line := range strings.Lines(string(out)) {
				if number, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64); err == nil {
					begun = append(begun, number)
				}
			}
			afterKill(t, fmt.Sprintf("%s %d", syscall, n), filepath.Join(dir, "audit"), begun)
			if strings.Contains(string(out), "end") {
				if n < 8 && syscall != "unlinkat" {
					t.Errorf("only %d calls of %s: nothing was killed", n, syscall)
				}
				break
			}
			if t.Failed() {
				return
			}
		}
	}
}

func afterKill(t *testing.T, name, dir string, begun []uint64) {
	t.Helper()
	l, err := Open(Config{Dir: dir, Log: quiet, fileSize: 2500, files: 3})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer l.Close()
	onRecord(t, name, l, begun, nil)
}
