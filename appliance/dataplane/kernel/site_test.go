package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// site is a router between a guest and the outside, on the kernel that the test
// runs on.
type site struct {
	testing.TB
	router, inside, outside *kerneltest.Namespace
	k                       *Kernel
	plane                   *dataplane.Plane
}

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix

	guest  = addr("10.0.0.10")
	public = addr("203.0.113.2")
	server = netip.MustParseAddrPort("203.0.113.1:9")
)

func newSite(t testing.TB) *site {
	s := &site{TB: t, router: kerneltest.NewNamespace(t, "r"), inside: kerneltest.NewNamespace(t, "i"), outside: kerneltest.NewNamespace(t, "o")}
	s.wire("g0", s.inside, guest.String()+"/24")
	s.wire("p0", s.outside, server.Addr().String()+"/24")
	s.inside.Run(t, "ip route add default via 10.0.0.1")
	var err error
	s.router.Do(func() { s.k, err = Open() })
	s.check(err)
	s.plane = dataplane.New(s.k, nil)
	return s
}

// wire connects a nic of the router to a machine.
func (s *site) wire(nic string, to *kerneltest.Namespace, address string) {
	s.Helper()
	s.router.Run(s, "ip link add "+nic+" type veth peer name eth0 netns "+to.Name)
	to.Run(s, "ip addr add "+address+" dev eth0")
	to.Run(s, "ip link set eth0 up")
}

// want is general SNAT for the guest's network, and no mapping.
func (s *site) want() dataplane.Want {
	return dataplane.Want{
		Nics: []dataplane.Nic{
			{Link: "g0", Guest: true, MTU: 1500, Subnets: []netip.Prefix{prefix("10.0.0.0/24")}},
			{Link: "p0", Public: true, MTU: 1500, Gateway: server.Addr()},
		},
		Addresses: []dataplane.Address{{Link: "g0", Prefix: prefix("10.0.0.1/24")}, {Link: "p0", Prefix: netip.PrefixFrom(public, 24)}},
		SNAT:      []dataplane.SNAT{{Source: prefix("10.0.0.0/24"), Link: "p0", Address: public}},
	}
}

func (s *site) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) apply(w dataplane.Want) {
	s.Helper()
	w, err := dataplane.Merge(map[string]dataplane.Want{"all": w})
	s.check(err)
	s.router.Do(func() { _, err = s.plane.Apply(s.Context(), w) })
	s.check(err)
}

// bind opens a socket in a namespace.
func (s *site) bind(ns *kerneltest.Namespace, at netip.AddrPort) *net.UDPConn {
	s.Helper()
	var c *net.UDPConn
	var err error
	ns.Do(func() { c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at)) })
	s.check(err)
	s.Cleanup(func() { c.Close() })
	return c
}

// echo answers, and notes the highest number that came from each sender.
type echo struct {
	mu      sync.Mutex
	highest map[netip.AddrPort]uint64
	last    netip.AddrPort // sender
}

func (s *site) echo(ns *kerneltest.Namespace, at netip.AddrPort) *echo {
	c, e := s.bind(ns, at), &echo{highest: map[netip.AddrPort]uint64{}}
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if n == 8 {
				e.note(from, binary.BigEndian.Uint64(buf))
			}
			_, _ = c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return e
}

func (e *echo) note(from netip.AddrPort, number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.highest[from], e.last = max(e.highest[from], number), from
}

// came is the highest number that came from a sender.
func (e *echo) came(from netip.AddrPort) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.highest[from]
}

func (e *echo) sender() netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// stream is a guest's, of numbers that are echoed.
type stream struct {
	*site
	c    *net.UDPConn
	to   netip.AddrPort
	sent atomic.Uint64
}

func (s *site) stream(from netip.Addr, port uint16) *stream {
	return &stream{site: s, c: s.bind(s.inside, netip.AddrPortFrom(from, port)), to: server}
}

func (x *stream) send() {
	_, _ = x.c.WriteToUDPAddrPort(binary.BigEndian.AppendUint64(nil, x.sent.Add(1)), x.to)
}

// ask is whether the next number comes back.
func (x *stream) ask() bool {
	x.Helper()
	x.send()
	for buf := make([]byte, 16); ; {
		x.check(x.c.SetReadDeadline(time.Now().Add(2 * time.Second)))
		n, _, err := x.c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return false
		}
		if n == 8 && binary.BigEndian.Uint64(buf) == x.sent.Load() {
			return true
		}
	}
}

// offloaded talks until the kernel has the stream in its flowtable.
func (x *stream) offloaded() *stream {
	x.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(x.entry(), "[OFFLOAD]"); time.Sleep(100 * time.Millisecond) {
		if !x.ask() || time.Now().After(end) {
			x.Fatalf("not offloaded: %q", x.entry())
		}
	}
	return x
}

// entry is what the kernel tracks of the stream; "" for nothing.
func (x *stream) entry() (entry string) {
	from := x.c.LocalAddr().(*net.UDPAddr)
	x.router.Do(func() {
		all, _ := os.ReadFile("/proc/thread-self/net/nf_conntrack")
		for line := range strings.Lines(string(all)) {
			if strings.Contains(line, fmt.Sprintf("src=%s dst=%s sport=%d dport=%d ", from.IP, x.to.Addr(), from.Port, x.to.Port())) {
				entry = line
			}
		}
	})
	return entry
}

// run sends a thousand numbers a second, until it is stopped.
func (x *stream) run() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-ended:
				return
			case <-tick.C:
				x.send()
			}
		}
	}()
	return func() { close(ended); <-done }
}

// converse asks so many times, and is answered each time.
func (x *stream) converse(n int) {
	x.Helper()
	for range n {
		if !x.ask() {
			x.Fatalf("no answer to number %d: %s", x.sent.Load(), x.entry())
		}
	}
}
