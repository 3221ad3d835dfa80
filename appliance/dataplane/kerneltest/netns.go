package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of a test, gone with it.
type Namespace struct {
	// Name is as `ip netns` lists it.
	Name string
	file *os.File
}

var namespaces atomic.Int64

// NewNamespace makes a namespace called sl-nat-<pid>-<n>-<suffix>, with
// loopback up. It skips the test where it is not allowed to.
func NewNamespace(t testing.TB, suffix string) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	n := &Namespace{Name: fmt.Sprintf("sl-nat-%d-%d-%s", os.Getpid(), namespaces.Add(1), suffix)}
	run(t, "ip", "netns", "add", n.Name)
	t.Cleanup(func() {
		n.file.Close()
		run(t, "ip", "netns", "del", n.Name)
	})
	var err error
	if n.file, err = os.Open("/run/netns/" + n.Name); err != nil {
		t.Fatal(err)
	}
	n.Run(t, "ip link set lo up")
	return n
}

// Do runs f on a thread in the namespace and waits for it. Sockets made there
// stay there. The thread ends with f, so that none returns to the scheduler in
// the wrong namespace.
func (n *Namespace) Do(f func()) {
	done := make(chan any)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		finished := false
		defer func() {
			if finished {
				done <- nil
				return
			}
			done <- "ended early: a test function that fails must be called outside Do"
		}()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("enter %s: %v", n.Name, err))
		}
		f()
		finished = true
	}()
	if bad := <-done; bad != nil {
		panic(bad)
	}
}

// Run runs a command (a line of words) in the namespace and returns its
// output; a failure ends the test.
func (n *Namespace) Run(t testing.TB, line string) string {
	t.Helper()
	return run(t, append([]string{"ip", "netns", "exec", n.Name}, strings.Fields(line)...)...)
}

func run(t testing.TB, words ...string) string {
	t.Helper()
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
	return string(out)
}
