package ring

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const frames = 8

// loopback gives a ring of 8 frames on the loopback link of a namespace that is
// nobody else's, its socket, and a socket to send with.
func loopback(t *testing.T) (r *Ring, socket int, send func([]byte)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Unshare(unix.CLONE_NEWNET))
	must(exec.Command("ip", "link", "set", "lo", "up").Run())
	lo, err := net.InterfaceByName("lo")
	must(err)
	socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(err)
	t.Cleanup(func() { _ = unix.Close(socket) })
	r, err = New(socket, frames)
	must(err)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	const experimental = 0xb588 // ethertype 0x88b5 in network order
	must(unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: experimental, Ifindex: lo.Index}))
	out, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(err)
	t.Cleanup(func() { _ = unix.Close(out) })
	to := &unix.SockaddrLinklayer{Protocol: experimental, Ifindex: lo.Index}
	return r, socket, func(f []byte) { t.Helper(); must(unix.Sendto(out, f, 0, to)) }
}

// frame number i, of its own length and content.
func frame(i int) []byte {
	f := append(make([]byte, 12), 0x88, 0xb5)
	return append(f, bytes.Repeat([]byte{byte(i)}, 50+i*37%1450)...)
}

// TestRoundAndRound: frames come whole and in order, several times around.
func TestRoundAndRound(t *testing.T) {
	r, _, send := loopback(t)
	for i := range 5*frames + 3 {
		if r.Ready() {
			t.Fatalf("before frame %d something is there", i)
		}
		send(frame(i))
		f, ok := r.Next()
		again, _ := r.Next()
		if !ok || !r.Ready() || !bytes.Equal(f.Data, frame(i)) || &again.Data[0] != &f.Data[0] {
			t.Fatalf("frame %d: %v %x", i, ok, f.Data)
		}
		r.Release()
	}
}

// TestFull: a full ring keeps what it has; what comes then is lost, and counted
// by the kernel.
func TestFull(t *testing.T) {
	r, socket, send := loopback(t)
	for i := range frames + 4 {
		send(frame(i))
	}
	stats, err := unix.GetsockoptTpacketStats(socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil || stats.Drops != 4 {
		t.Errorf("%d drops counted, %v", stats.Drops, err)
	}
	for i := range frames {
		f, ok := r.Next()
		if !ok || !bytes.Equal(f.Data, frame(i)) {
			t.Fatalf("frame %d is gone or another one", i)
		}
		r.Release()
	}
	if _, ok := r.Next(); ok {
		t.Error("more than the ring holds")
	}
	send(frame(99))
	if f, ok := r.Next(); !ok || !bytes.Equal(f.Data, frame(99)) {
		t.Error("emptied, it takes nothing more")
	}
}
