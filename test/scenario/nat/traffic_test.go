package nat

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

// sink counts datagrams, with the kernel's time of the last arrival: what had
// come before a moment and is read after it does not count as later.
type sink struct {
	last  atomic.Int64 // ns since 1970
	count atomic.Int64
}

func newSink(t *testing.T, ns *kerneltest.Namespace, at string) *sink {
	t.Helper()
	var p net.PacketConn
	var err error
	ns.Do(func() { p, err = net.ListenPacket("udp4", at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	c := p.(*net.UDPConn)
	control(c, func(fd int) { err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	go func() {
		b, oob := make([]byte, 64), make([]byte, 128)
		for {
			_, n, _, _, err := c.ReadMsgUDPAddrPort(b, oob)
			if err != nil {
				return
			}
			messages, _ := unix.ParseSocketControlMessage(oob[:n])
			for _, m := range messages {
				if m.Header.Type == unix.SCM_TIMESTAMPNS {
					s.last.Store(int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:])))
				}
			}
			s.count.Add(1)
		}
	}()
	return s
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

// TestNothingReachesTheOldGuest: with datagrams pouring in, from the moment on
// that an apply has returned the guest that lost a mapping gets none by it, and
// meanwhile the flows of others lose nothing.
func TestNothingReachesTheOldGuest(t *testing.T) {
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
			c.PortForwardings = append(c.PortForwardings[:2:2], forward(vipP, "udp", 9, 9, guest, 9))
			return c
		},
	}
	at := map[string]string{"eip": vipA + ":9", "port forwarding": vipP + ":9"}
	sinks := map[string]*sink{aIP: newSink(t, w.a, ":9"), bIP: newSink(t, w.b, ":9")}
	for name, with := range mapping {
		w.applyOnce(with(c, aIP))
		stop := pour(t, w.internet, farIP, at[name])
		for i := range 6 {
			old, now := aIP, bIP
			if i%2 == 1 {
				old, now = bIP, aIP
			}
			to := with(c, now)
			if i%3 == 2 { // removed, not moved
				to = c
			}
			w.applyOnce(to)
			returned := time.Now()
			time.Sleep(20 * time.Millisecond)
			if late := sinks[old].last.Load() - returned.UnixNano(); late > 0 {
				t.Fatalf("%s, round %d: %s still got a datagram %s after the apply had returned", name, i, old, time.Duration(late))
			}
			w.applyOnce(with(c, now))
		}
		stop()
		if sinks[aIP].count.Load() == 0 || sinks[bIP].count.Load() == 0 {
			t.Errorf("%s: nothing arrived at all", name)
		}
	}
	for name, s := range others {
		s.stop()
		if s.lost.Load() > 0 || s.answered.Load() < 100 {
			t.Errorf("%s: %d of %d were lost", name, s.lost.Load(), s.answered.Load()+s.lost.Load())
		}
	}
}
