package dns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// secure is an upstream over TLS, with a certificate of its own making.
type secure struct {
	ln          net.Listener
	ca          string // PEM
	connections atomic.Int64
	shakes      atomic.Int64 // queries read, that is, handshakes that ended well and went on
	perConn     int          // queries answered before the connection is closed; 0: all
	mu          sync.Mutex
	sizes       []int
}

func newSecure(t testing.TB, name string, perConn int) *secure {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &secure{ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), perConn: perConn}
	s.ln, err = tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			all.Go(func() { s.serve(t, c) })
			t.Cleanup(func() { c.Close() })
		}
	})
	t.Cleanup(func() { s.ln.Close() })
	return s
}

func (s *secure) serve(t testing.TB, c net.Conn) {
	defer c.Close()
	conn := &dns.Conn{Conn: c}
	for n := 0; s.perConn == 0 || n < s.perConn; n++ {
		raw, err := conn.ReadMsgHeader(nil)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if err := q.Unpack(raw); err != nil {
			t.Errorf("query over TLS: %v", err)
			return
		}
		s.shakes.Add(1)
		s.mu.Lock()
		s.sizes = append(s.sizes, len(raw))
		s.mu.Unlock()
		if conn.WriteMsg(truth(t, q, strings.ToLower(q.Question[0].Name)+" 300 IN A 203.0.113.7")) != nil {
			return
		}
	}
}

func (s *secure) addr() netip.AddrPort { return s.ln.Addr().(*net.TCPAddr).AddrPort() }

// overTLS is a bench that asks s, as name, trusting ca.
func overTLS(t testing.TB, at netip.AddrPort, name, ca string) *bench {
	return newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{at}
		c.DNS[0].TLS = &agentv1.DNSTLS{ServerName: name, CA: ca}
	})
}

// TestTLS: questions go over TLS, padded, and on a connection that is there.
func TestTLS(t *testing.T) {
	s := newSecure(t, "dns.example", 0)
	b := overTLS(t, s.addr(), "dns.example", s.ca)
	for i := range 20 {
		if got := show(b.lookup(string(rune('a'+i))+strings.Repeat("x", 3*i)+".example.org", dns.TypeA)); got != "NOERROR A 203.0.113.7" {
			t.Fatalf("question %d: %s", i, got)
		}
	}
	if n := s.connections.Load(); n != 1 {
		t.Errorf("%d connections for 20 questions", n)
	}
	for _, size := range s.sizes {
		if size%paddedTo != 0 {
			t.Errorf("a query of %d bytes tells of its name", size)
		}
	}
}

// TestTLSConnectionGone: a server that closes after each answer is asked again
// on another connection; no question is lost.
func TestTLSConnectionGone(t *testing.T) {
	s := newSecure(t, "dns.example", 1)
	b := overTLS(t, s.addr(), "dns.example", s.ca)
	for i := range 10 {
		if got := show(b.lookup(string(rune('a'+i))+".example.org", dns.TypeA)); got != "NOERROR A 203.0.113.7" {
			t.Fatalf("question %d: %s", i, got)
		}
	}
}

// TestTLSStrict: whoever is not proved to be the server is told nothing, and
// nobody is asked without TLS instead.
func TestTLSStrict(t *testing.T) {
	s, other := newSecure(t, "dns.example", 0), newSecure(t, "dns.example", 0)
	plain := newStranger(t)
	plain.answers("www.example.org. 300 IN A 203.0.113.66")
	for why, b := range map[string]*bench{
		"another name":          overTLS(t, s.addr(), "other.example", s.ca),
		"another's certificate": overTLS(t, s.addr(), "dns.example", other.ca),
		"nobody vouches for it": overTLS(t, s.addr(), "dns.example", ""),
		"no TLS":                overTLS(t, plain.addr(), "dns.example", s.ca),
	} {
		if got := show(b.lookup(www, dns.TypeA)); got != "SERVFAIL" {
			t.Errorf("%s: %s", why, got)
		}
	}
	if n := s.shakes.Load() + plain.seen.Load(); n != 0 {
		t.Errorf("%d questions were asked", n)
	}
}

// TestBuiltInRoots: the agent's own certificates can be read, and there are
// about as many as browsers have.
func TestBuiltInRoots(t *testing.T) {
	c, err := trust(&agentv1.DNSTLS{ServerName: "dns.example"})
	if err != nil || c.InsecureSkipVerify {
		t.Fatalf("%+v %v", c, err)
	}
	pool := x509.NewCertPool()
	if err := addRoots(pool); err != nil || pool.Equal(x509.NewCertPool()) || !c.RootCAs.Equal(pool) {
		t.Errorf("%v", err)
	}
}

// cookieOf is the cookie in a query, in hex.
func cookieOf(q *dns.Msg) string {
	if opt := q.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

func withCookie(m *dns.Msg, cookie string) *dns.Msg {
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	return m
}

// TestUpstreamCookies (RFC 7873 §5): ours is random and the same every time, the
// server's is given back, an answer with another's is somebody else's, and
// BADCOOKIE is asked again with the new one, at last over TCP.
func TestUpstreamCookies(t *testing.T) {
	const server = "1122334455667788"
	up := newStranger(t)
	var mu sync.Mutex
	var seen []string
	strict := false
	up.set(func(q *dns.Msg, send func([]byte)) {
		got := cookieOf(q)
		mu.Lock()
		seen = append(seen, got)
		bad := strict && !strings.HasSuffix(got, "99")
		mu.Unlock()
		if len(got) < 16 {
			return // over TCP, or without: no answer
		}
		name := strings.ToLower(q.Question[0].Name)
		lie := truth(t, q, name+" 300 IN A 203.0.113.66")
		send(pack(t, withCookie(lie, "0000000000000000"+server)))
		send(pack(t, withCookie(lie, got[:14]))) // too short
		m := truth(t, q, name+" 300 IN A 203.0.113.1")
		if bad {
			m.Answer, m.Rcode = nil, dns.RcodeBadCookie
			send(pack(t, withCookie(m, got[:16]+server+"99")))
			return
		}
		send(pack(t, withCookie(m, got[:16]+server)))
	})
	b := withUpstream(t, up)
	for _, name := range []string{"a.example.org", "b.example.org"} {
		if got := show(b.lookup(name, dns.TypeA)); got != "NOERROR A 203.0.113.1" {
			t.Errorf("%s: %s", name, got)
		}
	}
	mu.Lock()
	if raw, err := hex.DecodeString(seen[0]); len(seen) != 2 || err != nil || len(raw) != clientCookieLen || seen[1] != seen[0]+server {
		t.Errorf("cookies sent: %q", seen)
	}
	strict, seen = true, nil
	mu.Unlock()
	if got := show(b.lookup("c.example.org", dns.TypeA)); got != "NOERROR A 203.0.113.1" {
		t.Errorf("after BADCOOKIE: %s", got)
	}
	mu.Lock()
	if len(seen) != 2 || !strings.HasSuffix(seen[1], server+"99") {
		t.Errorf("cookies sent after BADCOOKIE: %q", seen)
	}
	mu.Unlock()
}

// TestBadCookieForEver: an upstream that takes no cookie is asked over TCP.
func TestBadCookieForEver(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Rcode = dns.RcodeBadCookie
		send(pack(t, withCookie(m, cookieOf(q)+"1122334455667788")))
	})
	up.setTCP(func(q *dns.Msg, send func([]byte)) {
		send(pack(t, truth(t, q, "www.example.org. 300 IN A 203.0.113.1")))
	})
	b := withUpstream(t, up)
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" || up.seen.Load() != 2 {
		t.Errorf("%s, asked %d times by UDP", got, up.seen.Load())
	}
}
