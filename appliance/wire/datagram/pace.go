package datagram

import (
	"time"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

// Waking up for a packet costs more than answering it. While packets come
// often, a receiver lets some come together; while they do not, it takes each
// at once.
const (
	// oftenGap is the mean time between packets below which they come often.
	oftenGap = 80 * time.Microsecond
	// restFor is how long a receiver rests after a batch, in which it would have
	// been woken several times. The kernel adds its timer slack (50 us).
	restFor = 100 * time.Microsecond
	// restsHeld is how many rests in a row are taken without giving up the
	// processor. What else runs on it waits no longer than that for its turn.
	restsHeld = 7
)

// Pace decides when a receiver rests, and is one goroutine's.
type Pace struct {
	started time.Time
	last    time.Duration // when packets were last received
	gap     time.Duration // mean time between packets, over some batches
	more    bool          // the last batch did not take all there were
	held    int           // rests in a row
	nap     *mmsg.Nap
}

// NewPace makes the pace of a receiver that has received nothing yet.
func NewPace() *Pace {
	return &Pace{started: time.Now(), gap: time.Second, nap: mmsg.NapFor(restFor)}
}

// Came notes that n packets were received at a time, and whether more wait.
func (p *Pace) Came(n int, more bool) { p.came(n, more, time.Since(p.started)) }

func (p *Pace) came(n int, more bool, now time.Duration) {
	gap := min(now-p.last, time.Second) / time.Duration(max(n, 1))
	p.gap += (gap - p.gap) / 4
	p.last, p.more = now, more
}

// often reports whether it is worth while to rest before the next receive.
func (p *Pace) often() bool { return p.gap < oftenGap && !p.more }

// Rest waits a little, while packets come often. Most rests are naps, of which
// the Go scheduler is not told: it would go looking for work, and wake its
// monitor thread, which is what resting is to save. Now and then the processor
// is given up for good, so that whoever else needs it has it.
func (p *Pace) Rest() {
	switch {
	case !p.often():
	case p.held < restsHeld:
		p.held++
		p.nap.Take()
	default:
		p.held = 0
		time.Sleep(restFor)
	}
}
