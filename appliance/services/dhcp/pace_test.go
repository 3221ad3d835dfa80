package dhcp

import (
	"testing"
	"time"
)

// TestPace: requests that come every so often are waited for or left to gather.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		every   time.Duration
		gathers bool
	}{
		"a guest boots":        {time.Second, false},
		"4,000 a second":       {250 * time.Microsecond, false},
		"6,000 a second":       {166 * time.Microsecond, true},
		"as many as there are": {5 * time.Microsecond, true},
	} {
		var p pace
		now, rested := testTime, time.Duration(0)
		for i := time.Duration(1); i*c.every <= 3*paceWindow || i <= 100; i++ {
			if now = testTime.Add(i * c.every); now.Sub(testTime) < rested {
				p.saw(1) // came meanwhile
				continue
			}
			p.saw(1)
			rested = now.Sub(testTime) + p.rest(now)
		}
		if got := p.many; got != c.gathers {
			t.Errorf("%s: gathers %v", name, got)
		}
		if first, second := p.rest(now), p.rest(now); first > 0 && second > 0 {
			t.Errorf("%s: a rest in which nothing came is followed by another, not by waiting", name)
		}
		p.saw(1)
		if p.rest(now.Add(time.Second)) != 0 {
			t.Errorf("%s: the first request after a silence is not answered at once", name)
		}
	}
}

// TestPaceFirst: a receiver that was just made knows of no rate, and answers at
// once.
func TestPaceFirst(t *testing.T) {
	var p pace
	for range 5 {
		p.saw(1)
		if d := p.rest(testTime); d != 0 {
			t.Fatalf("rests for %v", d)
		}
	}
}

// TestRestless: a receiver that never rests lets others run.
func TestRestless(t *testing.T) {
	var p pace
	for range restlessAfter + 1 {
		if p.restless() {
			t.Fatal("restless too early")
		}
		p.saw(batch)
	}
	if !p.restless() {
		t.Error("not restless after many batches")
	}
	p.rest(testTime)
	if p.restless() {
		t.Error("restless after a rest")
	}
}
