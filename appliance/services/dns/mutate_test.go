package dns

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/wire/wiretest"
)

// TestMutated sends packets with some bytes changed, cut or repeated through the
// server, half of them guests' queries, half upstreams' answers: no panic,
// nothing said or kept that is not well-formed, no blocked address, no growth.
func TestMutated(t *testing.T) {
	var hosts []*mutant
	wiretest.Mutated(t, 200_000, 4<<20, func() func(*rand.Rand, int) {
		m := newMutant(t)
		hosts = append(hosts, m)
		return m.run
	})
	var said, kept, passed uint64
	for _, m := range hosts {
		said, kept, passed = said+m.said, kept+m.kept, passed+m.b.srv.counters[countUpstreamMismatch].Load()
	}
	t.Logf("%d queries answered, %d answers kept, %d passed over", said, kept, passed)
	if said == 0 || kept == 0 || passed == 0 {
		t.Error("not every way was gone")
	}
}

// mutant is a server with a cache and an upstream that takes no questions.
type mutant struct {
	t          *testing.T
	b          *bench
	random     *rand.Rand
	queries    [][]byte
	answers    []seedAnswer
	said, kept uint64
}

// seedAnswer is a good answer, and what was asked.
type seedAnswer struct {
	ask  ask
	sent sent
	msg  []byte
}

func newMutant(t *testing.T) *mutant {
	m := &mutant{t: t, b: newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}
	})}
	m.b.srv.limits.flights = 0
	m.seedQueries()
	m.seedAnswers()
	return m
}

func (m *mutant) seedQueries() {
	for _, name := range []string{"web.lan.example", "clash", "a.deep.lan.example", www, "9.2.1.10.in-addr.arpa", "localhost"} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeSOA} {
			q := question(name, qtype)
			m.queries = append(m.queries, pack(m.t, q))
			q.SetEdns0(1232, qtype == dns.TypeA)
			m.queries = append(m.queries, pack(m.t, q))
		}
	}
	m.queries = append(m.queries, cookieQuery(m.t, "0102030405060708"), longName(255), longName(256))
}

func (m *mutant) seedAnswers() {
	for _, s := range []struct {
		qtype   uint16
		do      bool
		records []string // "@" before one: of the authority section
	}{
		{dns.TypeA, false, []string{www + ". 300 IN A 203.0.113.1", www + ". 300 IN A 127.0.0.1"}},
		{dns.TypeA, false, []string{www + ". 300 IN CNAME a.example.net.", "a.example.net. 300 IN CNAME b.example.net.", "b.example.net. 60 IN A 203.0.113.1"}},
		{dns.TypeAAAA, false, []string{www + ". 300 IN AAAA 2001:db8::1"}},
		{dns.TypeHTTPS, false, []string{www + `. 300 IN HTTPS 1 . alpn="h2,h3" ipv4hint=203.0.113.1 ipv6hint=2001:db8::1`}},
		{dns.TypeMX, false, []string{www + ". 300 IN MX 10 mail.example.org.", www + ". 300 IN MX 20 mail." + www + "."}},
		{dns.TypeTXT, false, []string{www + `. 300 IN TXT "a" "bc" "def"`}},
		{dns.TypeA, true, []string{"@example.org. 300 IN SOA a. b. 1 2 3 4 300", "@example.org. 300 IN NSEC a.example.org. A RRSIG"}},
		{dns.TypeA, true, []string{"example.org. 300 IN DNAME example.net.", www + ". 0 IN CNAME www.example.net.", "www.example.net. 9 IN A 203.0.113.1"}},
	} {
		a := seedAnswer{ask: ask{name: appendName(nil, www), qtype: s.qtype, dnssec: s.do}}
		a.sent = a.ask.pack(true, m.upstream().jar.option())
		r := truth(m.t, question(www, s.qtype), s.records...)
		r.SetEdns0(1232, s.do)
		r.IsEdns0().Option = append(r.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("01", 16)})
		r.Compress = true
		a.msg = pack(m.t, r)
		copy(a.msg, a.sent.packet[:2])
		copy(a.msg[headerLen:], a.sent.question)
		copy(a.msg[bytes.Index(a.msg, []byte{0, optionCookie, 0, 16})+4:], m.upstream().jar.client[:])
		m.answers = append(m.answers, a)
	}
}

func (m *mutant) resolver() *resolver { return m.b.net.table.Load().resolver }

func (m *mutant) upstream() *upstream { return m.resolver().upstreams[0] }

// run has the server take count packets.
func (m *mutant) run(random *rand.Rand, count int) {
	m.random = random
	buf, out := make([]byte, 0, 2*maxMessage), make([]byte, 0, maxMessage)
	for i := 0; i < count && !m.t.Failed(); i += 2 {
		m.query(mutate(m.random, append(buf[:0], m.queries[m.random.IntN(len(m.queries))]...), 0), out[:0])
		a := &m.answers[m.random.IntN(len(m.answers))]
		from := headerLen + len(a.sent.question)
		if m.random.IntN(4) == 0 {
			from = 0
		}
		m.answer(a, mutate(m.random, append(buf[:0], a.msg...), from))
	}
}

// query gives the network a packet as a guest's, from any address and over either
// transport.
func (m *mutant) query(pkt, out []byte) {
	defer m.panicked("query", slices.Clone(pkt))
	m.b.pass(time.Millisecond)
	q := query{overTCP: m.random.IntN(8) == 0}
	tcp := q.overTCP
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 2, byte(m.random.Uint32())}), 40000)
	reply := m.b.net.respond(out, &q, pkt, m.b, from, m.b.at, &m.b.tally)
	if len(reply) == 0 {
		if len(pkt) >= headerLen && pkt[2]&0x80 == 0 {
			m.t.Errorf("silence to a query %x", pkt)
		}
		return
	}
	m.said++
	switch {
	case len(pkt) < headerLen || pkt[2]&0x80 != 0:
		m.t.Errorf("%x answered with %x", pkt, reply)
	case !bytes.Equal(reply[:2], pkt[:2]) || reply[2]&0x80 == 0 || !tcp && len(reply) > ednsUDPSize || !whole(reply):
		m.t.Errorf("reply to %x: %x", pkt, reply)
	}
}

// answer gives the resolver a datagram as its upstream's, keeps what it makes of
// it, and has it served.
func (m *mutant) answer(a *seedAnswer, msg []byte) {
	orig := slices.Clone(msg)
	defer m.panicked("answer", orig)
	r := m.resolver()
	e, err, done := r.read(&a.sent, m.upstream(), &a.ask, msg)
	if err != nil && strings.Contains(err.Error(), "codec") {
		m.t.Errorf("fault in the codec: %v: %x", err, orig)
	}
	if err != nil || !done {
		return
	}
	m.kept++
	key := keyOf(new([maxNameLen + 3]byte), a.ask.name, a.ask.qtype, a.ask.dnssec, false)
	r.keep(&flight{key: string(key), ask: a.ask}, e)
	q := query{overTCP: true}
	ask := a.ask.pack(true, nil).packet
	if q.parse(ask, true) != parsedOK {
		m.t.Errorf("not a question: %x", ask)
		return
	}
	reply := m.b.net.fromEntry(nil, &q, e, guest.Addr(), e.stored, &m.b.tally)
	if !whole(reply) || e.ttl > maxPositiveTTL {
		m.t.Errorf("kept %x of %x, TTL %d", reply, orig, e.ttl)
	}
	if m.random.IntN(64) == 0 {
		m.read(reply, orig)
	}
}

// read has the codec look at a reply too.
func (m *mutant) read(reply, orig []byte) {
	var msg dns.Msg
	if err := msg.Unpack(reply); err != nil {
		m.t.Errorf("kept %x of %x: %v", reply, orig, err)
	}
	for _, rr := range msg.Answer {
		if a, ok := rr.(*dns.A); ok && a.A.IsLoopback() {
			m.t.Errorf("rebound: %v of %x", a, orig)
		}
	}
}

func (m *mutant) panicked(what string, pkt []byte) {
	if r := recover(); r != nil {
		m.t.Errorf("panic on %s %x: %v", what, pkt, r)
	}
}

// whole reports whether a message has the records that its header says, and
// nothing behind them.
func whole(msg []byte) bool {
	off := headerLen
	var ok bool
	for range be16(msg[4:]) {
		if off, ok = skipName(msg, off); !ok {
			return false
		}
		off += 4
	}
	for range int(be16(msg[6:])) + int(be16(msg[8:])) + int(be16(msg[10:])) {
		if _, off, ok = skipRecord(msg, off); !ok {
			return false
		}
	}
	return off == len(msg)
}

// mutate changes a packet in one to four places from an offset on.
func mutate(random *rand.Rand, p []byte, from int) []byte {
	for range 1 + random.IntN(4) {
		if from >= len(p) { // nothing left
			return p
		}
		at := from + random.IntN(len(p)-from)
		switch random.IntN(6) {
		case 0:
			p[at] = byte(random.Uint32())
		case 1:
			p[at] ^= 1 << random.IntN(8)
		case 2:
			p[at] = []byte{0, 1, 2, 5, 12, 41, 63, 64, 127, 192, 255}[random.IntN(11)]
		case 3:
			p = p[:at]
		case 4: // a part again
			n := min(random.IntN(64), len(p)-at, maxMessage-len(p))
			if n > 0 {
				p = append(p[:at+n], p[at:]...)
			}
		default: // a part gone
			n := min(random.IntN(64), len(p)-at)
			p = append(p[:at], p[at+n:]...)
		}
	}
	return p
}

// TestCutRecords: a record whose data end before they are complete, at the end
// of a field, makes an answer unreadable; the codec takes it for whole.
func TestCutRecords(t *testing.T) {
	for qtype, data := range map[uint16][]byte{
		dns.TypeSOA:   {0},
		dns.TypeMX:    {0, 10},
		dns.TypeSRV:   {0, 1, 0, 1, 0, 53},
		dns.TypeHTTPS: {0, 1},
		dns.TypeSVCB:  {0, 1},
		dns.TypeNAPTR: {0, 1, 0, 1, 0, 0, 0},
		dns.TypeAFSDB: {0, 1},
		dns.TypeKX:    {0, 1},
		dns.TypeRP:    {0},
		dns.TypeRRSIG: {0, 1, 8, 2, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 9},
	} {
		msg := pack(t, truth(t, question(www, qtype)))
		msg[7] = 1
		msg = append(msg, 0xC0, headerLen, byte(qtype>>8), byte(qtype), 0, 1, 0, 0, 0, 9, 0, byte(len(data)))
		msg = append(msg, data...)
		e, err := digest(msg, &ask{name: appendName(nil, www), qtype: qtype}, nil)
		if !errors.Is(err, errMalformed) {
			t.Errorf("%s: %+v, %v", dns.TypeToString[qtype], e, err)
		}
	}
}
