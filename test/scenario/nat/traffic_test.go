package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

// sink counts packets to a port of a guest, with the kernel's time of the last
// one: what had come before a moment and is read after it does not
// count as later.
type sink struct {
	last  atomic.Int64 // ns since 1970
	count atomic.Int64
}

// newSink takes what comes to the guest's port, UDP and TCP, and counts where it
// leaves the router: what waits in a bridge has left.
func newSink(w *world, ns *kerneltest.Namespace, ip string, port uint16) *sink {
	t := w.t
	t.Helper()
	var fd int
	var err error
	w.router.Do(func() {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))); err != nil {
			return
		}
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	})
	if err != nil {
		t.Fatal(err)
	}
	discard(t, ns, port)
	s, quit, ended := &sink{}, make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(quit); <-ended; _ = unix.Close(fd) })
	go func() {
		defer close(ended)
		for b, oob := make([]byte, 64), make([]byte, 128); ; {
			select {
			case <-quit:
				return
			default:
			}
			n, m, _, _, err := unix.Recvmsg(fd, b, oob, 0)
			if err == nil && counts(b[:n], addr(ip), port) {
				s.add(oob[:m])
			}
		}
	}()
	return s
}

// counts is whether a packet is of what comes to a port. Resets alone are not:
// they answer what the guest itself still sends, by source NAT.
func counts(b []byte, to netip.Addr, port uint16) bool {
	const reset = 4
	return len(b) >= 28 && netip.AddrFrom4([4]byte(b[16:20])) == to && binary.BigEndian.Uint16(b[22:]) == port &&
		(b[9] == unix.IPPROTO_UDP || b[9] == unix.IPPROTO_TCP && len(b) > 33 && b[33] != reset)
}

func (s *sink) add(oob []byte) {
	messages, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		if m.Header.Type == unix.SCM_TIMESTAMPNS {
			s.last.Store(int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	s.count.Add(1)
}

// discard takes what comes to a port.
func discard(t *testing.T, ns *kerneltest.Namespace, port uint16) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	var err, err2 error
	ns.Do(func() {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		p, err2 = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
}

// pour sends datagrams from a namespace until the test ends or stop is called:
// each on a flow of its own, and one more on a flow that is always the same.
func pour(t *testing.T, ns *kerneltest.Namespace, from, to string) (stop func()) {
	t.Helper()
	steady, err := dial(ns, "udp", from, to, soon)
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer steady.Close()
		ns.Do(func() {
			for !done.Load() {
				_, _ = steady.Write([]byte("x"))
				if c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(addrPort(to))); err == nil {
					_, _ = c.Write([]byte("y"))
					c.Close()
				}
				time.Sleep(100 * time.Microsecond) // leave the sweeps a chance
			}
		})
	}()
	stop = func() {
		if !done.Swap(true) {
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// pourTCP does the same with connections: some that go on as long as they are
// let, beginning again when they are not, and one after the other.
func pourTCP(t *testing.T, ns *kerneltest.Namespace, from, to string) (stop func()) {
	t.Helper()
	var done atomic.Bool
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for !done.Load() {
				k, err := dial(ns, "tcp", from, to, 100*time.Millisecond)
				if err != nil {
					continue
				}
				for n := 0; !done.Load() && (i > 0 || n < 3); n++ {
					_ = k.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
					if _, err := k.Write(make([]byte, 4000)); err != nil {
						break
					}
					time.Sleep(200 * time.Microsecond)
				}
				_ = k.Conn.(*net.TCPConn).SetLinger(0)
				k.Close()
			}
		})
	}
	stop = func() {
		done.Store(true)
		all.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// stream asks over one flow without pause, and counts what stayed unanswered.
type stream struct {
	lost, answered atomic.Int64
	stop           func()
}

func newStream(w *world, k *talk) *stream {
	s := &stream{}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if _, _, err := k.say("still", soon); err != nil {
				s.lost.Add(1)
				return
			}
			s.answered.Add(1)
		}
	}()
	s.stop = func() { close(quit); <-ended }
	return s
}

// TestNothingReachesTheOldGuest: with datagrams and connections pouring in,
// from the moment on that an apply has returned the guest that lost a mapping
// gets no packet by it, and meanwhile the flows of others lose nothing.
func TestNothingReachesTheOldGuest(t *testing.T) {
	for protocol, pouring := range map[string]func(*testing.T, *kerneltest.Namespace, string, string) func(){"udp": pour, "tcp": pourTCP} {
		t.Run(protocol, func(t *testing.T) { nothingReachesTheOldGuest(t, protocol, pouring) })
	}
}

func nothingReachesTheOldGuest(t *testing.T, protocol string, pouring func(t *testing.T, ns *kerneltest.Namespace, from, to string) func()) {
	w := newWorld(t)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.b, "b", ":7")
	c := content()
	c.PortForwardings = []agentv1.PortForwarding{forward(routerIP, "tcp", 80, 80, bIP, 7), forward(routerIP, "udp", 80, 80, bIP, 7)}
	w.apply(c)
	others := map[string]*stream{
		"udp out": newStream(w, w.open(w.b, "udp", "", farIP+":7")), "tcp out": newStream(w, w.open(w.b, "tcp", "", farIP+":7")),
		"udp in": newStream(w, w.open(w.internet, "udp", farIP, routerIP+":80")), "tcp in": newStream(w, w.open(w.internet, "tcp", farIP, routerIP+":80")),
	}
	mapping := map[string]func(c agentv1.Content, guest string) agentv1.Content{
		"eip": func(c agentv1.Content, guest string) agentv1.Content {
			c.EIPs = []agentv1.EIP{eipOf(vipA, guest, 1)}
			return c
		},
		"port forwarding": func(c agentv1.Content, guest string) agentv1.Content {
			c.PortForwardings = append(c.PortForwardings[:2:2], forward(vipP, protocol, 9, 9, guest, 9))
			return c
		},
	}
	at := map[string]string{"eip": vipA + ":9", "port forwarding": vipP + ":9"}
	sinks := map[string]*sink{aIP: newSink(w, w.a, aIP, 9), bIP: newSink(w, w.b, bIP, 9)}
	for name, with := range mapping {
		w.applyOnce(with(c, aIP))
		stop := pouring(t, w.internet, farIP, at[name])
		for i := range 6 {
			old, now := aIP, bIP
			if i%2 == 1 {
				old, now = bIP, aIP
			}
			to := with(c, now)
			if i%3 == 2 { // removed, not moved
				to = c
			}
			sinks[old].awaitMore(t, old)
			w.applyOnce(to)
			returned := time.Now()
			time.Sleep(20 * time.Millisecond)
			if late := sinks[old].last.Load() - returned.UnixNano(); late > 0 {
				t.Fatalf("%s, round %d: %s still got a packet %s after the apply had returned", name, i, old, time.Duration(late))
			}
			w.applyOnce(with(c, now))
		}
		stop()
	}
	for name, s := range others {
		s.stop()
		if s.lost.Load() > 0 || s.answered.Load() < 30 { // an emulated machine sends few
			t.Errorf("%s: %d of %d were lost", name, s.lost.Load(), s.answered.Load()+s.lost.Load())
		}
	}
}

// awaitMore waits until packets come.
func (s *sink) awaitMore(t *testing.T, guest string) {
	t.Helper()
	before := s.count.Load()
	for end := time.Now().Add(soon); s.count.Load() < before+20; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing arrives at %s", guest)
		}
	}
}
