package dns

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/wire/questions"
)

// resolver answers a network's questions from its cache or its upstreams. It is
// replaced, cache and all, when upstreams or blocked ranges change: what others
// said under other rules is not to be believed.
type resolver struct {
	ctx        context.Context
	log        *slog.Logger
	clock      func() instant
	limits     *limits
	counters   *counters
	background *sync.WaitGroup
	// sockets ask by UDP; nil: they could not be made, and each question is a
	// goroutine's.
	sockets   *questions.Sockets[*flight]
	upstreams []*upstream
	blocked   []netip.Prefix
	// over is how the upstreams are asked, and tls what it means; nil: plain.
	over  *agentv1.DNSTLS
	tls   *tls.Config
	cache *cache

	mu      sync.Mutex
	flights map[string]*flight
	// outage is set while nothing answers, so that the log says so once.
	outage bool
}

// sameSources reports whether a config asks the same upstreams under the same
// rules.
func (r *resolver) sameSources(c Config) bool {
	return slices.EqualFunc(r.upstreams, c.Upstreams, func(u *upstream, a netip.AddrPort) bool { return u.addr == a }) &&
		slices.Equal(r.blocked, c.Blocked) && reflect.DeepEqual(r.over, c.TLS)
}

func (r *resolver) count(c counter) { r.counters.count(c) }

// find looks a question up. It returns an entry to answer with now, or a stale
// one that may have to do.
func (r *resolver) find(q *query, key []byte, now instant) (fresh, stale *entry) {
	e := r.cache.get(key)
	if usable(e, now) {
		return e, nil
	}
	if !stalable(e, now) {
		e = nil
	}
	if q.dnssec {
		return nil, e // proofs are of this very name
	}
	var buf [maxNameLen + 3]byte
	noCheck := q.flags&flagCD != 0
	for at := 0; q.name[at] != 0; at += 1 + int(q.name[at]) {
		w := r.cache.get(keyOf(&buf, q.name[at:q.nameLen], typeWhole, false, noCheck))
		switch {
		case usable(w, now):
			return w, nil
		case at == 0 && stalable(w, now) && (e == nil || w.stored > e.stored):
			e = w
		}
	}
	return nil, e
}

// usable: in its TTL, or stale at a time when asking has just failed.
func usable(e *entry, now instant) bool {
	return e != nil && (now < e.expires || !e.failure && now < instant(e.retryAt.Load()) && now < e.expires+maxStale)
}

func stalable(e *entry, now instant) bool {
	return e != nil && !e.failure && now < e.expires+maxStale
}

// replier is what an answer goes out by.
type replier interface {
	// reply sends one message; one that cannot be sent is lost.
	reply(msg []byte, to netip.AddrPort)
}

// waiter is a guest that waits for a flight: its query, to answer with its own
// id and case.
type waiter struct {
	net     *network
	packet  []byte
	by      replier
	to      netip.AddrPort
	overTCP bool
}

// flight is one question under way (RFC 5452 §5: never two alike at a time).
type flight struct {
	key     string
	ask     ask
	stale   *entry
	waiters []waiter
	// Of the exchange that it begins with, see launch.
	r     *resolver
	order []*upstream
	sent  sent
	since time.Time
}

// join makes a guest wait for its question; overload means there is no room.
// Without a waiter it is a prefetch.
func (r *resolver) join(q *query, key []byte, stale *entry, w *waiter) counter {
	f, kind := r.enlist(q, key, stale, w)
	if f != nil {
		r.launch(f)
	}
	return kind
}

// enlist makes the flight if it is a new one.
func (r *resolver) enlist(q *query, key []byte, stale *entry, w *waiter) (*flight, counter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flights[string(key)]
	if f != nil {
		if w == nil || len(f.waiters) >= r.limits.waiters {
			return nil, countOverload
		}
		f.waiters = append(f.waiters, *w)
		return nil, countJoined
	}
	if len(r.flights) >= r.limits.flights {
		return nil, countOverload
	}
	f = &flight{key: string(key), stale: stale, r: r, since: time.Now(), ask: ask{
		name: slices.Clone(q.lower()), qtype: q.qtype, dnssec: q.dnssec, noCheck: q.flags&flagCD != 0,
	}}
	kind := countPrefetch
	if w != nil {
		f.waiters, kind = append(f.waiters, *w), countMiss
	}
	r.flights[f.key] = f
	return f, kind
}

// fly asks until there is something to say. A stale answer goes out early if the
// upstreams are slow (RFC 8767 §5, client response timer).
func (r *resolver) fly(f *flight, b *begun) {
	ctx, cancel := context.WithDeadline(r.ctx, f.since.Add(resolveTimeout))
	defer cancel()
	if f.stale != nil {
		timer := time.AfterFunc(time.Until(f.since.Add(staleAnswer)), func() {
			f.stale.retryAt.Store(int64(r.clock() + resolveTimeout - staleAnswer))
			r.deliver(r.take(f, false), f.stale)
		})
		defer timer.Stop()
	}
	e, err := r.resolve(ctx, f, b)
	if r.ctx.Err() != nil {
		r.take(f, true)
		return // closing: nobody to answer to
	}
	if err != nil {
		r.deliver(r.take(f, true), r.fail(f, err))
		return
	}
	r.land(f, e)
}

// land keeps and answers.
func (r *resolver) land(f *flight, e *entry) {
	r.keep(f, e)
	r.deliver(r.take(f, true), e)
}

// take takes those who wait; the last time, it ends the flight too.
func (r *resolver) take(f *flight, end bool) []waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end {
		delete(r.flights, f.key)
	}
	w := f.waiters
	f.waiters = nil
	return w
}

// keep puts a good answer into the cache.
func (r *resolver) keep(f *flight, e *entry) {
	r.setOutage(false, nil)
	e.stored = r.clock()
	e.expires = e.stored + time.Duration(e.ttl)*time.Second
	key := f.key
	if e.wholeName {
		var buf [maxNameLen + 3]byte
		key = string(keyOf(&buf, f.ask.name, typeWhole, false, f.ask.noCheck))
	}
	if e.ttl > 0 {
		r.cache.put(key, e)
	}
}

// fail finds what to say when no upstream answered: what is known from before
// (RFC 8767), else SERVFAIL, which is kept for a while (RFC 9520).
func (r *resolver) fail(f *flight, err error) *entry {
	now := r.clock()
	r.setOutage(true, err)
	if f.stale != nil {
		f.stale.retryAt.Store(int64(now + staleRecheck))
		return f.stale
	}
	var before time.Duration
	if old := r.cache.get([]byte(f.key)); old != nil && old.failure && now < old.expires+maxFailure {
		before = old.failedFor
	}
	e := newFailure(now, before)
	r.cache.put(f.key, e)
	return e
}

func (r *resolver) setOutage(out bool, err error) {
	r.mu.Lock()
	changed := r.outage != out
	r.outage = out
	r.mu.Unlock()
	switch {
	case changed && out:
		r.log.Warn("dns upstreams do not answer", "err", err)
	case changed:
		r.log.Info("dns upstreams answer again")
	}
}

// deliver answers those who waited.
func (r *resolver) deliver(waiters []waiter, e *entry) {
	var out []byte
	var q query
	for _, w := range waiters {
		if q.parse(w.packet, w.overTCP) != parsedOK {
			continue // it was parsed before; cannot be
		}
		now := r.clock()
		out = w.net.fromEntry(out[:0], &q, e, w.to.Addr(), now, nil)
		w.by.reply(out, w.to)
	}
}
