package gate

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair gives a gate before one end of a datagram socket, and both ends.
func pair(t *testing.T) (g *Gate, in, out int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	g, err = New(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(); _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	return g, fds[0], fds[1]
}

// take reads what is there and says how many bytes it was, one a packet.
func take(fd int) (n int) {
	for queued(fd) {
		var b [8]byte
		got, _ := unix.Read(fd, b[:])
		n += got
	}
	return n
}

func queued(fd int) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p[:], 0)
	return err == nil && n > 0
}

// TestNothingIsOverlooked: whatever comes before, during or after a pause ends
// the next wait, however the two sides fall together.
func TestNothingIsOverlooked(t *testing.T) {
	g, in, out := pair(t)
	const packets = 400
	go func() {
		for i := range packets {
			if i%7 == 0 {
				time.Sleep(time.Duration(i%5) * 300 * time.Microsecond)
			}
			_, _ = unix.Write(out, []byte{1})
		}
	}()
	dead := time.AfterFunc(20*time.Second, func() { _ = g.Close() })
	defer dead.Stop()
	for got, turn := 0, 0; got < packets; turn++ {
		if turn%3 == 0 {
			if err := g.Pause(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Wait(func() bool { return queued(in) }); err != nil {
			t.Fatalf("%d of %d came: %v", got, packets, err)
		}
		got += take(in)
	}
}

func TestCloseEndsAWait(t *testing.T) {
	g, _, _ := pair(t)
	go func() { time.Sleep(5 * time.Millisecond); _ = g.Close() }()
	if err := g.Wait(func() bool { return false }); err == nil {
		t.Error("a closed gate opens")
	}
	if err := g.Pause(time.Millisecond); err == nil {
		t.Error("a closed gate pauses")
	}
}

func TestDoesNotAllocate(t *testing.T) {
	g, in, out := pair(t)
	ready := func() bool { return queued(in) }
	n := testing.AllocsPerRun(50, func() {
		_, _ = unix.Write(out, []byte{1})
		if g.Pause(0) != nil || g.Wait(ready) != nil || take(in) != 1 {
			t.Fatal("nothing came")
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a wait", n)
	}
}
