package dns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// stranger is an upstream that answers as a test tells it to: any number of
// datagrams, right or wrong, now or later; the same over TCP, or refuses TCP.
type stranger struct {
	t    testing.TB
	udp  *net.UDPConn
	tcp  net.Listener
	wg   sync.WaitGroup
	seen atomic.Int64
	mu   sync.Mutex
	// ports, ids and cases are what queries came with.
	ports map[int]int
	ids   map[uint16]int
	names map[string]int
	// overUDP and overTCP give the messages sent back; nil: silence.
	overUDP func(q *dns.Msg, send func([]byte))
	overTCP func(q *dns.Msg, send func([]byte))
}

func newStranger(t testing.TB) *stranger {
	t.Helper()
	s := &stranger{t: t, ports: map[int]int{}, ids: map[uint16]int{}, names: map[string]int{}}
	var err error
	for range 20 { // the same port for both
		if s.udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		if s.tcp, err = net.Listen("tcp4", s.udp.LocalAddr().String()); err == nil {
			break
		}
		s.udp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	t.Cleanup(s.stop)
	return s
}

func (s *stranger) stop() {
	s.udp.Close()
	s.tcp.Close()
	s.wg.Wait()
}

func (s *stranger) addr() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// answers makes both transports give fixed records.
func (s *stranger) answers(rrs ...string) {
	s.set(func(q *dns.Msg, send func([]byte)) { send(pack(s.t, truth(s.t, q, rrs...))) })
}

func (s *stranger) set(f func(q *dns.Msg, send func([]byte))) {
	s.mu.Lock()
	s.overUDP, s.overTCP = f, f
	s.mu.Unlock()
}

func (s *stranger) setTCP(f func(q *dns.Msg, send func([]byte))) {
	s.mu.Lock()
	s.overTCP = f
	s.mu.Unlock()
}

func (s *stranger) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if err := q.Unpack(buf[:n]); err != nil {
			s.t.Errorf("upstream got a bad query: %v", err)
			continue
		}
		s.seen.Add(1)
		s.mu.Lock()
		s.ports[int(from.Port())]++
		s.ids[q.Id]++
		s.names[q.Question[0].Name]++
		f := s.overUDP
		s.mu.Unlock()
		if f != nil {
			s.wg.Go(func() { f(q, func(b []byte) { s.udp.WriteToUDPAddrPort(b, from) }) })
		}
	}
}

func (s *stranger) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			buf := make([]byte, be16(size[:]))
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(buf); err != nil {
				s.t.Errorf("upstream got a bad query over TCP: %v", err)
				return
			}
			s.mu.Lock()
			f := s.overTCP
			s.mu.Unlock()
			if f != nil {
				f(q, func(b []byte) { c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)) })
			}
		})
	}
}

// truth is a right answer with the records given; one that begins with "@" goes
// to the authority section, "+" to the additional one.
func truth(t testing.TB, q *dns.Msg, rrs ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Compress = true
	for _, s := range rrs {
		section, text := &m.Answer, s
		switch s[0] {
		case '@':
			section, text = &m.Ns, s[1:]
		case '+':
			section, text = &m.Extra, s[1:]
		}
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Errorf("record %q: %v", s, err)
			return m
		}
		*section = append(*section, rr)
	}
	return m
}

func pack(t testing.TB, m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		t.Errorf("pack: %v", err)
	}
	return b
}

// withUpstream gives a bench that asks the strangers in order.
func withUpstream(t testing.TB, up ...*stranger) *bench {
	t.Helper()
	return newBench(t, func(c *agentv1.Content, _ *Config) {
		for _, s := range up {
			c.DNS[0].Upstreams = append(c.DNS[0].Upstreams, s.addr())
		}
	})
}

// cached is how many answers, failures apart, are kept.
func (b *bench) cached() (n int) {
	c := b.net.table.Load().resolver.cache
	for i := range c.shards {
		c.shards[i].mu.RLock()
		for _, e := range c.shards[i].entries {
			if !e.failure {
				n++
			}
		}
		c.shards[i].mu.RUnlock()
	}
	return n
}
