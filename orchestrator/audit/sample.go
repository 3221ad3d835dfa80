package audit

import (
	"time"

	"golang.org/x/time/rate"
)

// Refusals that are recorded of one actor, in the long run and at once. Calls
// that were begun are all recorded.
const (
	refusalsPerSecond = 1
	refusalsAtOnce    = 60
	maxActors         = 4096
)

// sampler bounds what refused calls write: of each actor, and of all that are
// nobody or too many together, so that nobody can fill the disk or push out
// what others did.
type sampler struct {
	actors map[string]*sampled
	swept  time.Time
}

type sampled struct {
	bucket     *rate.Limiter
	suppressed int
}

func newSampler() *sampler { return &sampler{actors: map[string]*sampled{}} }

// take is whether a refusal is recorded, and how many were not before it.
func (s *sampler) take(actor string, now time.Time) (suppressed int, ok bool) {
	if now.Sub(s.swept) >= time.Minute {
		s.sweep(now)
	}
	one, known := s.actors[actor]
	if !known && len(s.actors) >= maxActors {
		actor = ""
		one, known = s.actors[actor]
	}
	if !known {
		one = &sampled{bucket: rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)}
		s.actors[actor] = one
	}
	if !one.bucket.AllowN(now, 1) {
		one.suppressed++
		return 0, false
	}
	suppressed, one.suppressed = one.suppressed, 0
	return suppressed, true
}

func (s *sampler) sweep(now time.Time) {
	s.swept = now
	for actor, one := range s.actors {
		if one.bucket.TokensAt(now) >= refusalsAtOnce && one.suppressed == 0 {
			delete(s.actors, actor)
		}
	}
}
