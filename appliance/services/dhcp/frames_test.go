package dhcp

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pair gives the two ends of a datagram socket, one of them to send to: these
// calls do not care which family it is.
func pair(t *testing.T) (send *outgoing, receiver int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end := os.NewFile(uintptr(fds[0]), "end")
	t.Cleanup(func() { _ = end.Close(); _ = unix.Close(fds[1]) })
	raw, err := end.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return newOutgoing(raw), fds[1]
}

func slots(n int) []*slot {
	out := make([]*slot, n)
	for i := range out {
		out[i] = &slot{n: 300 + i}
		for j := range out[i].frame() {
			out[i].buf[j] = byte(i * j)
		}
	}
	return out
}

// TestFrames: frames arrive whole, in order and with their lengths. What the
// link does not take (this one is no endless queue) is not waited for, and
// told.
func TestFrames(t *testing.T) {
	send, receiver := pair(t)
	sent := slots(9*batch + 5)
	n, err := send.send(sent, false)
	if err != nil || n == 0 || n == len(sent) {
		t.Fatalf("%d of %d sent into a short queue: %v", n, len(sent), err)
	}
	buf := make([]byte, maxFrame)
	for i := range n {
		got, err := unix.Read(receiver, buf)
		if err != nil || !bytes.Equal(buf[:got], sent[i].frame()) {
			t.Fatalf("frame %d is another one: %v", i, err)
		}
	}
	if again, err := send.send(sent[n:n+1], true); again != 1 || err != nil {
		t.Errorf("with room again: %d, %v", again, err)
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	send, receiver := pair(t)
	out, buf := slots(4), make([]byte, maxFrame)
	n := testing.AllocsPerRun(100, func() {
		if n, err := send.send(out, false); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		for range out {
			if _, err := unix.Read(receiver, buf); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
