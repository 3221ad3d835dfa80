package dns

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const www = "www.example.org"

// TestTTLCountsDown: RFC 1035 §4.1.3, and RFC 2181 §5.2: one TTL a set.
func TestTTLCountsDown(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 300 IN A 203.0.113.1", "www.example.org. 200 IN A 203.0.113.2")
	b := withUpstream(t, up)
	for _, tc := range []struct {
		pass time.Duration
		ttl  uint32
	}{{0, 200}, {0, 200}, {50 * time.Second, 150}, {100 * time.Second, 50}} {
		b.pass(tc.pass)
		for _, rr := range b.lookup("WWW.example.ORG", dns.TypeA).Answer {
			if rr.Header().Ttl != tc.ttl || rr.Header().Name != "WWW.example.ORG." {
				t.Errorf("after %v: %v, want TTL %d and the client's case", tc.pass, rr, tc.ttl)
			}
		}
	}
	if n := up.seen.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	b.pass(51 * time.Second)
	if b.lookup(www, dns.TypeA); up.seen.Load() != 2 {
		t.Errorf("asked %d times after the TTL", up.seen.Load())
	}
}

// TestTTLCap: nothing is kept for longer than a day.
func TestTTLCap(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 2147483647 IN A 203.0.113.1")
	b := withUpstream(t, up)
	if ttl := b.lookup(www, dns.TypeA).Answer[0].Header().Ttl; ttl != maxPositiveTTL {
		t.Errorf("TTL %d", ttl)
	}
}

// TestNegativeCache: RFC 2308 §5: for the smaller of the SOA's TTL and minimum;
// NXDOMAIN for every type, NODATA for the one asked for; RFC 8020: nothing
// below either.
func TestNegativeCache(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q, "@example.org. 900 IN SOA ns.example.org. root.example.org. 1 2 3 4 60")
		if dns.IsSubDomain("gone.example.org.", lowerName(q)) {
			m.Rcode = dns.RcodeNameError
		}
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	steps := []struct {
		name  string
		qtype uint16
		pass  time.Duration
		want  string
		asked int64
	}{
		{"gone.example.org", dns.TypeA, 0, "NXDOMAIN / example.org. SOA", 1},
		{"gone.example.org", dns.TypeMX, 0, "NXDOMAIN / example.org. SOA", 1},
		{"deep.below.gone.example.org", dns.TypeA, 0, "NXDOMAIN / example.org. SOA", 1},
		{"notgone.example.org", dns.TypeA, 0, "NOERROR / example.org. SOA", 2},
		{"notgone.example.org", dns.TypeA, 0, "NOERROR / example.org. SOA", 2},
		{"notgone.example.org", dns.TypeMX, 0, "NOERROR / example.org. SOA", 3},
		{"gone.example.org", dns.TypeA, 59 * time.Second, "NXDOMAIN / example.org. SOA", 3},
		{"gone.example.org", dns.TypeA, 2 * time.Second, "NXDOMAIN / example.org. SOA", 4},
	}
	for i, s := range steps {
		b.pass(s.pass)
		got := b.lookup(s.name, s.qtype)
		if show(got) != s.want || up.seen.Load() != s.asked {
			t.Errorf("step %d, %s: got %s after %d questions, want %s after %d", i, s.name, show(got), up.seen.Load(), s.want, s.asked)
		}
		if ttl := got.Ns[0].Header().Ttl; ttl > 60 {
			t.Errorf("step %d: TTL %d", i, ttl)
		}
	}
}

func lowerName(q *dns.Msg) string { return dns.CanonicalName(q.Question[0].Name) }

// TestDNSSECPassesThrough: a guest that validates gets signatures and proofs,
// apart from those who did not ask for them.
func TestDNSSECPassesThrough(t *testing.T) {
	const sig = "www.example.org. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.org. AAAA"
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		rrs := []string{"www.example.org. 300 IN A 203.0.113.1"}
		if o := q.IsEdns0(); o != nil && o.Do() {
			rrs = append(rrs, sig)
		}
		m := truth(t, q, rrs...)
		m.AuthenticatedData = true
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	for range 2 {
		if got := b.lookup(www, dns.TypeA); len(got.Answer) != 1 || got.AuthenticatedData {
			t.Errorf("without DO: %v", got)
		}
		m := question(www, dns.TypeA)
		m.SetEdns0(1232, true)
		if got := b.ask(m, false); len(got.Answer) != 2 || got.Answer[1].Header().Rrtype != dns.TypeRRSIG || got.AuthenticatedData {
			t.Errorf("with DO: %v", got)
		}
	}
	if n := up.seen.Load(); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

// TestSingleFlight: RFC 5452 §5: however many guests ask, one question is under
// way, and each gets the answer with its own id and case.
func TestSingleFlight(t *testing.T) {
	up := newStranger(t)
	release := make(chan struct{})
	up.set(func(q *dns.Msg, send func([]byte)) {
		<-release
		send(pack(t, truth(t, q, "www.example.org. 300 IN A 203.0.113.1")))
	})
	b := withUpstream(t, up)
	const n = 50
	for i := range n {
		m := question(www, dns.TypeA)
		m.Id = uint16(i)
		if got := b.raw(pack(t, m), false); got != nil {
			t.Fatalf("answered at once: %x", got)
		}
	}
	close(release)
	ids := map[uint16]bool{}
	for range n {
		<-b.wake
	}
	for _, msg := range b.late {
		ids[be16(msg)] = true
	}
	if len(ids) != n || up.seen.Load() != 1 {
		t.Errorf("%d answered, asked %d times; want %d, once", len(ids), up.seen.Load(), n)
	}
}

// TestStale: RFC 8767: with the upstreams dead, what was known is said with a
// TTL of 30 s, at once after the first failure; fresh data replaces it when
// they are back.
func TestStale(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 60 IN A 203.0.113.1")
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	up.set(nil)
	b.pass(61 * time.Second)
	timed := func(most time.Duration) *dns.Msg {
		t.Helper()
		start := time.Now()
		m := question(www, dns.TypeA)
		m.SetEdns0(1232, false)
		got := b.ask(m, false)
		if took := time.Since(start); took > most {
			t.Errorf("took %v, want at most %v", took, most)
		}
		return got
	}
	check := func(got *dns.Msg) {
		t.Helper()
		if show(got) != "NOERROR A 203.0.113.1" || got.Answer[0].Header().Ttl != staleTTL {
			t.Errorf("got %v, want the old answer with TTL %d", got, staleTTL)
		}
		if o := got.IsEdns0().Option; len(o) != 1 || o[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeStaleAnswer {
			t.Errorf("RFC 8914 §4.4: options %v", o)
		}
	}
	check(timed(staleAnswer + 500*time.Millisecond))
	check(timed(200 * time.Millisecond))
	waitFor(t, "the exchange gave up", func() bool {
		r := b.net.table.Load().resolver
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.flights) == 0
	})
	check(timed(200 * time.Millisecond))
	up.answers("www.example.org. 60 IN A 203.0.113.2")
	b.pass(staleRecheck + maxDown)
	if got := timed(time.Second); show(got) != "NOERROR A 203.0.113.2" {
		t.Errorf("back again: %s", show(got))
	}
	up.stop() // refused now: the next failure is quick
	b.pass(61*time.Second + maxStale)
	if got := b.lookup(www, dns.TypeA); show(got) != "SERVFAIL" {
		t.Errorf("after %v: %s", maxStale, show(got))
	}
}

// TestFailureCache: RFC 9520 §3.2: a failure is believed for a second, then for
// twice as long.
func TestFailureCache(t *testing.T) {
	up := newStranger(t)
	up.set(func(q *dns.Msg, send func([]byte)) {
		m := truth(t, q)
		m.Rcode = dns.RcodeServerFailure
		send(pack(t, m))
	})
	b := withUpstream(t, up)
	for i, step := range []struct {
		pass  time.Duration
		asked int64
	}{{0, 1}, {900 * time.Millisecond, 1}, {200 * time.Millisecond, 2}, {1900 * time.Millisecond, 2}, {200 * time.Millisecond, 3}} {
		b.pass(step.pass)
		if got := show(b.lookup(www, dns.TypeA)); got != "SERVFAIL" || up.seen.Load() != step.asked {
			t.Errorf("step %d: %s after %d questions, want %d", i, got, up.seen.Load(), step.asked)
		}
	}
}

// TestPrefetch: asked for near its end, an answer is renewed before it goes.
func TestPrefetch(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 100 IN A 203.0.113.1")
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	b.pass(95 * time.Second)
	up.answers("www.example.org. 100 IN A 203.0.113.2")
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.1" {
		t.Errorf("the old one is still good: %s", got)
	}
	waitFor(t, "prefetch", func() bool { return show(b.lookup(www, dns.TypeA)) == "NOERROR A 203.0.113.2" })
	if n := up.seen.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// TestNetworksApart: what one network's guests asked for is not seen by
// another's, nor are its names.
func TestNetworksApart(t *testing.T) {
	up := newStranger(t)
	up.answers("www.example.org. 300 IN A 203.0.113.1")
	one, two := withUpstream(t, up), withUpstream(t, up)
	one.lookup(www, dns.TypeA)
	two.lookup(www, dns.TypeA)
	if up.seen.Load() != 2 {
		t.Errorf("asked %d times: networks share a cache", up.seen.Load())
	}
}

// TestNewUpstreamsNewCache: what old upstreams said is forgotten with them;
// other changes keep it.
func TestNewUpstreamsNewCache(t *testing.T) {
	up, next := newStranger(t), newStranger(t)
	up.answers("www.example.org. 300 IN A 203.0.113.1")
	next.answers("www.example.org. 300 IN A 203.0.113.2")
	b := withUpstream(t, up)
	b.lookup(www, dns.TypeA)
	apply := func(cfg Config) {
		old := b.net.table.Load()
		tab := b.srv.newTable(old, cfg, 1)
		tab.resolver.clock = b.now
		b.net.table.Store(tab)
	}
	cfg := b.net.table.Load().config
	cfg.Records = append(cfg.Records, agentv1.DNSRecord{Name: "new", IP: netip.MustParseAddr("10.1.2.99")})
	apply(cfg)
	if b.lookup(www, dns.TypeA); up.seen.Load() != 1 {
		t.Errorf("another record: asked %d times", up.seen.Load())
	}
	if got := show(b.lookup("new", dns.TypeA)); got != "NOERROR aa A 10.1.2.99" {
		t.Errorf("the new record: %s", got)
	}
	cfg.Upstreams = []netip.AddrPort{next.addr()}
	apply(cfg)
	if got := show(b.lookup(www, dns.TypeA)); got != "NOERROR A 203.0.113.2" {
		t.Errorf("another upstream: %s", got)
	}
}

// TestCacheMemory: the limit holds, in the heap too, whatever is asked.
func TestCacheMemory(t *testing.T) {
	const limit, puts = 8 << 20, 100000
	before := heap()
	c := newCache(limit)
	for i := range puts {
		e := &entry{body: make([]byte, 16+i%300), ttlAt: make([]uint16, 1+i%4), expires: time.Hour}
		c.put(fmt.Sprintf("name-%d.some-zone.example", i), e)
	}
	grown := int(heap() - before)
	entries, bytes, evicted := c.usage()
	if bytes > limit || entries == 0 || entries+int(evicted) != puts {
		t.Errorf("%d entries, %d bytes, %d evicted", entries, bytes, evicted)
	}
	if grown > limit*11/10 || grown < limit/2 {
		t.Errorf("the heap grew by %d for a limit of %d: %d an entry, of which %d are counted", grown, limit, grown/entries, bytes/entries)
	}
	c.put("big.example", &entry{body: make([]byte, limit/cacheShards/16)})
	if c.get([]byte("big.example")) != nil {
		t.Error("an entry larger than its share was kept")
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCacheKeepsWhatIsAsked: SIEVE spares what was asked for again.
func TestCacheKeepsWhatIsAsked(t *testing.T) {
	c := newCache(1 << 20)
	hot := []byte("hot.example")
	c.put(string(hot), &entry{})
	for i := range 50000 {
		c.put(fmt.Sprintf("cold-%d.example", i), &entry{body: make([]byte, 64)})
		if c.get(hot) == nil {
			t.Fatalf("gone after %d others", i)
		}
	}
}

// TestGuestRate: a guest that floods is held back while others ask, may go on
// when it is alone, and never gets more than its share upstream.
func TestGuestRate(t *testing.T) {
	l := &limits{guestRate: 1000, guestBurst: 10, forwardRate: 100, forwardBurst: 5}
	g := newGuests(netip.MustParsePrefix("10.1.2.0/24"))
	flood, other := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.4")
	now := time.Hour
	admitted := func(n int) (ok int) {
		for range n {
			if g.admit(flood, now, l) {
				ok++
			}
		}
		return ok
	}
	if n := admitted(1000); n != 1000 {
		t.Errorf("alone: %d of 1000", n)
	}
	if !g.admit(other, now, l) {
		t.Error("the other one is held back")
	}
	if n := admitted(1000); n > 10 {
		t.Errorf("beside another: %d of 1000 at once", n)
	}
	now += 100 * time.Millisecond
	g.admit(other, now, l)
	if n := admitted(1000); n < 5 || n > 10 {
		t.Errorf("after 100 ms: %d, want its burst of 10", n)
	}
	var up int
	for range 100 {
		if g.mayForward(flood, now, l) {
			up++
		}
	}
	if up != 5 {
		t.Errorf("upstream: %d, want the burst of 5", up)
	}
}

// TestGuestsHaveTheirOwn: in one subnet no two guests share a bucket.
func TestGuestsHaveTheirOwn(t *testing.T) {
	for _, p := range []string{"10.1.2.0/24", "10.1.2.64/26", "10.4.0.0/16", "192.168.7.9/32"} {
		prefix := netip.MustParsePrefix(p)
		g := newGuests(prefix)
		seen := map[uint32]bool{}
		for a := prefix.Masked().Addr(); prefix.Contains(a); a = a.Next() {
			i := g.index(a)
			if seen[i] || int(i) >= len(g.answers) {
				t.Fatalf("%s: %v has bucket %d", p, a, i)
			}
			seen[i] = true
		}
		for range 1000 {
			if i := g.index(netip.AddrFrom4([4]byte{8, 8, 4, byte(len(seen))})); seen[i] || int(i) >= len(g.answers) {
				t.Fatalf("%s: a stranger has guest's bucket %d", p, i)
			}
		}
	}
}

// TestOverload: a network has no more questions under way than its limit, and
// says so.
func TestOverload(t *testing.T) {
	up := newStranger(t)
	up.set(nil)
	b := withUpstream(t, up)
	b.srv.limits.flights, b.srv.limits.waiters = 3, 2
	refused := 0
	for i := range 5 {
		if b.raw(pack(t, question(fmt.Sprintf("n%d.example.org", i), dns.TypeA)), false) != nil {
			refused++
		}
	}
	for range 4 {
		if b.raw(pack(t, question("n0.example.org", dns.TypeA)), false) != nil {
			refused++
		}
	}
	if refused != 2+3 {
		t.Errorf("%d refused, want 5", refused)
	}
}

// TestUpstreamGone: a closed port answers at once with ICMP; that must not take
// the guest's patience.
func TestUpstreamGone(t *testing.T) {
	b := newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{closedPort(t)}
	})
	start := time.Now()
	if got := show(b.lookup(www, dns.TypeA)); got != "SERVFAIL" || time.Since(start) > time.Second {
		t.Errorf("%s after %v", got, time.Since(start))
	}
}
