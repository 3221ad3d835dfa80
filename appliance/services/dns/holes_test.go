package dns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// TestPastHoles has a test for each class of hole that DNS servers like this
// one have had, named for the class, and for the CVE where one stands for it.
// The ids are as in the changelogs of dnsmasq, Unbound and BIND, and in the
// advisories on BIND, systemd-resolved (CVE-2017-9217, -9445, -15908,
// CVE-2018-21029) and UDP servers that answer each other (CVE-2024-2169).
func TestPastHoles(t *testing.T) {
	for _, hole := range []struct {
		name string
		test func(t *testing.T)
	}{
		// Answers that are not the upstream's.
		{"CVE-2020-25684 DNSpooq: answer to a port that did not ask", holeOtherSource},
		{"CVE-2020-25685 DNSpooq: question compared by a weak hash", holeWeakQuestion},
		{"CVE-2020-25686 DNSpooq: a question asked many times at once", holeBirthday},
		{"CVE-2025-5994 Rebirthday: a question split by client subnet", holeSubnetSplits},
		{"CVE-2008-1447 Kaminsky: names beside the question are believed", holeSideNames},
		{"CVE-2021-25220 MaginotDNS: a forwarder's cache takes delegations", holeDelegationCached},
		{"CVE-2022-30698 ghost domains: what is withdrawn lives on", holeGhost},
		{"TuDoor: a bad answer ends the wait for the good one", holeEarlyGarbage},
		{"CVE-2017-9217: answer without a question", holeNoQuestion},
		{"CVE-2015-8000: record of another class", holeOtherClass},
		{"CVE-2018-21029: certificate for another name", holeOtherName},
		// Answers that hurt whoever reads them.
		{"CVE-2012-1667: record without data", holeNoData},
		{"CVE-2017-14491: answer larger than the buffer for it", holeLargeAnswer},
		{"CVE-2017-9445: TCP length that lies", holeLyingLength},
		{"CVE-2017-15908: type bitmap without end", holeBitmap},
		{"CVE-2023-50387 KeyTrap: hundreds of keys and signatures", holeKeyTrap},
		{"CVE-2024-8508: compression without bound", holeCompression},
		{"CVE-2020-12662 NXNSAttack: one question becomes many", holeReferral},
		{"CNAME chains and loops", holeChains},
		{"TTL of 2^31 and more", holeHugeTTL},
		// Queries that hurt whoever answers them.
		{"CVE-2024-2169: servers that answer answers", holeAnswersAnswered},
		{"CVE-2009-0696: dynamic update", holeOpcode(dns.OpcodeUpdate)},
		{"NOTIFY, STATUS and opcodes of the future", holeOpcode(dns.OpcodeNotify, dns.OpcodeStatus, 3, 6, 15)},
		{"CVE-2015-5477: TKEY", holeRefused(dns.TypeTKEY, dns.ClassINET)},
		{"zone transfers", holeRefused(dns.TypeAXFR, dns.ClassINET)},
		{"the server's version and name", holeRefused(dns.TypeTXT, dns.ClassCHAOS)},
		{"CVE-2024-1975: SIG(0), which costs a signature check", holeSignedQuery},
		{"CVE-2017-13704, CVE-2017-14496: sizes of packet and OPT that do not fit", holeSizes},
		{"CVE-2024-33655 DNSBomb: answers hoarded and sent at once", holeBomb},
		{"amplifiers: large answers to small queries", holeAmplify},
		{"names that point forward or to themselves", holePointers},
		// What should not be told.
		{"CVE-2021-3448: fixed source port", holeFixedPort},
		{"CVE-2023-28450: EDNS size that needs fragments", holeEDNSSize},
		{"client subnet passed on", holeSubnetLeaks},
		{"cache told to who may not ask", holeSnooping},
		{"an unchecked answer told to who wants it checked", holeChecking},
		{"AD set by who checked nothing", holeAD},
	} {
		t.Run(hole.name, hole.test)
	}
}

const (
	lie   = "www.example.org. 300 IN A 203.0.113.66"
	right = "www.example.org. 300 IN A 203.0.113.1"
)

// liedTo has an upstream that first sends lies, and the truth after a while;
// only the truth may come back, once asked for.
func liedTo(t *testing.T, lies func(q *dns.Msg, send func([]byte))) {
	t.Helper()
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		lies(q, send)
		time.Sleep(20 * time.Millisecond)
		send(pack(t, truth(t, q, right)))
	})
	b := withUpstream(t, up)
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" || up.seen.Load() != 1 {
		t.Errorf("%s after %d questions", got, up.seen.Load())
	}
}

func holeOtherSource(t *testing.T) {
	up := newStranger(t)
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	forged := make(chan struct{})
	up.set(func(q *dns.Msg, send func([]byte)) {
		up.mu.Lock()
		for port := range up.ports {
			if _, err := other.WriteToUDP(pack(t, truth(t, q, lie)), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); err != nil {
				t.Error(err)
			}
		}
		up.mu.Unlock()
		close(forged)
		time.Sleep(20 * time.Millisecond)
		send(pack(t, truth(t, q, right)))
	})
	b := withUpstream(t, up)
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" {
		t.Error(got)
	}
	<-forged
}

func holeWeakQuestion(t *testing.T) {
	liedTo(t, func(q *dns.Msg, send func([]byte)) {
		for i := range len(q.Question[0].Name) - 1 { // each letter changed, right id
			m := truth(t, q, lie)
			name := []byte(m.Question[0].Name)
			if name[i] != '.' {
				name[i] ^= 1
			}
			if m.Question[0].Name = string(name); name[i] != '.' {
				send(pack(t, m))
			}
		}
	})
}

func holeBirthday(t *testing.T) {
	up := newStranger(t)
	release := make(chan struct{})
	up.set(func(q *dns.Msg, send func([]byte)) {
		<-release
		send(pack(t, truth(t, q, right)))
	})
	b := withUpstream(t, up)
	const guests = 60
	for i := range guests {
		q := query{}
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 2, byte(1 + i)}), 1000)
		if got := b.net.respond(nil, &q, pack(t, question(www, dns.TypeA)), b, from, b.now(), &b.tally); got != nil {
			t.Fatalf("answered at once: %x", got)
		}
	}
	time.Sleep(50 * time.Millisecond)
	close(release)
	for range guests {
		<-b.wake
	}
	if n := up.seen.Load(); n != 1 {
		t.Errorf("one question of %d guests went out %d times", guests, n)
	}
}

// subnetQuery is a question with a client subnet (RFC 7871).
func subnetQuery(subnet string) *dns.Msg {
	m := question(www, dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.ParseIP(subnet)}}
	return m
}

func holeSubnetSplits(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		time.Sleep(50 * time.Millisecond)
		send(pack(t, truth(t, q, right)))
	})
	b := withUpstream(t, up)
	for i := range 30 {
		b.raw(pack(t, subnetQuery(fmt.Sprintf("198.51.%d.0", i))), false)
	}
	for range 30 {
		<-b.wake
	}
	if n := up.seen.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// poisoned asks for www with extra records in the answer, then for another name
// and type that these were about; that has to be asked anew.
func poisoned(t *testing.T, name string, qtype uint16, extras ...string) {
	t.Helper()
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		if strings.EqualFold(q.Question[0].Name, dns.Fqdn(www)) {
			send(pack(t, truth(t, q, append([]string{right}, extras...)...)))
			return
		}
		m := truth(t, q)
		m.Rcode = dns.RcodeNameError
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" {
		t.Errorf("extra records came through: %s", got)
	}
	if got := show(b.lookup(name, qtype)); got != "NXDOMAIN" || up.seen.Load() != 2 {
		t.Errorf("%s: %s after %d questions", name, got, up.seen.Load())
	}
	if b.cached() != 1 {
		t.Errorf("%d answers cached", b.cached())
	}
}

func holeSideNames(t *testing.T) {
	poisoned(t, "bank.example.org", dns.TypeA,
		"@example.org. 300 IN NS bank.example.org.", "+bank.example.org. 300 IN A 203.0.113.66", "bank.example.org. 300 IN A 203.0.113.66")
}

func holeDelegationCached(t *testing.T) {
	poisoned(t, "org.attacker.example", dns.TypeNS,
		"@org.attacker.example. 300 IN NS ns.attacker.example.", "@org. 300 IN NS ns.attacker.example.", "+ns.attacker.example. 300 IN A 203.0.113.66")
}

func holeGhost(t *testing.T) {
	up := newStranger(t)
	gone := false
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, right)
		if gone {
			m = truth(t, q, "@example.org. 60 IN SOA ns.example.org. root.example.org. 1 2 3 4 60", "+"+right)
			m.Rcode = dns.RcodeNameError
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	gone = true
	for range 3 { // asking does not make it live longer
		b.pass(99 * time.Second)
		b.lookup("ghost."+www, dns.TypeA)
	}
	b.pass(4 * time.Second)
	if got := show(b.lookup(www, dns.TypeA)); !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("after its TTL: %s", got)
	}
}

func holeEarlyGarbage(t *testing.T) {
	liedTo(t, func(q *dns.Msg, send func([]byte)) {
		good := pack(t, truth(t, q, lie))
		for _, b := range [][]byte{{}, good[:3], good[:12], good[:len(good)-1], append(bytes.Clone(good[:12]), 0xC0, 0x0C)} {
			send(b)
		}
	})
}

func holeNoQuestion(t *testing.T) {
	liedTo(t, func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, lie)
		m.Question = nil
		send(pack(t, m))
	})
}

func holeOtherClass(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 300 CH A 203.0.113.66", "www.example.org. 300 HS TXT x", right)
	if got := show(withUpstream(t, up).lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" {
		t.Error(got)
	}
}

func holeOtherName(t *testing.T) {
	s := newSecure(t, "dns.example", 0)
	if got := show(overTLS(t, s.addr(), "bank.example", s.ca).lookup(www, dns.TypeA)); got != "SERVFAIL" || s.shakes.Load() != 0 {
		t.Errorf("%s, %d questions told", got, s.shakes.Load())
	}
}

func holeNoData(t *testing.T) {
	liedTo(t, func(q *dns.Msg, send func([]byte)) {
		b := pack(t, truth(t, q))
		binary.BigEndian.PutUint16(b[6:], 1)
		send(append(b, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 0))
	})
}

func holeLargeAnswer(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		for i := range 80 { // more than was announced
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: 1, Ttl: 9}, A: net.IPv4(203, 0, 113, byte(i))})
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	q := question(www, dns.TypeA)
	q.SetEdns0(4096, false)
	if r := b.ask(q, false); !r.Truncated || len(r.Answer) != 0 || r.Len() > ednsUDPSize {
		t.Errorf("by UDP: %v", r)
	}
	if r := b.ask(q, true); len(r.Answer) != 80 {
		t.Errorf("over TCP: %d records", len(r.Answer))
	}
}

// overStream has an upstream that answers by TCP only, with these bytes.
func overStream(t *testing.T, frame []byte) *bench {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x82 // an answer, truncated
			_, _ = udp.WriteTo(buf[:n], from)
		}
	})
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(frame)
			c.Close()
		}
	})
	t.Cleanup(func() { ln.Close(); udp.Close(); all.Wait() })
	return newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	})
}

func holeLyingLength(t *testing.T) {
	for _, frame := range [][]byte{{0xFF, 0xFF, 1, 2, 3}, {0, 0}, {0}, {0, 3, 1, 2, 3}, bytes.Repeat([]byte{0, 0}, 100)} {
		b := overStream(t, frame)
		if got := show(b.lookup(www, dns.TypeA)); got != "SERVFAIL" || b.cached() != 0 {
			t.Errorf("frame %x: %s, %d cached", frame[:min(len(frame), 4)], got, b.cached())
		}
	}
	s := running(t, sample(), nil) // and the same from a guest
	for _, frame := range [][]byte{{0xFF, 0xFF, 1}, {0x10, 0x01, 1}, {0, 3, 1, 2, 3}} {
		conn := dialTCP(t, s)
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		if r, err := readFrame(conn); err == nil {
			t.Errorf("frame %x got %v", frame, r)
		}
	}
}

func holeBitmap(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		b := pack(t, truth(t, q))
		binary.BigEndian.PutUint16(b[8:], 1)
		send(append(b, 0xC0, 12, 0, 47, 0, 1, 0, 0, 0, 9, 0, 6, 0, 0, 0, 0xFF, 0, 0)) // windows of length 0
		send(pack(t, truth(t, q, right)))
	})
	if got := show(withUpstream(t, up).lookup(www, dns.TypeA)); !strings.HasPrefix(got, "NOERROR") {
		t.Error(got)
	}
}

func holeKeyTrap(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, right)
		for i := range 300 {
			m.Answer = append(m.Answer, &dns.RRSIG{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeRRSIG, Class: 1, Ttl: 300}, TypeCovered: dns.TypeA,
				Algorithm: 13, Labels: 3, OrigTtl: 300, KeyTag: uint16(i), SignerName: "example.org.", Signature: "AAAA",
			})
		}
		send(pack(t, m))
	})
	whole := up.overUDP
	up.setTCP(whole)
	up.mu.Lock()
	up.overUDP = func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Truncated = true
		send(pack(t, m))
	}
	up.mu.Unlock()
	b := withUpstream(t, up)
	q := question(www, dns.TypeA)
	q.SetEdns0(1232, true)
	if r := b.ask(q, true); len(r.Answer) != 301 || r.AuthenticatedData || up.seen.Load() != 1 {
		t.Errorf("%d records after %d questions", len(r.Answer), up.seen.Load())
	}
}

func holeCompression(t *testing.T) {
	// As many names as fit into a message, none like another: each is looked at
	// a bounded number of times, so memory grows with the message only.
	m := truth(t, question(www, dns.TypeMX))
	for i := range 2500 {
		m.Answer = append(m.Answer, &dns.MX{Hdr: dns.RR_Header{Name: dns.Fqdn(www), Rrtype: dns.TypeMX, Class: 1, Ttl: 9}, Mx: fmt.Sprintf("m%d.example.", i)})
	}
	msg := pack(t, m)
	q := &ask{name: appendName(nil, www), qtype: dns.TypeMX}
	allocations := testing.AllocsPerRun(1, func() {
		if e, err := digest(bytes.Clone(msg), q, nil); err != nil || len(e.body) > maxMessage || e.an != 2500 {
			t.Errorf("%v", err)
		}
	})
	if each := allocations / 2500; each > 20 {
		t.Errorf("%.0f allocations a record", each)
	}
}

func holeReferral(t *testing.T) {
	up := newStranger(t)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("@example.org. 300 IN NS n%d.victim.example.", i))
	}
	up.answers(many...)
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	time.Sleep(20 * time.Millisecond)
	if n := up.seen.Load(); n != 1 || b.cached() != 0 {
		t.Errorf("%d questions, %d cached", n, b.cached())
	}
}

func holeChains(t *testing.T) {
	long := []string{"www.example.org. 9 IN CNAME c0.example.org."}
	for i := range 100 {
		long = append(long, fmt.Sprintf("c%d.example.org. 9 IN CNAME c%d.example.org.", i, i+1))
	}
	for why, chain := range map[string][]string{
		"itself": {"www.example.org. 9 IN CNAME www.example.org."},
		"a ring": {"www.example.org. 9 IN CNAME b.example.org.", "b.example.org. 9 IN CNAME www.example.org."},
		"long":   append(long, "c100.example.org. 9 IN A 203.0.113.66"),
	} {
		up := newStranger(t)
		up.answers(chain...)
		b := withUpstream(t, up)
		r := b.ask(question(www, dns.TypeA), true)
		if len(r.Answer) > maxChain+1 || strings.Contains(show(r), " A ") || up.seen.Load() != 1 {
			t.Errorf("%s: %d records after %d questions: %s", why, len(r.Answer), up.seen.Load(), show(r))
		}
	}
}

func holeHugeTTL(t *testing.T) {
	for ttl, kept := range map[uint32]int{1 << 31: 0, 1<<32 - 1: 0, 1<<31 - 1: 1} {
		up := newStranger(t)
		up.answers(fmt.Sprintf("www.example.org. %d IN A 203.0.113.1", ttl))
		b := withUpstream(t, up)
		r := b.lookup(www, dns.TypeA)
		if len(r.Answer) != 1 || r.Answer[0].Header().Ttl > maxPositiveTTL || b.cached() != kept {
			t.Errorf("TTL %d: %v, %d cached", ttl, r.Answer, b.cached())
		}
	}
}

func holeAnswersAnswered(t *testing.T) {
	b := newBench(t, nil)
	for _, rcode := range []int{dns.RcodeSuccess, dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeRefused} {
		m := question("web", dns.TypeA)
		m.Response, m.Rcode = true, rcode
		if got := b.raw(pack(t, m), false); got != nil {
			t.Errorf("an answer with code %d was answered: %x", rcode, got)
		}
	}
	for _, junk := range [][]byte{nil, {0}, make([]byte, 11), bytes.Repeat([]byte{0xFF}, 600)} {
		if got := b.raw(junk, false); got != nil {
			t.Errorf("%d bytes of junk were answered: %x", len(junk), got)
		}
	}
}

func holeOpcode(opcodes ...int) func(t *testing.T) {
	return func(t *testing.T) {
		b := newBench(t, nil)
		for _, opcode := range opcodes {
			m := question("lan.example", dns.TypeSOA)
			m.Opcode = opcode
			if r := b.ask(m, false); r.Rcode != dns.RcodeNotImplemented || len(r.Answer)+len(r.Ns) != 0 {
				t.Errorf("opcode %d: %v", opcode, r)
			}
		}
	}
}

func holeRefused(qtype, class uint16) func(t *testing.T) {
	return func(t *testing.T) {
		up := newStranger(t)
		up.answers()
		b := withUpstream(t, up)
		for _, name := range []string{"lan.example", "example.org", "version.bind", "web.lan.example"} {
			m := question(name, qtype)
			m.Question[0].Qclass = class
			for _, tcp := range []bool{false, true} {
				if r := b.ask(m, tcp); r.Rcode != dns.RcodeRefused || len(r.Answer)+len(r.Ns) != 0 {
					t.Errorf("%s: %v", name, r)
				}
			}
		}
		if up.seen.Load() != 0 {
			t.Error("it was asked elsewhere")
		}
	}
}

func holeSignedQuery(t *testing.T) {
	b := newBench(t, nil)
	m := question("web", dns.TypeA)
	for range 20 {
		m.Extra = append(m.Extra, &dns.SIG{RRSIG: dns.RRSIG{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSIG, Class: dns.ClassANY}, Algorithm: 8, SignerName: "key.example.", Signature: strings.Repeat("AAAA", 32),
		}})
	}
	if r := b.ask(m, true); show(r) != "NOERROR aa A 10.1.2.10" || len(r.Extra) != 0 {
		t.Error(r)
	}
}

func holeSizes(t *testing.T) {
	b := newBench(t, nil)
	opt := func(size uint16, data ...byte) []byte {
		m := pack(t, question("web", dns.TypeA))
		m[11] = 1
		m = append(m, 0, 0, 41, byte(size>>8), byte(size), 0, 0, 0, 0)
		return append(append(m, byte(len(data)>>8), byte(len(data))), data...)
	}
	lying := opt(1232)
	lying[len(lying)-1] = 200 // says more than there is
	for why, c := range map[string]struct {
		pkt  []byte
		want int
	}{
		"OPT of size 0":              {opt(0), dns.RcodeSuccess},
		"OPT of size 65535":          {opt(0xFFFF), dns.RcodeSuccess},
		"option longer than the OPT": {opt(1232, 0, 10, 0, 200, 1), dns.RcodeFormatError},
		"option cut":                 {opt(1232, 0, 10, 0), dns.RcodeFormatError},
		"OPT longer than the packet": {lying, dns.RcodeFormatError},
		"unknown options":            {opt(1232, 0xFD, 0xE9, 0, 3, 1, 2, 3, 0, 99, 0, 0), dns.RcodeSuccess},
		"padded to the limit":        {opt(1232, append([]byte{0, 12, 5, 0}, make([]byte, 1280)...)...), dns.RcodeSuccess},
		"bytes behind the end":       {append(opt(1232), 0, 0), dns.RcodeFormatError},
	} {
		got := b.raw(c.pkt, false)
		var r dns.Msg
		if err := r.Unpack(got); err != nil || r.Rcode != c.want || len(got) > ednsUDPSize {
			t.Errorf("%s: %v %v", why, err, &r)
		}
	}
}

func holeBomb(t *testing.T) {
	up := newStranger(t)
	hold := make(chan struct{})
	up.set(func(*dns.Msg, func([]byte)) { <-hold })
	b := withUpstream(t, up)
	waiting := 0
	for range 500 {
		if b.raw(pack(t, question(www, dns.TypeA)), false) == nil {
			waiting++
		}
	}
	close(hold)
	if waiting > defaultLimits.waiters {
		t.Errorf("%d answers to one question are hoarded", waiting)
	}
}

func holeAmplify(t *testing.T) {
	b := newBench(t, func(c *agentv1.Content, _ *Config) {
		for i := range 200 {
			c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: "many", IP: netip.AddrFrom4([4]byte{10, 1, 2, byte(i)})})
		}
	})
	for _, edns := range []uint16{0, 512, 1232, 4096, 0xFFFF} {
		m := question("many", dns.TypeANY)
		if edns > 0 {
			m.SetEdns0(edns, true)
		}
		if got := b.raw(pack(t, m), false); len(got) > max(512, min(int(edns), ednsUDPSize)) {
			t.Errorf("EDNS %d: %d bytes", edns, len(got))
		}
	}
}

func holePointers(t *testing.T) {
	b := newBench(t, nil)
	for _, name := range []string{"\xc0\x0c", "\xc0\x0e", "\x01a\xc0\x0c", "\xc0\xff", "\x40a\x00", "\x80\x00", "\xff\xff\x00"} {
		pkt := append([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"), name+"\x00\x01\x00\x01"...)
		got := b.raw(pkt, false)
		if len(got) != headerLen || got[3]&0xF != dns.RcodeFormatError {
			t.Errorf("%x: %x", name, got)
		}
	}
	liedTo(t, func(q *dns.Msg, send func([]byte)) {
		b := pack(t, truth(t, q))
		binary.BigEndian.PutUint16(b[6:], 1)
		for _, to := range []int{len(b), len(b) + 1, 0x3FFF} {
			send(append(bytes.Clone(b), 0xC0|byte(to>>8), byte(to), 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4))
		}
	})
}

func holeFixedPort(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) { send(pack(t, truth(t, q))) }) // not kept
	b := withUpstream(t, up)
	for range 20 {
		b.lookup(www, dns.TypeA)
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if len(up.ports) < 15 { // by chance: below 1e-20
		t.Errorf("20 questions from %d ports", len(up.ports))
	}
}

func holeEDNSSize(t *testing.T) {
	up := newStranger(t)
	sizes := make(chan uint16, 1)
	up.set(func(q *dns.Msg, send func([]byte)) {
		sizes <- q.IsEdns0().UDPSize()
		send(pack(t, truth(t, q, right)))
	})
	b := withUpstream(t, up)
	q := question(www, dns.TypeA)
	q.SetEdns0(4096, false)
	if r := b.ask(q, false); r.IsEdns0().UDPSize() != ednsUDPSize {
		t.Errorf("guests are told %d", r.IsEdns0().UDPSize())
	}
	if got := <-sizes; got != ednsUDPSize {
		t.Errorf("upstreams are told %d", got)
	}
}

func holeSubnetLeaks(t *testing.T) {
	up := newStranger(t)
	options := make(chan []dns.EDNS0, 1)
	up.set(func(q *dns.Msg, send func([]byte)) {
		options <- q.IsEdns0().Option
		send(pack(t, truth(t, q, right)))
	})
	r := withUpstream(t, up).ask(subnetQuery("198.51.100.0"), false)
	for _, o := range append(<-options, r.IsEdns0().Option...) {
		if o.Option() == dns.EDNS0SUBNET {
			t.Errorf("the client's subnet was passed on: %v", o)
		}
	}
}

func holeSnooping(t *testing.T) {
	b := warm(t)
	m := question(www, dns.TypeA)
	m.RecursionDesired = false
	if r := b.ask(m, false); show(r) != "REFUSED" {
		t.Errorf("without RD: %s", show(r))
	}
}

func holeChecking(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, lie)
		if !q.CheckingDisabled {
			m = truth(t, q)
			m.Rcode = dns.RcodeServerFailure // what a validating upstream says of it
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	m := question(www, dns.TypeA)
	m.CheckingDisabled = true
	if got := show(b.ask(m, false)); got != "NOERROR A 203.0.113.66" {
		t.Errorf("unchecked: %s", got)
	}
	if got := show(b.lookup(www, dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("checked: %s", got)
	}
}

func holeAD(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, right)
		m.AuthenticatedData = true
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	m := question(www, dns.TypeA)
	m.AuthenticatedData = true
	for range 2 { // from the upstream, from the cache
		if r := b.ask(m, false); r.AuthenticatedData {
			t.Errorf("%v", r)
		}
	}
}
