package dns

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestHostileUpstream: none of this is taken for the answer, none of it ends
// the exchange, and none of it is kept: the truth that comes late is.
func TestHostileUpstream(t *testing.T) {
	const name, lie, right = "www.example.org", "www.example.org. 300 IN A 203.0.113.66", "www.example.org. 300 IN A 203.0.113.1"
	for _, tc := range []struct {
		name string
		lies func(q *dns.Msg) [][]byte
	}{
		{"wrong id", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Id++
			return [][]byte{pack(t, m)}
		}},
		{"a thousand ids", func(q *dns.Msg) (out [][]byte) {
			for i := range 1000 {
				m := truth(t, q, lie)
				m.Id += uint16(1 + i)
				out = append(out, pack(t, m))
			}
			return out
		}},
		{"another question", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Question[0].Name = "mail.example.org."
			return [][]byte{pack(t, m)}
		}},
		{"another type", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Question[0].Qtype = dns.TypeMX
			return [][]byte{pack(t, m)}
		}},
		{"another class", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Question[0].Qclass = dns.ClassCHAOS
			return [][]byte{pack(t, m)}
		}},
		{"wrong case", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			name := []byte(m.Question[0].Name)
			name[0] ^= 0x20
			m.Question[0].Name = string(name)
			return [][]byte{pack(t, m)}
		}},
		{"no question", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Question = nil
			return [][]byte{pack(t, m)}
		}},
		{"two questions", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Question = append(m.Question, m.Question[0])
			return [][]byte{pack(t, m)}
		}},
		{"the query itself", func(q *dns.Msg) [][]byte { return [][]byte{pack(t, q)} }},
		{"another opcode", func(q *dns.Msg) [][]byte {
			m := truth(t, q, lie)
			m.Opcode = dns.OpcodeNotify
			return [][]byte{pack(t, m)}
		}},
		{"nothing, three bytes, and noise", func(*dns.Msg) [][]byte {
			return [][]byte{{}, {1, 2, 3}, make([]byte, 12), make([]byte, 1400)}
		}},
		{"cut in a record", func(q *dns.Msg) [][]byte {
			b := pack(t, truth(t, q, lie))
			return [][]byte{b[:len(b)-3]}
		}},
		{"a name that points to itself", func(q *dns.Msg) [][]byte {
			m := truth(t, q)
			m.Extra = nil
			b := pack(t, m)
			binary.BigEndian.PutUint16(b[6:], 1)
			at := uint16(len(b))
			b = append(b, byte(at>>8)|0xC0, byte(at), 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4)
			return [][]byte{b}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newStranger(t)
			released := make(chan struct{})
			up.set(func(q *dns.Msg, send func([]byte)) {
				for _, b := range tc.lies(q) {
					send(b)
				}
				<-released
				send(pack(t, truth(t, q, right)))
			})
			b := withUpstream(t, up)
			pkt := pack(t, question(name, dns.TypeA))
			if got := b.raw(pkt, false); got != nil {
				t.Fatalf("answered at once: %x", got)
			}
			time.Sleep(60 * time.Millisecond)
			if n, late := b.cached(), len(b.wake); n != 0 || late != 0 {
				t.Errorf("lies: %d cached, %d answered; want none", n, late)
			}
			close(released)
			<-b.wake
			got := new(dns.Msg)
			if err := got.Unpack(b.late[0]); err != nil {
				t.Fatal(err)
			}
			if s := show(got); s != "NOERROR A 203.0.113.1" {
				t.Errorf("got %s, want the truth", s)
			}
			if n := up.seen.Load(); n != 1 {
				t.Errorf("asked %d times, want once: a lie ended the exchange", n)
			}
			if b.cached() != 1 {
				t.Errorf("the truth is not cached")
			}
		})
	}
}

// TestBailiwick: of a right answer only what belongs to the question is kept.
func TestBailiwick(t *testing.T) {
	for _, tc := range []struct {
		name, qtype string
		records     []string
		want        string
		keep        bool
	}{
		{"somebody else's address", "A", []string{"evil.example. 300 IN A 203.0.113.66", "www.example.org. 300 IN A 203.0.113.1"}, "NOERROR A 203.0.113.1", true},
		{"authority and additional", "A", []string{
			"www.example.org. 300 IN A 203.0.113.1", "@example.org. 300 IN NS ns.evil.example.", "+ns.evil.example. 300 IN A 203.0.113.66",
		}, "NOERROR A 203.0.113.1", true},
		{"chain", "A", []string{
			"www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 300 IN CNAME b.example.net.", "b.example.net. 300 IN A 203.0.113.1",
		}, "NOERROR CNAME a.example.net. CNAME b.example.net. A 203.0.113.1", true},
		{"beside the chain", "A", []string{
			"www.example.org. 300 IN CNAME a.example.net.", "b.example.net. 300 IN A 203.0.113.66", "a.example.net. 300 IN A 203.0.113.1",
		}, "NOERROR CNAME a.example.net. A 203.0.113.1", true},
		{"chain in a circle", "A", []string{
			"www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 300 IN CNAME www.example.org.", "www.example.org. 300 IN CNAME a.example.net.",
		}, "NOERROR CNAME a.example.net. CNAME www.example.org. CNAME a.example.net.", false},
		{"only others' records", "A", []string{"evil.example. 300 IN A 203.0.113.66"}, "NOERROR", false},
		{"another type", "A", []string{"www.example.org. 300 IN TXT hello"}, "NOERROR", false},
		{"SOA of a stranger", "A", []string{"@evil.example. 300 IN SOA a. b. 1 2 3 4 300"}, "NOERROR", false},
		{"SOA of the zone", "A", []string{"@example.org. 300 IN SOA a. b. 1 2 3 4 300"}, "NOERROR / example.org. SOA", true},
		{"a second SOA", "A", []string{
			"@example.org. 300 IN SOA a. b. 1 2 3 4 300", "@org. 300 IN SOA a. b. 1 2 3 4 300",
		}, "NOERROR / example.org. SOA", true},
		{"another class", "A", []string{"www.example.org. 300 CH A 203.0.113.66"}, "NOERROR", false},
		{"TTL 2^31 (RFC 2181 §8)", "A", []string{"www.example.org. 2147483648 IN A 203.0.113.1"}, "NOERROR A 203.0.113.1", false},
		{"TTL 2^32-1", "A", []string{"www.example.org. 4294967295 IN A 203.0.113.1"}, "NOERROR A 203.0.113.1", false},
		{"TTL 0", "A", []string{"www.example.org. 0 IN A 203.0.113.1"}, "NOERROR A 203.0.113.1", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			up := newStranger(t)
			up.set(func(q *dns.Msg, send func([]byte)) {
				send(pack(t, truth(t, q, tc.records...)))
			})
			b := withUpstream(t, up)
			got := b.lookup("www.example.org", dns.StringToType[tc.qtype])
			if s := show(got); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
			if len(got.Extra) != 0 {
				t.Errorf("additional records: %v", got.Extra)
			}
			if kept := b.cached() == 1; kept != tc.keep {
				t.Errorf("cached %v, want %v", kept, tc.keep)
			}
		})
	}
}

// TestStrangersSignature: with DO too, only what is about the question is kept.
func TestStrangersSignature(t *testing.T) {
	const sig = " 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.org. AAAA"
	up := newStranger(t)
	up.answers("www.example.org. 300 IN A 203.0.113.1", "www.example.org."+sig, "evil.example."+sig, "www.example.org. 300 IN RRSIG MX 8 3 300 20300101000000 20200101000000 1 example.org. AAAA")
	b := withUpstream(t, up)
	m := question("www.example.org", dns.TypeA)
	m.SetEdns0(1232, true)
	if got := b.ask(m, false); len(got.Answer) != 2 || got.Answer[1].Header().Name != "www.example.org." {
		t.Errorf("got %v", got.Answer)
	}
}

// TestTruncatedUpstream: what does not fit is asked for over TCP; if TCP is
// dead, nothing is kept and the guest is told so.
func TestTruncatedUpstream(t *testing.T) {
	up := newStranger(t)
	cut := func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, "www.example.org. 300 IN A 203.0.113.66")
		m.Truncated = true
		send(pack(t, m))
	}
	up.set(cut)
	up.setTCP(func(q *dns.Msg, send func([]byte)) {
		other := truth(t, q, "www.example.org. 300 IN A 203.0.113.67")
		other.Id++
		send(pack(t, other))
		send(pack(t, truth(t, q, "www.example.org. 300 IN A 203.0.113.1")))
	})
	b := withUpstream(t, up)
	if s := show(b.lookup("www.example.org", dns.TypeA)); s != "NOERROR A 203.0.113.1" {
		t.Errorf("over TCP: %s", s)
	}

	dead := newStranger(t)
	dead.set(cut)
	dead.tcp.Close()
	b = withUpstream(t, dead)
	if s := show(b.lookup("www.example.org", dns.TypeA)); s != "SERVFAIL" {
		t.Errorf("TCP refused: %s", s)
	}
	if b.cached() != 0 {
		t.Error("a truncated answer was cached")
	}
	second := newStranger(t)
	second.answers("www.example.org. 300 IN A 203.0.113.2")
	b = withUpstream(t, dead, second)
	if s := show(b.lookup("www.example.org", dns.TypeA)); s != "NOERROR A 203.0.113.2" {
		t.Errorf("the next upstream: %s", s)
	}
}

// TestEntropy measures what a forger has to guess (RFC 5452 §9.2): ports and ids
// are spread over their range, and each letter is as often small as large. Each
// of the three is a chi-square test; an honest server fails one with a
// probability below 1e-9.
func TestEntropy(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) { send(pack(t, truth(t, q))) }) // no SOA: not kept, so each lookup asks
	b := withUpstream(t, up)
	const n, name = 2000, "a-rather-long-name.of-an-example.org"
	for range n {
		b.lookup(name, dns.TypeA)
		b.pass(10 * time.Millisecond) // within the guest's share
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	// 16 classes have 15 degrees of freedom: P(X > 80) = 7e-11.
	const most = 80
	ports, ids := make([]float64, 16), make([]float64, 16)
	for port, seen := range up.ports {
		ports[(port-firstPort)*16/(1<<16-firstPort)] += float64(seen)
	}
	for id, seen := range up.ids {
		ids[id>>12] += float64(seen)
	}
	if x := chiSquare(ports); x > most {
		t.Errorf("ports: chi-square %.1f of %v", x, ports)
	}
	if x := chiSquare(ids); x > most {
		t.Errorf("ids: chi-square %.1f of %v", x, ids)
	}
	// A letter's two cases have one degree of freedom: P(X > 50) = 1.5e-12, and
	// there are 31 letters.
	for i := range name {
		if name[i] < 'a' || name[i] > 'z' {
			continue
		}
		cases := make([]float64, 2)
		for asked, seen := range up.names {
			cases[asked[i]>>5&1] += float64(seen)
		}
		if x := chiSquare(cases); x > 50 {
			t.Errorf("letter %d: chi-square %.1f of %v", i, x, cases)
		}
	}
	// Of 2,000 out of 64,512 about 1,969 are different, with a deviation below 6.
	if len(up.ports) < 1880 || len(up.ids) < 1880 {
		t.Errorf("of %d queries %d ports, %d ids are different", n, len(up.ports), len(up.ids))
	}
}

// chiSquare is the statistic of counts that should be equal.
func chiSquare(counts []float64) (x float64) {
	var sum float64
	for _, c := range counts {
		sum += c
	}
	mean := sum / float64(len(counts))
	for _, c := range counts {
		x += (c - mean) * (c - mean) / mean
	}
	return x
}

// TestUpstreamOrder: the first is asked while it answers, the next ones when it
// refuses, cannot be reached or is silent; one that is down is not waited for,
// and is noticed when it is back.
func TestUpstreamOrder(t *testing.T) {
	first, second := newStranger(t), newStranger(t)
	fill := func(s *stranger, ip string) {
		s.set(func(q *dns.Msg, send func([]byte)) {
			rr := &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0}, A: net.ParseIP(ip)}
			m := truth(t, q)
			m.Answer = []dns.RR{rr}
			send(pack(t, m))
		})
	}
	fill(first, "203.0.113.1")
	fill(second, "203.0.113.2")
	b := withUpstream(t, first, second)
	want := func(ip, why string, within time.Duration) {
		t.Helper()
		start := time.Now()
		if s := show(b.lookup("www.example.org", dns.TypeA)); s != "NOERROR A "+ip {
			t.Errorf("%s: got %s, want %s", why, s, ip)
		}
		if took := time.Since(start); took > within {
			t.Errorf("%s: took %v, want less than %v", why, took, within)
		}
	}
	want("203.0.113.1", "both are well", 500*time.Millisecond)
	first.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Rcode = dns.RcodeRefused
		send(pack(t, m))
	})
	want("203.0.113.2", "the first refuses", 500*time.Millisecond)
	first.set(nil)
	for range failuresToDown {
		b.pass(time.Second)
		want("203.0.113.2", "the first is silent", tryWait+500*time.Millisecond)
	}
	want("203.0.113.2", "the first is down", 500*time.Millisecond)
	fill(first, "203.0.113.1")
	b.pass(maxDown)
	want("203.0.113.2", "the first is tried beside", 500*time.Millisecond)
	waitFor(t, "the first is well again", func() bool {
		u := b.net.table.Load().resolver.upstreams[0]
		return u.health(b.now()) == healthy
	})
	want("203.0.113.1", "the first is back", 500*time.Millisecond)
}

// TestOneBadName: a name that the upstream itself gets no answer about does not
// take the upstream down.
func TestOneBadName(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		if lowerName(q) == "www.example.org." {
			send(pack(t, truth(t, q, "www.example.org. 300 IN A 203.0.113.1")))
		}
	})
	b := withUpstream(t, up)
	ended := make(chan struct{})
	go func() { // the bench's clock stands still by itself
		for tick := time.NewTicker(10 * time.Millisecond); ; b.pass(10 * time.Millisecond) {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	if s := show(b.lookup("broken.example.org", dns.TypeA)); s != "SERVFAIL" {
		t.Errorf("the broken one: %s", s)
	}
	close(ended)
	if s := show(b.lookup("www.example.org", dns.TypeA)); s != "NOERROR A 203.0.113.1" {
		t.Errorf("the next one: %s", s)
	}
}

// TestRetryWithoutEDNS: an upstream that knows no EDNS is asked without it.
func TestRetryWithoutEDNS(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, "www.example.org. 300 IN A 203.0.113.1")
		if q.IsEdns0() != nil {
			m = truth(t, q)
			m.Rcode = dns.RcodeFormatError
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	if s := show(b.lookup("www.example.org", dns.TypeA)); s != "NOERROR A 203.0.113.1" {
		t.Errorf("got %s", s)
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 300 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("timed out: %s", what)
}

// TestRebinding: no upstream sends a guest to management, link-local or
// loopback, by whatever record.
func TestRebinding(t *testing.T) {
	for _, tc := range []struct{ qtype, record string }{
		{"A", "www.example.org. 300 IN A 172.31.7.200"},
		{"A", "www.example.org. 300 IN A 169.254.169.254"},
		{"A", "www.example.org. 300 IN A 127.0.0.1"},
		{"A", "www.example.org. 300 IN A 0.0.0.0"},
		{"AAAA", "www.example.org. 300 IN AAAA ::1"},
		{"AAAA", "www.example.org. 300 IN AAAA ::"},
		{"AAAA", "www.example.org. 300 IN AAAA fe80::1"},
		{"AAAA", "www.example.org. 300 IN AAAA ::ffff:169.254.169.254"},
		{"AAAA", "www.example.org. 300 IN AAAA 64:ff9b::a9fe:a9fe"},
		{"HTTPS", "www.example.org. 300 IN HTTPS 1 . ipv4hint=203.0.113.1,169.254.169.254"},
		{"SVCB", "www.example.org. 300 IN SVCB 1 . ipv6hint=fe80::1"},
	} {
		up := newStranger(t)
		up.answers("www.example.org. 300 IN TXT x", tc.record)
		b := withUpstream(t, up)
		if s := show(b.lookup("www.example.org", dns.StringToType[tc.qtype])); s != "NOERROR" {
			t.Errorf("%s: got %s, want nothing", tc.record, s)
		}
		if n := b.srv.counters[countFiltered].Load(); n != 1 {
			t.Errorf("%s: counted %d", tc.record, n)
		}
	}
	up := newStranger(t)
	up.answers("www.example.org. 300 IN CNAME in.example.org.", "in.example.org. 300 IN A 127.1.2.3")
	if s := show(withUpstream(t, up).lookup("www.example.org", dns.TypeA)); s != "NOERROR" {
		t.Errorf("behind a CNAME: got %s", s)
	}
	up.answers("www.example.org. 300 IN A 10.9.8.7")
	if s := show(withUpstream(t, up).lookup("www.example.org", dns.TypeA)); s != "NOERROR A 10.9.8.7" {
		t.Errorf("a private address that is nobody's secret: got %s", s)
	}
}

// TestLargeAnswer: replies to late waiters stay whole even if the
// upstream's answer is as large as TCP allows.
func TestLargeAnswer(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Truncated = true
		send(pack(t, m))
	})
	up.setTCP(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Compress = true
		for i := range 3000 {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
				A:   net.IPv4(203, 0, byte(i>>8), byte(i)),
			})
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	if got := b.lookup("www.example.org", dns.TypeA); !got.Truncated || len(got.Answer) != 0 {
		t.Errorf("over UDP: %d answers, truncated %v; want none, true", len(got.Answer), got.Truncated)
	}
	got := b.ask(question("www.example.org", dns.TypeA), true)
	if len(got.Answer) != 3000 || got.Truncated {
		t.Errorf("over TCP: %d answers, truncated %v; want 3000, false", len(got.Answer), got.Truncated)
	}
	if up.seen.Load() != 1 {
		t.Errorf("asked %d times, want once", up.seen.Load())
	}
}
