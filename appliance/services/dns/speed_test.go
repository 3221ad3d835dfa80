package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/wire/datagram"
)

// thousands is a network of 10,000 guests.
func thousands(c *agentv1.Content, _ *Config) { many(c, 10000) }

func many(c *agentv1.Content, guests int) {
	c.DNS[0].Subnet = netip.MustParsePrefix("10.1.0.0/16")
	c.DNS[0].Records = nil
	for i := range guests {
		c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{
			Name: fmt.Sprintf("guest-%d", i), IP: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}),
		})
	}
}

// warm is a bench whose cache has www.example.org.
func warm(t testing.TB) *bench {
	up := newStranger(t)
	up.answers("www.example.org. 86400 IN A 203.0.113.1")
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	return b
}

// paths are the ways that a socket's loop answers by itself.
func paths(t testing.TB) map[string]struct {
	b   *bench
	pkt []byte
} {
	edns := question(www, dns.TypeA)
	edns.SetEdns0(1232, false)
	type path = struct {
		b   *bench
		pkt []byte
	}
	local := newBench(t, thousands)
	cached := warm(t)
	return map[string]path{
		"local name":   {local, pack(t, question("guest-7777.lan.example", dns.TypeA))},
		"local PTR":    {local, pack(t, question("97.30.1.10.in-addr.arpa", dns.TypePTR))},
		"no such name": {local, pack(t, question("nobody.lan.example", dns.TypeA))},
		"NODATA":       {local, pack(t, question("guest-7777.lan.example", dns.TypeAAAA))},
		"cookie":       {local, cookieQuery(t, "0102030405060708")},
		"cached":       {cached, pack(t, question(www, dns.TypeA))},
		"cached EDNS":  {cached, pack(t, edns)},
		"refused":      {local, pack(t, question(www, dns.TypeAXFR))},
		"malformed":    {local, []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")},
	}
}

// TestNoAllocations: what a socket's loop answers by itself costs no garbage.
func TestNoAllocations(t *testing.T) {
	for name, p := range paths(t) {
		var q query
		out := make([]byte, 0, ednsUDPSize)
		now := time.Hour
		got := testing.AllocsPerRun(1000, func() {
			now += time.Millisecond // within the guest's rate
			out = p.b.net.respond(out[:0], &q, p.pkt, p.b, guest, now, &p.b.tally)
		})
		if got != 0 || len(out) == 0 {
			t.Errorf("%s: %v allocations, %d bytes", name, got, len(out))
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	for name, p := range paths(b) {
		b.Run(name, func(b *testing.B) {
			var q query
			out := make([]byte, 0, ednsUDPSize)
			now := 2 * time.Hour
			b.ReportAllocs()
			for b.Loop() {
				now += 50 * time.Microsecond // the guest's rate
				out = p.b.net.respond(out[:0], &q, p.pkt, p.b, guest, now, &p.b.tally)
			}
		})
	}
}

// endless is a packet source that never waits: what is measured is the loop.
type endless struct {
	pkt  []byte
	left int
}

func (e *endless) Receive(in []datagram.Packet) (int, error) {
	if e.left <= 0 {
		return 0, net.ErrClosed
	}
	for i := range in {
		in[i] = datagram.Packet{Data: e.pkt, Peer: guest}
	}
	e.left -= len(in)
	return len(in), nil
}

func (e *endless) Send(out []datagram.Packet) (int, error) { return len(out), nil }
func (e *endless) SendOne(datagram.Packet) error           { return nil }
func (e *endless) Close() error                            { return nil }

func BenchmarkLoop(b *testing.B) {
	n := newBench(b, thousands)
	u := &udpSocket{net: n.net, packets: &endless{
		pkt: pack(b, question("guest-7777.lan.example", dns.TypeA)), left: b.N,
	}}
	b.ReportAllocs()
	b.ResetTimer()
	u.run(quiet)
}

// BenchmarkLoopback is the whole way, kernel included, with a window of 64
// queries under way from one socket.
func BenchmarkLoopback(b *testing.B) {
	c := sample()
	thousands(&c, nil)
	s := running(b, c, nil)
	conn, err := net.Dial("udp4", s.at("127.0.0.53"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	p := ipv4.NewPacketConn(conn.(net.PacketConn))
	const window = 64
	ms := make([]ipv4.Message, window)
	in := make([]ipv4.Message, window)
	for i := range ms {
		ms[i].Buffers = [][]byte{pack(b, question("guest-7777.lan.example", dns.TypeA))}
		in[i].Buffers = [][]byte{make([]byte, 512)}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += window {
		if _, err := p.WriteBatch(ms, 0); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < window; {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := p.ReadBatch(in, 0)
			if err != nil {
				b.Fatalf("after %d: %v", done+got, err)
			}
			got += n
		}
	}
}

// BenchmarkApply is one name moved among 65,000, from the whole content to the
// answer.
func BenchmarkApply(b *testing.B) {
	c := sample()
	many(&c, 65000)
	s := running(b, c, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.DNS = slices.Clone(c.DNS)
		c.DNS[0].Records = slices.Clone(c.DNS[0].Records)
		c.DNS[0].Records[0].IP = netip.AddrFrom4([4]byte{10, 1, 255, byte(i)})
		if err := s.Apply(b.Context(), c, loLinks); err != nil {
			b.Fatal(err)
		}
		if r, err := over(b, "udp", s.at("127.0.0.53"), c.DNS[0].Records[0].Name, dns.TypeA); err != nil || len(r.Answer) == 0 {
			b.Fatal(r, err)
		}
	}
}

// BenchmarkChange is the same as a change that the agent was sent.
func BenchmarkChange(b *testing.B) {
	c := sample()
	many(&c, 65000)
	c.Sort()
	s := running(b, c, nil)
	claims := NewClaims(c)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		was := c.DNS[0].Records[0]
		is := agentv1.DNSRecord{Name: was.Name, IP: netip.AddrFrom4([4]byte{10, 1, 255, byte(i)})}
		ch := agentv1.Change{DNS: []agentv1.RecordsEdit{{Interface: guestMAC, Records: agentv1.Edit[agentv1.DNSRecord]{
			Remove: []agentv1.DNSRecord{was}, Add: []agentv1.DNSRecord{is}}}}}
		next, err := c.Changed(ch)
		if err == nil {
			err = errors.Join(s.CheckChange(c, ch), claims.Check(next, ch))
		}
		if claims.Take(ch); err != nil {
			b.Fatal(err)
		}
		if err := s.Change(b.Context(), next, ch, loLinks); err != nil {
			b.Fatal(err)
		}
		if r, err := over(b, "udp", s.at("127.0.0.53"), is.Name, dns.TypeA); err != nil || len(r.Answer) != 1 {
			b.Fatal(r, err)
		}
		c = next
	}
}

// BenchmarkEveryName asks for each of 65,000 names in turn: memory is not in the
// processor's cache.
func BenchmarkEveryName(b *testing.B) {
	n := newBench(b, func(c *agentv1.Content, _ *Config) { many(c, 65000) })
	z := n.net.table.Load().zone
	queries := make([]query, 65000)
	for i := range queries {
		queries[i].parse(pack(b, question(fmt.Sprintf("guest-%d.lan.example", i*7919%len(queries)), dns.TypeA)), false)
	}
	for i := 0; b.Loop(); i++ {
		a := answer{soa: noSOA}
		if !z.lookup(&queries[i%len(queries)], &a) || a.an != 1 {
			b.Fatal("not found")
		}
	}
}

// BenchmarkNoChange is the same content once more, as the agent applies it
// every few seconds.
func BenchmarkNoChange(b *testing.B) {
	c := sample()
	many(&c, 65000)
	s := running(b, c, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Apply(b.Context(), c, loLinks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	q := &ask{name: appendName(nil, www), qtype: typeA}
	msg := pack(b, truth(b, question(www, dns.TypeA), "www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 300 IN A 203.0.113.1"))
	blocked := alwaysBlocked()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := digest(msg, q, blocked); err != nil {
			b.Fatal(err)
		}
	}
}
