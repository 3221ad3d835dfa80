package dns

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// TestHostileQueries: what is no good query gets the least answer that the RFCs
// ask for, or none.
func TestHostileQueries(t *testing.T) {
	good := func() []byte { return pack(t, question("web.lan.example", dns.TypeA)) }
	edit := func(f func(b []byte) []byte) []byte { return f(good()) }
	msg := func(f func(m *dns.Msg)) []byte {
		m := question("web.lan.example", dns.TypeA)
		f(m)
		return pack(t, m)
	}
	for _, tc := range []struct {
		clause string
		pkt    []byte
		want   string // rcode, or "silence"
	}{
		{"empty", nil, "silence"},
		{"shorter than a header", good()[:11], "silence"},
		{"RFC 1035 §4.1.1: QR set", edit(func(b []byte) []byte { b[2] |= 0x80; return b }), "silence"},
		{"QR set, and malformed", []byte("\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "silence"},
		{"only a header, no question", good()[:12], "FORMERR"},
		{"question cut in the name", good()[:16], "FORMERR"},
		{"question cut before the class", good()[:len(good())-2], "FORMERR"},
		{"QDCOUNT 0", msg(func(m *dns.Msg) { m.Question = nil }), "FORMERR"},
		{"RFC 9619: QDCOUNT 2", msg(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), "FORMERR"},
		{"an answer in a query", edit(func(b []byte) []byte { b[7] = 1; return b }), "FORMERR"},
		{"bytes left over", append(good(), 0), "FORMERR"},
		{"a compressed question", []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), "FORMERR"},
		{"reserved label type 0x40", []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x41a\x00\x00\x01\x00\x01"), "FORMERR"},
		{"a name of 256 bytes", longName(256), "FORMERR"},
		{"RFC 6891 §6.1.1: two OPT", msg(func(m *dns.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }), "FORMERR"},
		{"RFC 6891 §6.1.2: OPT not at the root", msg(func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.Extra[0].Header().Name = "a."
		}), "FORMERR"},
		{"OPT cut in an option", append(edit(func(b []byte) []byte { b[11] = 1; return b }), 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 10, 0), "FORMERR"},
		{"RFC 7873 §5.2.2: cookie of 7 bytes", cookieQuery(t, "01020304050607"), "FORMERR"},
		{"RFC 7873 §5.2.2: cookie of 9 bytes", cookieQuery(t, "010203040506070809"), "FORMERR"},
		{"RFC 7873 §5.2.2: cookie of 41 bytes", cookieQuery(t, hex.EncodeToString(make([]byte, 41))), "FORMERR"},
		{"RFC 6891 §6.1.3: version 1", msg(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), "BADVERS"},
		{"opcode IQUERY", msg(func(m *dns.Msg) { m.Opcode = dns.OpcodeIQuery }), "NOTIMP"},
		{"opcode NOTIFY", msg(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), "NOTIMP"},
		{"opcode UPDATE", msg(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), "NOTIMP"},
		{"opcode 15", msg(func(m *dns.Msg) { m.Opcode = 15 }), "NOTIMP"},
		{"class CHAOS", msg(func(m *dns.Msg) { m.Question[0] = dns.Question{Name: "version.bind.", Qtype: 16, Qclass: 3} }), "REFUSED"},
		{"class ANY", msg(func(m *dns.Msg) { m.Question[0].Qclass = 255 }), "REFUSED"},
		{"type AXFR", msg(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }), "REFUSED"},
		{"type IXFR", msg(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeIXFR }), "REFUSED"},
		{"type TKEY", msg(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTKEY }), "REFUSED"},
		{"type OPT", msg(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeOPT }), "REFUSED"},
		{"type 0", msg(func(m *dns.Msg) { m.Question[0].Qtype = 0 }), "REFUSED"},
		{"RD 0 for others' names: the cache is private", msg(func(m *dns.Msg) { m.Question[0].Name = "www.example.org."; m.RecursionDesired = false }), "REFUSED"},
		{"RD 0 for local names", msg(func(m *dns.Msg) { m.RecursionDesired = false }), "NOERROR"},
		{"a signature that cannot be checked", msg(func(m *dns.Msg) { m.SetTsig("key.", dns.HmacSHA256, 300, 0) }), "NOERROR"},
		{"a name of 255 bytes", longName(255), "NXDOMAIN"},
	} {
		t.Run(tc.clause, func(t *testing.T) {
			b := newBench(t, func(c *agentv1.Content, _ *Config) {
				c.DNS[0].Upstreams = []netip.AddrPort{closedPort(t)}
				c.DNS[0].Domain = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.a"
				c.DNS[0].Records = []agentv1.DNSRecord{{Name: "web.lan.example", IP: netip.MustParseAddr("10.1.2.3")}}
			})
			got := b.raw(tc.pkt, false)
			if tc.want == "silence" {
				if got != nil {
					t.Fatalf("answered %x", got)
				}
				return
			}
			m := new(dns.Msg)
			if err := m.Unpack(got); err != nil {
				t.Fatalf("reply %x: %v", got, err)
			}
			if s := dns.RcodeToString[m.Rcode]; s != tc.want && (tc.want != "BADVERS" || m.Rcode != dns.RcodeBadVers) {
				t.Errorf("got %s, want %s", s, tc.want)
			}
			if m.Id != be16(tc.pkt) || !m.Response {
				t.Errorf("id %d, QR %v", m.Id, m.Response)
			}
		})
	}
}

// longName is a query for a name of n bytes in wire format, under the test's
// domain.
func longName(n int) []byte {
	suffix := appendName(nil, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.a")
	b := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	for left := n - len(suffix); left > 0; {
		l := min(left-1, 40)
		if left-1-l == 1 {
			l--
		}
		b = append(append(b, byte(l)), bytes.Repeat([]byte("x"), l)...)
		left -= 1 + l
	}
	return append(append(b, suffix...), 0, 1, 0, 1)
}

func cookieQuery(t testing.TB, hexCookie string) []byte {
	m := question("web.lan.example", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hexCookie}}
	return pack(t, m)
}

// TestEDNS: RFC 6891 §7 and RFC 3225: OPT only for who sent one, our size,
// version 0, the DO bit as it came.
func TestEDNS(t *testing.T) {
	b := newBench(t, nil)
	if o := b.lookup("web", dns.TypeA).IsEdns0(); o != nil {
		t.Errorf("OPT in a reply to a plain query: %v", o)
	}
	for _, do := range []bool{false, true} {
		m := question("web", dns.TypeA)
		m.SetEdns0(4096, do)
		o := b.ask(m, false).IsEdns0()
		if o == nil || o.UDPSize() != 1232 || o.Version() != 0 || o.Do() != do {
			t.Errorf("DO %v: got OPT %v", do, o)
		}
	}
	m := question("web", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().SetVersion(7)
	if got := b.ask(m, false); got.Rcode != dns.RcodeBadVers || got.IsEdns0().Version() != 0 || len(got.Answer) != 0 {
		t.Errorf("version 7: got %v", got)
	}
}

// TestTruncation: RFC 1035 §4.2.1, RFC 6891 §6.2.5, RFC 2181 §9.
func TestTruncation(t *testing.T) {
	b := newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Records = nil
		for i := range 100 {
			c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: "many", IP: netip.AddrFrom4([4]byte{10, 1, 2, byte(i)})})
		}
		for i := range 60 {
			c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: "some", IP: netip.AddrFrom4([4]byte{10, 1, 2, byte(i)})})
		}
	})
	for _, tc := range []struct {
		name    string
		size    uint16 // 0: no EDNS
		tcp     bool
		answers int
	}{
		{"some", 0, false, 0}, {"some", 400, false, 0}, {"some", 1232, false, 60}, {"some", 65535, false, 60},
		{"many", 1232, false, 0}, {"many", 65535, false, 0}, {"many", 0, true, 100}, {"many", 512, true, 100},
	} {
		m := question(tc.name, dns.TypeA)
		if tc.size != 0 {
			m.SetEdns0(tc.size, false)
		}
		got := b.ask(m, tc.tcp)
		if len(got.Answer) != tc.answers || got.Truncated != (tc.answers == 0) || (got.IsEdns0() != nil) != (tc.size != 0) {
			t.Errorf("%+v: %d answers, truncated %v, OPT %v", tc, len(got.Answer), got.Truncated, got.IsEdns0())
		}
	}
}

// TestCookies: RFC 7873 §5.2, RFC 9018 §4.
func TestCookies(t *testing.T) {
	b := newBench(t, nil)
	cookie := func(pkt []byte) string {
		t.Helper()
		m := new(dns.Msg)
		if err := m.Unpack(b.raw(pkt, false)); err != nil {
			t.Fatal(err)
		}
		for _, o := range m.IsEdns0().Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
		return ""
	}
	first := cookie(cookieQuery(t, "0102030405060708"))
	if len(first) != 48 || first[:16] != "0102030405060708" || first[16:24] != "01000000" {
		t.Errorf("cookie %s: want the client's 8 bytes, version 1, 3 bytes reserved, 12 more", first)
	}
	if again := cookie(cookieQuery(t, first)); again != first {
		t.Errorf("the same client at the same time got %s, then %s", first, again)
	}
	if other := cookie(cookieQuery(t, "0102030405060709")); other[32:] == first[32:] {
		t.Error("another client cookie has the same server cookie")
	}
	only := question("x", dns.TypeA)
	only.SetEdns0(1232, false)
	only.Question = nil
	only.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}}
	if got := cookie(pack(t, only)); got != first {
		t.Errorf("RFC 7873 §5.4, no question: got %q", got)
	}
}

// TestSipHash checks against the vectors of the algorithm's authors.
func TestSipHash(t *testing.T) {
	var secret [16]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	k := newCookieKey(secret)
	in := make([]byte, 0, 16)
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		in = in[:0]
		for i := range n {
			in = append(in, byte(i))
		}
		if got := k.sipHash(in); got != want {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
	}
}

// TestParseLikeCodec: every query that the codec packs is read as it is.
func TestParseLikeCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9_-]{1,30}`), 0, 8).Draw(t, "labels")
		name := "."
		if len(labels) > 0 {
			name = ""
			for _, l := range labels {
				name += l + "."
			}
		}
		if len(name) > 253 {
			return
		}
		m := question(name, rapid.Uint16().Draw(t, "type"))
		m.Question[0].Qclass = rapid.Uint16().Draw(t, "class")
		do, size := rapid.Bool().Draw(t, "do"), rapid.Uint16().Draw(t, "size")
		if rapid.Bool().Draw(t, "edns") {
			m.SetEdns0(size, do)
		}
		pkt, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q query
		if p := q.parse(pkt, false); p != parsedOK {
			t.Fatalf("parsed %d", p)
		}
		if q.id != m.Id || q.qtype != m.Question[0].Qtype || q.qclass != m.Question[0].Qclass || q.labels != len(labels) {
			t.Fatalf("got id %d type %d class %d labels %d", q.id, q.qtype, q.qclass, q.labels)
		}
		if o := m.IsEdns0(); (o != nil) != q.edns || o != nil && (q.dnssec != do || q.udpSize != max(size, 512)) {
			t.Fatalf("edns %v size %d do %v", q.edns, q.udpSize, q.dnssec)
		}
		if want := appendName(nil, name); len(labels) > 0 && !bytes.Equal(q.lower(), want) {
			t.Fatalf("name %x, want %x", q.lower(), want)
		}
	})
}

// FuzzReply: no packet makes the server panic, answer an answer, answer longer
// than the client takes, or answer something that the codec cannot read.
func FuzzReply(f *testing.F) {
	for _, m := range []*dns.Msg{question("web.lan.example", dns.TypeA), question("clash", dns.TypeANY), question("9.9.9.10.in-addr.arpa", dns.TypePTR)} {
		f.Add(pack(f, m), false)
		m.SetEdns0(1232, true)
		f.Add(pack(f, m), true)
	}
	f.Add(cookieQuery(f, "0102030405060708"), false)
	f.Add(longName(255), false)
	f.Add(longName(256), false)
	b := newBench(f, nil)
	f.Fuzz(func(t *testing.T, pkt []byte, tcp bool) {
		b.pass(time.Second)
		reply := b.raw(pkt, tcp)
		checkReply(t, pkt, reply, tcp)
	})
}

func checkReply(t *testing.T, pkt, reply []byte, tcp bool) {
	if len(reply) == 0 {
		if len(pkt) >= headerLen && pkt[2]&0x80 == 0 {
			t.Fatalf("silence to a query %x", pkt)
		}
		return
	}
	if len(pkt) < headerLen || pkt[2]&0x80 != 0 {
		t.Fatalf("%x answered with %x", pkt, reply)
	}
	if !bytes.Equal(reply[:2], pkt[:2]) || reply[2]&0x80 == 0 || reply[2]&0x78 != pkt[2]&0x78 {
		t.Fatalf("header %x answered with %x", pkt[:12], reply[:12])
	}
	if len(reply) > ednsUDPSize && !tcp || len(reply) > maxMessage {
		t.Fatalf("%d bytes", len(reply))
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply %x to %x: %v", reply, pkt, err)
	}
	if n := len(m.Answer) + len(m.Ns) + len(m.Extra); n != int(be16(reply[6:]))+int(be16(reply[8:]))+int(be16(reply[10:])) {
		t.Fatalf("reply %x: %d records, header says otherwise", reply, n)
	}
	if q := int(be16(reply[4:])); q == 1 && !bytes.HasPrefix(pkt[headerLen:], reply[headerLen:headerLen+questionLen(reply)]) {
		t.Fatalf("question of %x not echoed in %x", pkt, reply)
	}
}

func questionLen(msg []byte) int {
	end, _ := skipName(msg, headerLen)
	return end + 4 - headerLen
}

// FuzzDigest: no upstream's answer makes the server panic, and what is kept of
// one can be served.
func FuzzDigest(f *testing.F) {
	q := &ask{name: appendName(nil, "www.example.org"), qtype: typeA, dnssec: true}
	for _, rrs := range [][]string{
		{"www.example.org. 300 IN A 203.0.113.1"},
		{"www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 300 IN A 203.0.113.1"},
		{"@example.org. 300 IN SOA a. b. 1 2 3 4 300", "@example.org. 300 IN NSEC a.example.org. A RRSIG"},
	} {
		f.Add(pack(f, truth(f, question("www.example.org", dns.TypeA), rrs...))[headerLen+21:], uint8(len(rrs)), uint8(0))
	}
	cfg := Config{Domain: "lan.example", Subnet: netip.MustParsePrefix("10.1.2.0/24")}
	z := newZone(cfg)
	f.Fuzz(func(t *testing.T, body []byte, an, ns uint8) {
		msg := pack(t, question("www.example.org", dns.TypeA))
		msg[2] |= 0x80
		msg[7], msg[9] = an, ns
		msg = append(msg, body...)
		if len(msg) > maxMessage {
			return
		}
		e, err := digest(msg, q, alwaysBlocked())
		if err != nil {
			return
		}
		pkt := pack(t, question("wWw.example.org", dns.TypeA))
		var qq query
		if qq.parse(pkt, true) != parsedOK || z.lookup(&qq, &answer{}) {
			t.Fatal("the question itself is not good")
		}
		a := answer{soa: noSOA}
		e.fill(&a, 0)
		reply := appendReply(nil, &qq, &a, nil)
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("kept %x of %x: %v", reply, msg, err)
		}
		for _, rr := range append(m.Answer, m.Ns...) {
			if rr.Header().Ttl != a.ttl {
				t.Fatalf("TTL %d, want %d: %v", rr.Header().Ttl, a.ttl, rr)
			}
		}
	})
}

// TestWalk: names and records that run out of a message end the walk.
func TestWalk(t *testing.T) {
	for _, tc := range []struct {
		hex string
		end int
		ok  bool
	}{{"00", 1, true}, {"0161", 0, false}, {"016100", 3, true}, {"c00c", 2, true}, {"c0", 2, false}, {"80", 0, false}, {"", 0, false}} {
		b, _ := hex.DecodeString(tc.hex)
		if end, ok := skipName(b, 0); ok != tc.ok || ok && end != tc.end {
			t.Errorf("%s: got %d %v", tc.hex, end, ok)
		}
	}
	rr := append([]byte{0}, make([]byte, 10)...)
	binary.BigEndian.PutUint16(rr[9:], 1)
	if _, _, ok := skipRecord(rr, 0); ok {
		t.Error("a record longer than the message was taken")
	}
}
