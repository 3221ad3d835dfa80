package agent_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
)

// everywhere: kill at each point, not at a few of them. `make fault` sets it.
var everywhere = os.Getenv("SLUICE_FAULT") == "all"

// effects are the system calls by which an agent changes anything: netlink,
// its own files, and the programs that it runs.
const effects = "sendto,sendmsg,renameat,renameat2,fsync,execve"

// TestKilledAtEachEffect: an agent that is killed at any of its effects, while
// it boots, is enrolled or applies, goes on when it is started again: it is
// enrolled, takes the same spec, and the kernel is as an untroubled agent has it.
func TestKilledAtEachEffect(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	want, killed := killedAt(t, 0, "")
	if killed {
		t.Fatal("the agent was killed without being told to be")
	}
	points := 0
	for n := 2; ; n += stride(n) { // the first is the exec of the agent itself
		if _, killed := killedAt(t, n, want); !killed {
			break
		}
		points++
	}
	if t.Logf("killed at %d points", points); points < 3 {
		t.Errorf("killed at %d points only", points)
	}
}

// stride is how far the next point is.
func stride(n int) int {
	if everywhere {
		return 1
	}
	return max(1, n/2)
}

// killedAt is the kernel's state in the end, and false where the agent lived
// through all of it; n is counted on each thread, 0: nothing is done to it.
func killedAt(t *testing.T, n int, want string) (kernel string, killed bool) {
	t.Run(fmt.Sprintf("effect %d", n), func(t *testing.T) {
		a := authority(t)
		w := newWorld(t)
		w.writeDrive(a)
		link := agentlink.NewOver(a, w.dial)
		t.Cleanup(link.Close)
		spec := agentlinktest.Spec(w.boot.RouterUUID, 7, 1, w.content(40))
		bring := func(ctx context.Context) error {
			at := w.machine().Target
			if err := link.WaitReachable(ctx, at); err != nil {
				return err
			}
			if err := link.Enrol(ctx, at); err != nil {
				return err
			}
			status, err := link.PushSpec(ctx, at, spec)
			if err == nil && status.AppliedHash != spec.Hash {
				err = fmt.Errorf("not reached: %+v", status.Services)
			}
			return err
		}

		ctx, cancel := context.WithCancel(deadline(t))
		defer cancel()
		w.startTraced(n)
		go func() {
			select {
			case <-w.agent.dead:
				cancel() // nobody answers any more
			case <-ctx.Done():
			}
		}()
		if err := bring(ctx); err != nil {
			select {
			case <-w.agent.dead: // the connection's end was seen before its own
				killed = true
			case <-time.After(5 * time.Second):
				t.Fatal(err)
			}
		}
		w.agent.kill()
		w.start()
		if err := bring(deadline(t)); err != nil {
			t.Fatal(err)
		}
		if kernel = w.kernel(); want != "" && kernel != want {
			t.Errorf("kernel differs; only now:\n%s\nmissing:\n%s", lack(want, kernel), lack(kernel, want))
		}
		w.guestIsServed()
	})
	return kernel, killed
}

// startTraced has strace kill the agent at its n-th effect.
func (w *world) startTraced(n int) {
	w.t.Helper()
	args := []string{"strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + effects, "-e", "signal=none"}
	if n > 0 {
		args = append(args, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", effects, n))
	}
	w.agent = startIn(w.t, w.router, append(args, binary, "run", "--config", w.drive, "--state", w.state)...)
}

var changing = regexp.MustCompile(`(?m)^Error: Peer netns reference is invalid\.\n|counter packets \d+ bytes \d+|# handle \d+|expires \S+|link-netns\S* \S+|if\d+|\d+: |valid_lft \S+ preferred_lft \S+|qlen \d+`)

// kernel is the router's rules, addresses and routes, without what differs from
// one namespace to the next, and without ip's complaint that another namespace
// went while it looked.
func (w *world) kernel() string {
	w.t.Helper()
	var all strings.Builder
	for _, line := range []string{"iptables-save", "nft list table ip sluice", "ip -4 addr show", "ip route show table all", "sysctl net.ipv4.ip_forward"} {
		all.WriteString(changing.ReplaceAllString(counterless(in(w.t, w.router, line)), ""))
	}
	return all.String()
}

// lack is the lines of all that have does not have.
func lack(have, all string) string {
	var out strings.Builder
	for line := range strings.Lines(all) {
		if !strings.Contains(have, line) {
			out.WriteString(line)
		}
	}
	return out.String()
}
