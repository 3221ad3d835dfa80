package dhcp

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair gives the two ends of a datagram socket: these calls do not care which
// family it is.
func pair(t *testing.T) (send *outgoing, receive *incoming, ends [2]*os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var raw [2]syscall.RawConn
	for i, fd := range fds {
		ends[i] = os.NewFile(uintptr(fd), "end")
		t.Cleanup(func() { _ = ends[i].Close() })
		if raw[i], err = ends[i].SyscallConn(); err != nil {
			t.Fatal(err)
		}
	}
	return newOutgoing(raw[0]), newIncoming(raw[1]), ends
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

// TestFrames: more than a batch arrives whole, in order and with its lengths,
// though the queue between (10 datagrams) is shorter.
func TestFrames(t *testing.T) {
	send, receive, _ := pair(t)
	const frames = 3*batch + 5
	sent := slots(frames)
	result := make(chan error, 1)
	go func() {
		n, err := send.send(sent)
		if n != frames {
			t.Errorf("sent %d of %d", n, frames)
		}
		result <- err
	}()
	for got := 0; got < frames; {
		in := slots(batch)
		n, err := receive.receive(in, true)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		for i := range n {
			if !bytes.Equal(in[i].frame(), sent[got+i].frame()) || in[i].partial {
				t.Fatalf("frame %d is another one", got+i)
			}
		}
		got += n
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if n, err := receive.receive(slots(4), false); n != 0 || err != nil {
		t.Errorf("without waiting: %d, %v", n, err)
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	send, receive, _ := pair(t)
	out, in := slots(4), slots(batch)
	n := testing.AllocsPerRun(100, func() {
		if n, err := send.send(out); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := receive.receive(in, true); n != 4 || err != nil {
			t.Fatal(n, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// TestFramesClose ends a receive that waits.
func TestFramesClose(t *testing.T) {
	_, receive, ends := pair(t)
	result := make(chan error, 1)
	go func() {
		_, err := receive.receive(slots(1), true)
		result <- err
	}()
	time.Sleep(10 * time.Millisecond)
	_ = ends[1].Close()
	select {
	case err := <-result:
		if err == nil {
			t.Error("no error from a closed socket")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still waiting")
	}
}
