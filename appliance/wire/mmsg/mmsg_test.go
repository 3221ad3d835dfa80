package mmsg

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const size = 4

// pair gives the two ends of a datagram socket.
func pair(t *testing.T) (send, receive *Batch) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var raw [2]syscall.RawConn
	for i, fd := range fds {
		end := os.NewFile(uintptr(fd), "end")
		t.Cleanup(func() { _ = end.Close() })
		if raw[i], err = end.SyscallConn(); err != nil {
			t.Fatal(err)
		}
	}
	send, receive = Sending(raw[0], size), Receiving(raw[1], size)
	for i := range size {
		send.Set(i, []byte{byte(i), 1, 2}[:1+i%3])
		receive.Set(i, make([]byte, 2))
	}
	return send, receive
}

func move(t *testing.T, b *Batch, n int, wait bool) int {
	t.Helper()
	got, err := b.Move(n, wait)
	if err != nil {
		t.Fatalf("move: %v", err)
	}
	return got
}

// TestMove: what is sent arrives with its length, and flagged where it was cut.
func TestMove(t *testing.T) {
	send, receive := pair(t)
	if n := move(t, receive, size, false); n != 0 {
		t.Fatalf("%d messages of none", n)
	}
	if n := move(t, send, 3, true); n != 3 {
		t.Fatalf("sent %d of 3", n)
	}
	if n := move(t, receive, size, true); n != 3 {
		t.Fatalf("received %d of 3", n)
	}
	for i, want := range []struct {
		bytes uint32
		cut   bool
	}{{1, false}, {2, false}, {2, true}} {
		h := receive.Headers[i]
		if h.Bytes != want.bytes || h.Flags&unix.MSG_TRUNC != 0 != want.cut || *receive.iovs[i].Base != byte(i) {
			t.Errorf("message %d: %d bytes, flags %x", i, h.Bytes, h.Flags)
		}
	}
}

// TestSendWaits for room: the queue between the ends holds 10 datagrams or so.
func TestSendWaits(t *testing.T) {
	send, receive := pair(t)
	const messages = 100
	result := make(chan error, 1)
	go func() {
		var err error
		for sent := 0; sent < messages && err == nil; {
			var n int
			n, err = send.Move(min(size, messages-sent), true)
			sent += n
		}
		result <- err
	}()
	for got := 0; got < messages; {
		got += move(t, receive, size, true)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// loopback gives a UDP socket.
func loopback(t *testing.T) (*net.UDPConn, syscall.RawConn) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return conn, raw
}

// TestError is the kernel's, and about the first message.
func TestError(t *testing.T) {
	_, raw := loopback(t)
	b := Sending(raw, 1)
	b.Set(0, []byte("to nobody"))
	if n, err := b.Move(1, true); n != 0 || !errors.Is(err, unix.EDESTADDRREQ) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestClose ends a receive that waits, and one that comes later.
func TestClose(t *testing.T) {
	conn, raw := loopback(t)
	receive := Receiving(raw, 1)
	receive.Set(0, make([]byte, 1))
	result := make(chan error, 1)
	go func() {
		_, err := receive.Move(1, true)
		result <- err
	}()
	time.Sleep(10 * time.Millisecond)
	_ = conn.Close()
	select {
	case err := <-result:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a receive that waited: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still waiting")
	}
	if _, err := receive.Move(1, true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a receive later: %v", err)
	}
}

// TestTold: a receiver that finds a message each time ends up telling the
// scheduler, and one that waits is raw again. A sender never tells.
func TestTold(t *testing.T) {
	send, receive := pair(t)
	for range 2 * callsUntold {
		move(t, send, 1, true)
		move(t, receive, 1, true)
	}
	if receive.calls <= callsUntold || send.calls != 0 {
		t.Errorf("calls without a wait: %d received, %d sent", receive.calls, send.calls)
	}
	time.AfterFunc(10*time.Millisecond, func() { _, _ = send.Move(1, true) })
	move(t, receive, 1, true)
	if receive.calls > 1 {
		t.Errorf("%d calls after a wait", receive.calls)
	}
}

func TestNoAllocations(t *testing.T) {
	send, receive := pair(t)
	if n := testing.AllocsPerRun(100, func() {
		move(t, send, size, true)
		move(t, receive, size, true)
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
