package datagram

import (
	"testing"
	"time"
)

// fed is a pace after batches of n packets, gap apart.
func fed(batches, n int, gap time.Duration) *Pace {
	p := NewPace()
	for range batches {
		p.came(n, n == Batch, p.last+gap)
	}
	return p
}

// TestOften: a receiver rests while packets come faster than it is worth waking
// up for, however they are bunched, and never while more wait already.
func TestOften(t *testing.T) {
	for _, c := range []struct {
		why        string
		batches, n int
		gap        time.Duration
		want       bool
	}{
		{"the first packet of all", 1, 1, time.Hour, false},
		{"one a second", 100, 1, time.Second, false},
		{"1,000 a second", 100, 1, time.Millisecond, false},
		{"a burst after silence", 1, 20, time.Hour, false},
		{"20,000 a second", 100, 1, 50 * time.Microsecond, true},
		{"20,000 a second in batches", 100, 4, 200 * time.Microsecond, true},
		{"more than a batch takes", 100, Batch, 50 * time.Microsecond, false},
	} {
		if got := fed(c.batches, c.n, c.gap).often(); got != c.want {
			t.Errorf("%s: rests %v", c.why, got)
		}
	}
}

// TestOftenEnds: the first packet after a pause is the end of resting.
func TestOftenEnds(t *testing.T) {
	p := fed(100, 4, 100*time.Microsecond)
	p.came(1, false, p.last+time.Millisecond)
	if p.often() {
		t.Errorf("rests after a pause, gap %v", p.gap)
	}
}

// TestRestGivesUp: the processor is given up once in restsHeld+1 rests.
func TestRestGivesUp(t *testing.T) {
	p := fed(100, 4, 100*time.Microsecond)
	for range 3 {
		for want := 1; want <= restsHeld; want++ {
			if p.Rest(); p.held != want {
				t.Fatalf("rest %d, held %d", want, p.held)
			}
		}
		if p.Rest(); p.held != 0 {
			t.Fatalf("the processor was held %d times", p.held)
		}
	}
}
