package reconcile

import "time"

// calm is how long a build must be ago to be of no account for the next one.
const calm = 2 * time.Minute

// spacing keeps builds of one router apart. The first that is needed begins at
// once; while they follow each other, as with a domain that dies soon after
// each start, the distance grows from firstRetry to lastRetry.
type spacing struct {
	last time.Time
	gap  time.Duration
}

// wait is how much too early it is for a build; zero or less: not at all.
func (s *spacing) wait(now time.Time) time.Duration {
	return s.last.Add(s.gap).Sub(now)
}

// begin notes a build.
func (s *spacing) begin(now time.Time) {
	if now.Sub(s.last) > calm {
		s.gap = firstRetry
	} else {
		s.gap = min(2*s.gap, lastRetry)
	}
	s.last = now
}
