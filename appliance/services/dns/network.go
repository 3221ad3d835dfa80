package dns

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// network is the server of one guest network, apart from its sockets.
type network struct {
	table    atomic.Pointer[table]
	cookies  cookieKey
	epoch    int64 // Unix time of the clock's zero, in seconds
	clock    func() instant
	limits   *limits
	counters *counters
}

// table is what a network serves at a time: never changed, replaced whole.
type table struct {
	config   Config
	zone     *zone
	resolver *resolver
	guests   *guests
}

// respond answers a packet: the reply is put behind out, and nothing means
// silence, or that the answer comes later by w.by. It is the one way in for
// packets of both transports.
func (n *network) respond(out []byte, q *query, pkt []byte, by replier, from netip.AddrPort, now instant, t *tally) []byte {
	tab := n.table.Load()
	if !tab.guests.admit(from.Addr(), now, n.limits) {
		t[countRateLimited]++
		return out
	}
	a := answer{soa: noSOA}
	switch q.parse(pkt, q.overTCP) {
	case parsedSilence:
		t[countSilent]++
		return out
	case parsedFormat:
		t[countMalformed]++
		// What follows the question was not understood: say as little as can be.
		q.question, q.edns = nil, false
		a.rcode = rcodeFormat
	case parsedNotImp:
		t[countMalformed]++
		a.rcode = rcodeNotImp
	case parsedVersion:
		a.rcode = rcodeBadVers
	case parsedCookie:
	default:
		return n.question(out, tab, q, &a, pkt, by, from, now, t)
	}
	return n.finish(out, q, &a, from.Addr(), now)
}

// question answers a well-formed question.
func (n *network) question(out []byte, tab *table, q *query, a *answer, pkt []byte, by replier, from netip.AddrPort, now instant, t *tally) []byte {
	switch {
	case q.qclass != classIN || q.qtype == typeOPT || q.qtype == 0 || q.qtype >= firstMetaType && q.qtype < typeANY:
		// Other classes, CHAOS among them, tell of the server itself; transfers
		// and meta types are for nobody here.
		t[countRefused]++
		a.rcode = rcodeRefused
		return n.finish(out, q, a, from.Addr(), now)
	case tab.zone.lookup(q, a):
		t[countLocal]++
		return n.finish(out, q, a, from.Addr(), now)
	case q.flags&flagRD == 0 || len(tab.resolver.upstreams) == 0:
		t[countRefused]++ // without RD the cache would tell guests of each other
		a.rcode = rcodeRefused
		return n.finish(out, q, a, from.Addr(), now)
	}
	var buf [maxNameLen + 3]byte
	key := keyOf(&buf, q.lower(), q.qtype, q.dnssec, q.flags&flagCD != 0)
	fresh, stale := tab.resolver.find(q, key, now)
	if fresh != nil {
		if fresh.wantsRefresh(now) && tab.guests.mayForward(from.Addr(), now, n.limits) &&
			tab.resolver.join(q, key, fresh, nil) == countPrefetch {
			t[countPrefetch]++
		}
		t[countHit]++
		return n.fromEntry(out, q, fresh, from.Addr(), now, t)
	}
	if !tab.guests.mayForward(from.Addr(), now, n.limits) {
		t[countRateLimited]++
		return out
	}
	kind := tab.resolver.join(q, key, stale, &waiter{
		net: n, packet: append([]byte(nil), pkt...), by: by, to: from, overTCP: q.overTCP,
	})
	t[kind]++
	if kind != countOverload {
		return out
	}
	a.rcode = rcodeServFail
	return n.finish(out, q, a, from.Addr(), now)
}

// fromEntry answers with what an upstream said. Without a tally it counts
// directly.
func (n *network) fromEntry(out []byte, q *query, e *entry, addr netip.Addr, now instant, t *tally) []byte {
	a := answer{soa: noSOA}
	e.fill(&a, now)
	kind, special := countStale, true
	switch {
	case a.ede == edeStale:
	case a.ede == edeFiltered:
		kind = countFiltered
	case e.failure:
		kind = countServFail
	default:
		special = false
	}
	switch {
	case special && t != nil:
		t[kind]++
	case special:
		n.counters.count(kind)
	}
	return n.finish(out, q, &a, addr, now)
}

// finish puts the reply together, with a cookie for who sent one.
func (n *network) finish(out []byte, q *query, a *answer, addr netip.Addr, now instant) []byte {
	if !q.hasCookie {
		return appendReply(out, q, a, nil)
	}
	var cookie [clientCookieLen + serverCookieLen]byte
	ip := addr.As16()
	return appendReply(out, q, a, n.cookies.answer(&cookie, q, ip[:], uint32(n.epoch+int64(now/time.Second))))
}
