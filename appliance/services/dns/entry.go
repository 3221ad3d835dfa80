package dns

import (
	"sync/atomic"
	"time"
)

// Times of cached answers.
const (
	maxPositiveTTL = 24 * 60 * 60 // seconds; RFC 8767 §4 allows up to 7 days
	maxNegativeTTL = 3 * 60 * 60  // seconds; RFC 2308 §5
	filteredTTL    = 60           // seconds that a filtered answer stands
	staleTTL       = 30           // seconds; RFC 8767 §4
	maxStale       = 24 * time.Hour
	staleRecheck   = 30 * time.Second // RFC 8767 §5, failure recheck timer
	staleAnswer    = 1800 * time.Millisecond
	firstFailure   = time.Second // RFC 9520 §3.2: at least 1 s, at most 5 min
	maxFailure     = 30 * time.Second
	prefetchShare  = 10 // refresh in the last tenth of the life
	prefetchMinTTL = 20 // seconds; shorter ones are not worth it
)

// instant is a time on the server's monotonic clock, in nanoseconds.
type instant = time.Duration

// entry is one cached answer. All but the atomics is fixed once it is made, so
// a reader needs no lock.
type entry struct {
	// key is set by the cache.
	key string
	// answer fields; body's TTLs are patched when it is served.
	rcode  uint16
	an, ns uint16
	body   []byte
	ttlAt  []uint16
	ede    uint16
	// stored and expires; an entry is stale between expires and expires+maxStale.
	stored, expires instant
	// ttl in seconds; 0: passed on to those who wait, and not kept.
	ttl uint32
	// failure says that no upstream gave an answer (RFC 9520); failedFor is how
	// long that is believed.
	failure   bool
	failedFor time.Duration
	// wholeName: nothing exists at this name or below it (RFC 8020).
	wholeName bool

	// visited is the cache's; refreshing is set by the one who prefetches.
	visited, refreshing atomic.Bool
	// retryAt: while stale, the upstreams are not asked again before.
	retryAt atomic.Int64

	older, newer *entry // the cache's
}

// fill makes the entry an answer at a time: TTLs count down, and a stale one
// has 30 s (RFC 8767 §4).
func (e *entry) fill(a *answer, now instant) {
	a.rcode, a.an, a.ns = e.rcode, e.an, e.ns
	a.body, a.ttlAt, a.ede = e.body, e.ttlAt, e.ede
	switch {
	case e.ttl == 0:
		a.ttl = 0
	case now >= e.expires:
		a.ttl, a.ede = staleTTL, edeStale
	default:
		a.ttl = uint32((e.expires - now + time.Second - 1) / time.Second)
	}
}

// wantsRefresh reports whether the entry is near its end, once.
func (e *entry) wantsRefresh(now instant) bool {
	if e.failure || e.wholeName || e.ttl < prefetchMinTTL || e.expires-now > time.Duration(e.ttl)*time.Second/prefetchShare {
		return false
	}
	return !e.refreshing.Load() && e.refreshing.CompareAndSwap(false, true)
}

// size is what the entry takes in memory, in bytes: its struct, its map slot
// and its slices, as measured by TestCacheMemory.
func (e *entry) size() int { return entryOverhead + len(e.key) + cap(e.body) + 2*cap(e.ttlAt) }

const entryOverhead = 288

// newFailure is the cached failure of a question that failed before for
// `before` (0: the first time); it doubles from time to time (RFC 9520 §3.2).
func newFailure(now instant, before time.Duration) *entry {
	d := min(max(2*before, firstFailure), maxFailure)
	return &entry{
		rcode: rcodeServFail, failure: true, failedFor: d,
		stored: now, expires: now + d, ttl: uint32(d / time.Second),
	}
}
