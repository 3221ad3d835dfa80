package dhcp

import "time"

const (
	// gather is how long requests are left to gather where very many come: one
	// wake-up answers them all, and waking up is most of what an answer costs.
	// A guest waits for it one and a half times (README, "Waking up").
	gather = time.Millisecond
	// gatherFrom is how many have to come in that time; some 2,500 exchanges a
	// second. Below that each is answered at once.
	gatherFrom = 5
	// paceWindow is what the rate is taken over: long enough that the bursts of
	// a lower rate are not taken for very many.
	paceWindow = 50 * gather
	// restlessAfter is how many batches in a row, none of them waited for, make
	// a receiver that keeps others from running.
	restlessAfter = 16
)

// pace decides, for a receiver that found nothing more, between waiting for the
// next request, which is then answered at once, and sleeping while some gather.
type pace struct {
	n      int // requests since since
	since  time.Time
	many   bool // in the window before
	news   bool // since the last rest
	streak int
}

// saw tells that n requests were received.
func (p *pace) saw(n int) {
	if n > 0 {
		p.n += n
		p.news = true
		p.streak++
	}
}

// rest is for how long to sleep; 0 is to wait.
func (p *pace) rest(now time.Time) time.Duration {
	if took := now.Sub(p.since); took >= paceWindow {
		silence := took >= 2*paceWindow
		p.many = !silence && time.Duration(p.n)*gather >= gatherFrom*took
		p.n, p.since = 0, now
	}
	gathers := p.many && p.news
	p.news, p.streak = false, 0
	if gathers {
		return gather
	}
	return 0
}

// restless says that the receiver has not rested for long.
func (p *pace) restless() bool { return p.streak > restlessAfter }
