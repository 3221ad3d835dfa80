package boot

import "time"

const (
	backoffStep = 100 * time.Millisecond
	backoffMax  = 5 * time.Second
	// steadyAfter is the life after which a death counts as the first again.
	steadyAfter = 10 * time.Second
)

// backoff says how long to wait before the next start. The first restart is
// immediate: the data plane forwards without the agent, but guests get no DHCP
// and DNS meanwhile.
type backoff struct{ quick int }

// next takes how long the process lived and returns the wait, from 0 to
// backoffMax.
func (b *backoff) next(lived time.Duration) time.Duration {
	if lived >= steadyAfter {
		b.quick = 0
	}
	b.quick++
	if b.quick == 1 {
		return 0
	}
	// 100 ms << 6 is over the maximum already; the bound also keeps the shift
	// from overflowing after days of crashes.
	return min(backoffStep<<min(b.quick-2, 6), backoffMax)
}
