package dns

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// limits are the server's bounds.
type limits struct {
	// guestRate and guestBurst bound a guest's queries a second while other
	// guests ask too; one that is alone may have the whole router.
	guestRate, guestBurst uint32
	// forwardRate and forwardBurst bound what a guest's queries may cost
	// upstream, a second, always.
	forwardRate, forwardBurst uint32
	// flights and waiters bound the questions under way of one network, and
	// who waits for one of them.
	flights, waiters int
	// cacheBytes is for all networks together.
	cacheBytes int
	// tcpConns and tcpPerGuest bound the connections of one network.
	tcpConns, tcpPerGuest int
	// tcpIdle is how long a connection may say nothing; tcpFrame how long it may
	// take to send a query once begun, or to take an answer.
	tcpIdle, tcpFrame time.Duration
	// tcpPipeline bounds the unanswered queries of a connection, tcpBytes what
	// it may send in all.
	tcpPipeline, tcpBytes int
}

var defaultLimits = limits{
	guestRate: 20000, guestBurst: 5000,
	forwardRate: 1000, forwardBurst: 2000,
	flights: 256, waiters: 64,
	cacheBytes: 16 << 20,
	tcpConns:   256, tcpPerGuest: 16,
	tcpIdle: 10 * time.Second, tcpFrame: 5 * time.Second,
	tcpPipeline: 64, tcpBytes: 64 << 20,
}

// bucket is a token bucket in one word: the time it was last empty, in
// microseconds. Tokens are the time since then, so taking one is moving that
// time forward (the virtual scheduling form of GCRA).
type bucket struct{ at atomic.Int64 }

// take takes a token that comes rate times a second, burst at most saved up.
func (b *bucket) take(now instant, rate, burst uint32) bool {
	us, cost := now.Microseconds(), int64(1e6)/int64(rate)
	floor := us - int64(burst)*cost
	for {
		at := b.at.Load()
		next := max(at, floor) + cost
		if next > us {
			return false
		}
		if b.at.CompareAndSwap(at, next) {
			return true
		}
	}
}

// maxGuests bounds the table, a bucket pair (16 bytes) a guest. Up to a /16
// every guest of the subnet has its own; senders from beyond share outsiders.
const (
	maxGuests = 1 << 16
	outsiders = 64
)

// guests are the buckets of one network's guests.
type guests struct {
	subnet  netip.Prefix
	base    uint32
	mask    uint32
	answers []bucket
	asks    []bucket
	// last and switched tell whether one guest is alone: who asked last, and
	// when (microseconds) it last was somebody else than before.
	last     atomic.Uint32
	switched atomic.Int64
}

func newGuests(subnet netip.Prefix) *guests {
	n := min(1<<(32-subnet.Bits()), maxGuests)
	g := &guests{
		subnet: subnet, base: be32(subnet.Masked().Addr().AsSlice()), mask: uint32(n - 1),
		answers: newBuckets(n + outsiders), asks: newBuckets(n + outsiders),
	}
	g.last.Store(nobody)
	g.switched.Store(longAgo)
	return g
}

const (
	nobody  = ^uint32(0)
	longAgo = -int64(time.Hour / time.Microsecond) // the clock starts at 0
)

// newBuckets makes full buckets.
func newBuckets(n int) []bucket {
	b := make([]bucket, n)
	for i := range b {
		b[i].at.Store(longAgo)
	}
	return b
}

func (g *guests) index(a netip.Addr) uint32 {
	v := uint32(0)
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		v = binary.BigEndian.Uint32(b[:])
	}
	if g.subnet.Contains(a) {
		return (v - g.base) & g.mask
	}
	return g.mask + 1 + (v^v>>16)*0x9E3779B1>>26
}

// admit reports whether a guest's query is answered at all.
func (g *guests) admit(a netip.Addr, now instant, l *limits) bool {
	i := g.index(a)
	if last := g.last.Load(); last != i {
		g.last.Store(i)
		if last != nobody {
			g.switched.Store(now.Microseconds())
		}
	}
	if g.answers[i].take(now, l.guestRate, l.guestBurst) {
		return true
	}
	return now.Microseconds()-g.switched.Load() > 1e6
}

// mayForward reports whether a guest's query may go upstream.
func (g *guests) mayForward(a netip.Addr, now instant, l *limits) bool {
	return g.asks[g.index(a)].take(now, l.forwardRate, l.forwardBurst)
}
