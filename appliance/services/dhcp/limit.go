package dhcp

import (
	"math/bits"
	"time"
)

const (
	// limitRate is how many requests a second one sender is heard with, and
	// limitBurst how many at once. A guest that boots sends four, a farm of
	// nested guests behind one nic some hundreds.
	limitRate  = 1000
	limitBurst = 1000
	limitSlots = 4096
)

// limit keeps one sender on the link from making the server busy with itself,
// be it by its own MAC or by pretending to be others: what counts is the MAC
// that the frame came from. Senders share a slot now and then, so the rate is
// far above what one needs. Memory is fixed, whatever comes.
type limit struct {
	slots [limitSlots]struct {
		spent float64 // of limitBurst
		at    time.Duration
	}
	since time.Time
}

// take says whether a request of the sender is heard now.
func (l *limit) take(sender hw, now time.Time) bool {
	if l.since.IsZero() {
		l.since = now
	}
	at := now.Sub(l.since)
	s := &l.slots[slotOf(sender)]
	s.spent = max(0, s.spent-(at-s.at).Seconds()*limitRate)
	s.at = at
	if s.spent+1 > limitBurst {
		return false
	}
	s.spent++
	return true
}

// slotOf spreads MACs by multiplication: guests of one maker differ in few bits.
func slotOf(h hw) int {
	v := uint64(h[0])<<40 | uint64(h[1])<<32 | uint64(h[2])<<24 | uint64(h[3])<<16 | uint64(h[4])<<8 | uint64(h[5])
	return int(v * 0x9e3779b97f4a7c15 >> (64 - bits.Len(limitSlots-1)))
}
