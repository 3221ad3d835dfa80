package questions

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// got is one arrival.
type got struct {
	of     int
	answer string
	err    error
}

// answerer is somebody to ask.
func answerer(t *testing.T, network, at string, answer func(c *net.UDPConn, msg []byte, from netip.AddrPort)) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		for buf := make([]byte, 100); ; {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			answer(c, buf[:n], from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// handler notes what it is told.
type handler struct {
	arrivals chan got
	done     func(got) bool
	late     chan *os.File
}

func (h handler) Arrived(of int, answer []byte, err error) bool {
	g := got{of, string(answer), err}
	h.arrivals <- g
	return h.done(g)
}

func (h handler) Late(_ int, socket *os.File) { h.late <- socket }

func open(t *testing.T, patience time.Duration, done func(got) bool) (*Sockets[int], handler) {
	t.Helper()
	h := handler{make(chan got, 1000), done, make(chan *os.File, 1000)}
	s, err := Open(patience, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, h
}

func next(t *testing.T, from chan got) got {
	t.Helper()
	select {
	case g := <-from:
		return g
	case <-time.After(5 * time.Second):
		t.Fatal("nothing arrives")
	}
	return got{}
}

// TestAsk: many questions at a time, over both families; each gets the answer to
// its own, and its socket is closed with it.
func TestAsk(t *testing.T) {
	for network, at := range map[string]string{"udp4": "127.0.0.1:0", "udp6": "[::1]:0"} {
		to := answerer(t, network, at, func(c *net.UDPConn, msg []byte, from netip.AddrPort) {
			_, _ = c.WriteToUDPAddrPort(append([]byte("re: "), msg...), from)
		})
		s, h := open(t, time.Minute, func(got) bool { return true })
		const n = 100
		for i := range n {
			if err := s.Ask(to, []byte{byte(i)}, nil, i); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[int]bool{}
		for range n {
			g := next(t, h.arrivals)
			if g.err != nil || g.answer != "re: "+string([]byte{byte(g.of)}) || seen[g.of] {
				t.Errorf("%s: %+v", network, g)
			}
			seen[g.of] = true
		}
		s.Close()
		if len(s.open) != 0 {
			t.Errorf("%d sockets are left", len(s.open))
		}
	}
}

// TestAskAgain: a question goes on until the caller has what it wants.
func TestAskAgain(t *testing.T) {
	to := answerer(t, "udp4", "127.0.0.1:0", func(c *net.UDPConn, _ []byte, from netip.AddrPort) {
		for _, m := range []string{"no", "", "no", "yes", "too late"} {
			_, _ = c.WriteToUDPAddrPort([]byte(m), from)
		}
	})
	s, h := open(t, time.Minute, func(g got) bool { return g.answer == "yes" })
	if err := s.Ask(to, []byte("?"), nil, 7); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no", "", "no", "yes"} {
		if g := next(t, h.arrivals); g != (got{7, want, nil}) {
			t.Errorf("%+v, want %q", g, want)
		}
	}
	select {
	case g := <-h.arrivals:
		t.Errorf("after the end: %+v", g)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestPorts: the first free one is taken, and the kernel's choice if none is.
func TestPorts(t *testing.T) {
	froms := make(chan uint16, 10)
	to := answerer(t, "udp4", "127.0.0.1:0", func(_ *net.UDPConn, _ []byte, from netip.AddrPort) { froms <- from.Port() })
	busy, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	free, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := free.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	_ = free.Close()
	s, _ := open(t, time.Minute, func(got) bool { return true })
	if err := s.Ask(to, []byte("?"), []uint16{0, taken, want}, 1); err != nil {
		t.Fatal(err)
	}
	if port := <-froms; port != want {
		t.Errorf("asked from port %d, want %d", port, want)
	}
	if err := s.Ask(to, []byte("?"), []uint16{taken}, 2); err != nil {
		t.Fatal(err)
	}
	if port := <-froms; port == taken || port == 0 {
		t.Errorf("asked from port %d, taken is %d", port, taken)
	}
}

// TestRefused: nobody there is an arrival, or an error of Ask.
func TestRefused(t *testing.T) {
	gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := gone.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = gone.Close()
	s, h := open(t, time.Minute, func(got) bool { return true })
	if err := s.Ask(to, []byte("?"), nil, 3); err != nil {
		t.Fatal(err)
	}
	if g := next(t, h.arrivals); g.of != 3 || !errors.Is(g.err, unix.ECONNREFUSED) {
		t.Errorf("%+v", g)
	}
	if err := s.Ask(netip.MustParseAddrPort("255.255.255.255:53"), []byte("?"), nil, 4); !errors.Is(err, unix.EACCES) {
		t.Errorf("asked everybody: %v", err)
	}
}

// TestLate: a question without an answer is handed over after the time that was
// given to it, with what comes later; the others stay.
func TestLate(t *testing.T) {
	var mu sync.Mutex
	var froms []netip.AddrPort
	var from *net.UDPConn
	to := answerer(t, "udp4", "127.0.0.1:0", func(c *net.UDPConn, msg []byte, peer netip.AddrPort) {
		if string(msg) == "now" {
			_, _ = c.WriteToUDPAddrPort(msg, peer)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		from, froms = c, append(froms, peer)
	})
	s, h := open(t, 50*time.Millisecond, func(got) bool { return true })
	for round := range 2 { // the clock runs anew for those after a pause
		for i, what := range []string{"later", "now", "later"} {
			if err := s.Ask(to, []byte(what), nil, 10*round+i); err != nil {
				t.Fatal(err)
			}
		}
		if g := next(t, h.arrivals); g != (got{10*round + 1, "now", nil}) {
			t.Errorf("%+v", g)
		}
		for i := range 2 {
			f := <-h.late
			mu.Lock()
			_, err := from.WriteToUDPAddrPort([]byte{byte('a' + i)}, froms[2*round+i])
			mu.Unlock()
			buf := make([]byte, 10)
			n, readErr := f.Read(buf)
			if err != nil || readErr != nil || string(buf[:n]) != string([]byte{byte('a' + i)}) {
				t.Errorf("%q, %v, %v", buf[:n], err, readErr)
			}
			_ = f.Close()
		}
	}
	if len(s.open) != 0 || s.first != nil || s.last != nil {
		t.Errorf("left: %v", s.open)
	}
}

// TestClose ends questions under way, and those to come.
func TestClose(t *testing.T) {
	to := answerer(t, "udp4", "127.0.0.1:0", func(*net.UDPConn, []byte, netip.AddrPort) {})
	s, h := open(t, 20*time.Millisecond, func(got) bool { return true })
	for i := range 3 {
		if err := s.Ask(to, []byte("?"), nil, i); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if err := s.Ask(to, []byte("?"), nil, 3); !errors.Is(err, os.ErrClosed) {
		t.Errorf("asked after the end: %v", err)
	}
	s.Close() // twice is as good
	told := len(h.late)
	time.Sleep(40 * time.Millisecond)
	if s.first != nil || len(h.late) != told {
		t.Errorf("after the end: %v, told of %d late ones and then %d", s.first, told, len(h.late))
	}
}
