package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loLinks = dataplane.Links{guestMAC: "lo"}

// running is a server with sockets on the loopback interface.
func running(t testing.TB, c agentv1.Content, change func(*limits)) *Server {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: SO_BINDTODEVICE and IP_FREEBIND")
	}
	s := New(quiet)
	s.port = closedPort(t).Port()
	if change != nil {
		change(&s.limits)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatalf("apply: %v", err)
	}
	return s
}

func (s *Server) at(addr string) string { return net.JoinHostPort(addr, fmt.Sprint(s.port)) }

// over asks a running server with the codec's own client.
func over(t testing.TB, network, at, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	c := &dns.Client{Net: network, Timeout: 2 * time.Second}
	r, _, err := c.Exchange(question(name, qtype), at)
	return r, err
}

func TestServesOverSockets(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 300 IN A 203.0.113.1")
	c := sample()
	c.DNS[0].Upstreams = []netip.AddrPort{up.addr()}
	s := running(t, c, nil)
	for _, network := range []string{"udp", "tcp"} {
		for name, want := range map[string]string{"web": "NOERROR aa A 10.1.2.10", www: "NOERROR A 203.0.113.1", "no.lan.example": "NXDOMAIN aa / lan.example. SOA"} {
			r, err := over(t, network, s.at("127.0.0.53"), name, dns.TypeA)
			if err != nil || show(r) != want {
				t.Errorf("%s %s: %v %v, want %s", network, name, r, err, want)
			}
		}
	}
	// A loop adds its tally up after it has answered.
	waitFor(t, "counted", func() bool { return s.Status().Counters["dns_udp_queries_total"] == 3 })
	st := s.Status()
	if !st.Ready || st.Counters["dns_udp_queries_total"] != 3 || st.Counters["dns_tcp_queries_total"] != 3 || st.Counters["dns_upstream_queries_total"] != 1 || st.Counters["dns_cache_entries"] != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestApply: only sockets whose place changed are touched; queries in between
// are answered; what is not wanted is closed; the same again changes nothing.
func TestApply(t *testing.T) {
	c := sample()
	s := running(t, c, nil)
	before := s.served[guestMAC].listeners[c.DNS[0].Listen[0]]
	c.DNS = slices.Clone(c.DNS)
	c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: "new", IP: netip.MustParseAddr("10.1.2.99")})
	c.DNS[0].Listen = append(c.DNS[0].Listen, netip.MustParseAddr("127.0.0.54"))
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatal(err)
	}
	if s.served[guestMAC].listeners[c.DNS[0].Listen[0]] != before {
		t.Error("a socket that stays was reopened")
	}
	for _, at := range []string{"127.0.0.53", "127.0.0.54"} {
		if r, err := over(t, "udp", s.at(at), "new", dns.TypeA); err != nil || show(r) != "NOERROR aa A 10.1.2.99" {
			t.Errorf("%s: %v %v", at, r, err)
		}
	}
	c.DNS = slices.Clone(c.DNS)
	c.DNS[0].Listen = c.DNS[0].Listen[1:]
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatal(err)
	}
	if _, err := over(t, "tcp", s.at("127.0.0.53"), "new", dns.TypeA); err == nil {
		t.Error("an address that is not wanted still answers")
	}
	c.DNS = nil
	if err := s.Apply(t.Context(), c, loLinks); err != nil {
		t.Fatal(err)
	}
	if _, err := over(t, "udp", s.at("127.0.0.54"), "new", dns.TypeA); err == nil || len(s.served) != 0 {
		t.Error("a network that is gone still answers")
	}
}

// TestApplyEqual: an equal content, as the agent brings it every few seconds,
// makes nothing anew, and each field that matters does.
func TestApplyEqual(t *testing.T) {
	s := running(t, sample(), nil)
	before := s.served[guestMAC].net.table.Load()
	if err := s.Apply(t.Context(), sample(), loLinks); err != nil {
		t.Fatal(err)
	}
	if now := s.served[guestMAC].net.table.Load(); now.zone != before.zone || now.resolver != before.resolver || now.guests != before.guests {
		t.Error("an equal content made something anew")
	}
	for what, change := range map[string]func(*agentv1.DNSNetwork){
		"a name":      func(n *agentv1.DNSNetwork) { n.Records[0].Name = "other" },
		"an address":  func(n *agentv1.DNSNetwork) { n.Records[0].IP = n.Records[0].IP.Next() },
		"one less":    func(n *agentv1.DNSNetwork) { n.Records = n.Records[1:] },
		"the domain":  func(n *agentv1.DNSNetwork) { n.Domain = "other.example" },
		"the network": func(n *agentv1.DNSNetwork) { n.Subnet = netip.MustParsePrefix("10.1.3.0/24") },
	} {
		c := sample()
		change(&c.DNS[0])
		if err := s.Apply(t.Context(), c, loLinks); err != nil {
			t.Fatal(err)
		}
		if s.served[guestMAC].net.table.Load().zone == before.zone {
			t.Errorf("%s changed, and the old zone is served", what)
		}
		if err := s.Apply(t.Context(), sample(), loLinks); err != nil {
			t.Fatal(err)
		}
	}
}

// TestApplyUnderLoad: no query is lost while tables are swapped.
func TestApplyUnderLoad(t *testing.T) {
	c := sample()
	s := running(t, c, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked atomic.Int64
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := over(t, "udp", s.at("127.0.0.53"), "web", dns.TypeA)
			if err != nil || show(r) != "NOERROR aa A 10.1.2.10" {
				t.Errorf("%v %v", r, err)
				return
			}
			asked.Add(1)
		}
	})
	for i := 0; asked.Load() < 200 && !t.Failed(); i++ {
		c.DNS = []agentv1.DNSNetwork{c.DNS[0]}
		c.DNS[0].Records = slices.Clone(c.DNS[0].Records)
		c.DNS[0].Records[1].IP = netip.AddrFrom4([4]byte{10, 1, 2, byte(i)})
		if err := s.Apply(t.Context(), c, loLinks); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

// TestNicGone: a nic that is not there is an error, and is served once it is.
func TestNicGone(t *testing.T) {
	s := running(t, sample(), nil)
	if err := s.Apply(t.Context(), sample(), dataplane.Links{guestMAC: "sl-dns-none"}); err == nil {
		t.Fatal("no error about a link that does not exist")
	}
	if st := s.Status(); st.Ready || !strings.Contains(st.Error, "sl-dns-none") {
		t.Errorf("status %+v", st)
	}
	if _, err := over(t, "tcp", s.at("127.0.0.53"), "web", dns.TypeA); err == nil {
		t.Error("the old nic still answers")
	}
	if err := s.Apply(t.Context(), sample(), dataplane.Links{}); err == nil {
		t.Error("no error about a nic that was not found")
	}
	s.mu.Lock()
	s.served[guestMAC].link = "lo" // as if it came up under the name
	s.mu.Unlock()
	waitFor(t, "the nic is served", func() bool { return s.Status().Ready })
	if _, err := over(t, "tcp", s.at("127.0.0.53"), "web", dns.TypeA); err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	s := running(t, sample(), nil)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Apply(t.Context(), sample(), loLinks); !errors.Is(err, ErrClosed) {
		t.Errorf("apply: %v", err)
	}
	if s.Status().Ready {
		t.Error("ready")
	}
}

// TestCloseUnderWay: questions under way do not hold up Close.
func TestCloseUnderWay(t *testing.T) {
	up := newStranger(t)
	up.set(nil)
	c := sample()
	c.DNS[0].Upstreams = []netip.AddrPort{up.addr()}
	s := running(t, c, nil)
	conn := dialTCP(t, s)
	sendFrame(t, conn, pack(t, question(www, dns.TypeA)))
	waitFor(t, "the upstream is asked", func() bool { return up.seen.Load() > 0 })
	start := time.Now()
	if err := s.Close(); err != nil || time.Since(start) > time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func dialTCP(t testing.TB, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.at("127.0.0.53"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func sendFrame(t testing.TB, conn net.Conn, msg []byte) {
	t.Helper()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		t.Fatal(err)
	}
}

func readFrame(conn net.Conn) (*dns.Msg, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, be16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(b)
}

// TestTCPPipelining: RFC 7766 §6.2.1: many queries on one connection, and a
// slow answer does not hold up the others (§6.2.1.1); what was asked before the
// guest's half is closed is answered.
func TestTCPPipelining(t *testing.T) {
	up := newStranger(t)
	release := make(chan struct{})
	up.set(func(q *dns.Msg, send func([]byte)) {
		<-release
		send(pack(t, truth(t, q, "www.example.org. 300 IN A 203.0.113.1")))
	})
	c := sample()
	c.DNS[0].Upstreams = []netip.AddrPort{up.addr()}
	s := running(t, c, nil)
	conn := dialTCP(t, s)
	slow := question(www, dns.TypeA)
	sendFrame(t, conn, pack(t, slow))
	for range 300 {
		q := question("web", dns.TypeA)
		sendFrame(t, conn, pack(t, q))
		r, err := readFrame(conn)
		if err != nil || r.Id != q.Id {
			t.Fatalf("%v %v", r, err)
		}
	}
	conn.(*net.TCPConn).CloseWrite()
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if r, err := readFrame(conn); err != nil || r.Id != slow.Id {
		t.Errorf("the slow one: %v %v", r, err)
	}
	if _, err := readFrame(conn); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v", err)
	}
}

// TestTCPLimits: connections, idle time, time for a query, bytes.
func TestTCPLimits(t *testing.T) {
	s := running(t, sample(), func(l *limits) {
		l.tcpConns, l.tcpPerGuest, l.tcpIdle, l.tcpFrame, l.tcpBytes = 5, 3, 400*time.Millisecond, 200*time.Millisecond, 100
	})
	ended := func(why string, conn net.Conn, least, most time.Duration) {
		t.Helper()
		start := time.Now()
		if _, err := readFrame(conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", why, err)
		}
		if took := time.Since(start); took < least || took > most {
			t.Errorf("%s: ended after %v, want %v to %v", why, took, least, most)
		}
	}
	var conns []net.Conn
	for range 3 {
		conns = append(conns, dialTCP(t, s))
	}
	ended("a fourth of one guest", dialTCP(t, s), 0, 200*time.Millisecond)
	ended("says nothing", conns[0], 100*time.Millisecond, time.Second)
	waitFor(t, "all have ended", func() bool {
		l := s.served[guestMAC].listeners[netip.MustParseAddr("127.0.0.53")].tcp
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.conns) == 0 && len(l.guests) == 0
	})
	slow := dialTCP(t, s)
	slow.Write([]byte{0})
	ended("sends one byte", slow, 100*time.Millisecond, 350*time.Millisecond)
	long := dialTCP(t, s)
	long.Write([]byte{0xff, 0xff})
	ended("announces 65535 bytes", long, 0, 150*time.Millisecond)
	mute := dialTCP(t, s)
	sendFrame(t, mute, []byte{1, 2, 3})
	ended("sends no query", mute, 0, 150*time.Millisecond)
	greedy := dialTCP(t, s)
	answers := 0
	for range 10 {
		greedy.Write(append([]byte{0, 21}, pack(t, question("web", dns.TypeA))...))
	}
	for {
		if _, err := readFrame(greedy); err != nil {
			break
		}
		answers++
	}
	if answers < 1 || answers > 5 {
		t.Errorf("%d answers for 100 bytes", answers)
	}
}

// TestTCPShare: who asks on after his share has the answers to all before its
// end, and then the end, not a reset that takes them away.
func TestTCPShare(t *testing.T) {
	const share = 100
	query := pack(t, question("web", dns.TypeA))
	s := running(t, sample(), func(l *limits) { l.tcpBytes = share * (2 + len(query)) })
	for range 20 {
		conn := dialTCP(t, s)
		for range 3 * share {
			sendFrame(t, conn, query)
		}
		answers := 0
		var err error
		for err == nil {
			if _, err = readFrame(conn); err == nil {
				answers++
			}
		}
		if answers != share || !errors.Is(err, io.EOF) {
			t.Fatalf("%d answers of %d, then %v", answers, share, err)
		}
		conn.Close()
	}
}

func TestPlanRefuses(t *testing.T) {
	for field, change := range map[string]func(*agentv1.Content){
		"/content/dns/0/interface":   func(c *agentv1.Content) { c.DNS[0].Interface = mgmtMAC },
		"/content/dns/0/interface ":  func(c *agentv1.Content) { c.DNS[0].Interface = "52:54:00:00:00:99" },
		"/content/dns/0/interface  ": func(c *agentv1.Content) { c.Interfaces[0].Roles = append(c.Interfaces[0].Roles, agentv1.RolePublic) },
		"/content/dns/1/interface":   func(c *agentv1.Content) { c.DNS = append(c.DNS, c.DNS[0]) },
		"/content/dns/0/listen":      func(c *agentv1.Content) { c.DNS[0].Listen = nil },
		"/content/dns/0/listen/0":    func(c *agentv1.Content) { c.DNS[0].Listen[0] = netip.MustParseAddr("::1") },
		"/content/dns/0/domain":      func(c *agentv1.Content) { c.DNS[0].Domain = "lan..example" },
		"/content/dns/0/domain ":     func(c *agentv1.Content) { c.DNS[0].Domain = "lan.example." },
		"/content/dns/0/subnet":      func(c *agentv1.Content) { c.DNS[0].Subnet = netip.Prefix{} },
		"/content/dns/0/upstreams/0": func(c *agentv1.Content) { c.DNS[0].Upstreams = []netip.AddrPort{{}} },
		"/content/dns/0/upstreams/0 ": func(c *agentv1.Content) {
			c.DNS[0].Upstreams = []netip.AddrPort{netip.AddrPortFrom(c.DNS[0].Listen[0], 53)}
		},
		"/content/dns/0/records/2/name": func(c *agentv1.Content) {
			c.DNS[0].Records[2].Name = "a b"
		},
		"/content/dns/0/records/0/name":  func(c *agentv1.Content) { c.DNS[0].Records[0].Name = strings.Repeat("a", 64) },
		"/content/dns/0/records/1/name":  func(c *agentv1.Content) { c.DNS[0].Records[1].Name = strings.Repeat("a.", 121) + "a" },
		"/content/dns/0/records/1/ip":    func(c *agentv1.Content) { c.DNS[0].Records[1].IP = netip.Addr{} },
		"/content/dns/0/records/1000":    func(c *agentv1.Content) { c.DNS[0].Records = manyOf("same", 1001) },
		"/content/dns/0/records/1/name ": func(c *agentv1.Content) { c.DNS[0].Records[1].Name = "" },
	} {
		c := sample()
		change(&c)
		s := New(quiet)
		_, err := s.Want(c, dataplane.Links{guestMAC: "eth1", mgmtMAC: "eth0"})
		var fe *dataplane.FieldError
		if !errors.As(err, &fe) || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: got %v", field, err)
		}
		if err := s.Apply(context.Background(), c, loLinks); !errors.As(err, &fe) {
			t.Errorf("%s: apply: %v", field, err)
		}
		s.Close()
	}
}

func manyOf(name string, n int) (out []agentv1.DNSRecord) {
	for i := range n {
		out = append(out, agentv1.DNSRecord{Name: name, IP: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})})
	}
	return out
}

func TestWant(t *testing.T) {
	s := New(quiet)
	defer s.Close()
	w, err := s.Want(sample(), dataplane.Links{guestMAC: "eth1"})
	want := []dataplane.Input{{Link: "eth1", Protocol: "udp", Port: 53, Owner: "dns"}, {Link: "eth1", Protocol: "tcp", Port: 53, Owner: "dns"}}
	if err != nil || len(w.Inputs) != 2 || w.Inputs[0] != want[0] || w.Inputs[1] != want[1] {
		t.Errorf("got %+v, %v", w, err)
	}
	if _, err := s.Want(sample(), dataplane.Links{}); err == nil {
		t.Error("no error without the nic")
	}
	if w, err := s.Want(agentv1.Content{}, nil); err != nil || len(w.Inputs) != 0 {
		t.Errorf("nothing wanted: %+v, %v", w, err)
	}
}
