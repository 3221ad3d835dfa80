package dns

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Times of asking.
const (
	resolveTimeout = 4500 * time.Millisecond // stub resolvers give up after 5 s
	tryWait        = 800 * time.Millisecond  // without an answer, the next one is asked as well
	maxTries       = 4
	failuresToDown = 3
	firstDown      = time.Second
	maxDown        = 8 * time.Second // how late a recovered upstream is noticed
)

var (
	errAllDown     = errors.New("all upstreams are down")
	errNoUpstreams = errors.New("no upstreams")
)

// upstream is a server asked, and what is known of its health.
type upstream struct {
	addr netip.AddrPort
	jar  jar
	idle idleConns

	mu       sync.Mutex
	failures int
	failedAt instant
	// downUntil is when it is tried again; only meaningful after failuresToDown.
	downUntil instant
}

// health is what to do with an upstream now.
type health uint8

const (
	healthy health = iota
	down
	due // down, and it is time to try: the caller is the one to do so
)

func (u *upstream) health(now instant) health {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.failures < failuresToDown:
		return healthy
	case now < u.downUntil:
		return down
	}
	u.downUntil = now + u.backoff()
	return due
}

func (u *upstream) backoff() time.Duration {
	return min(firstDown<<min(u.failures-failuresToDown, 8), maxDown)
}

// failed notes that there was no answer. Questions that were under way together
// count once: a hundred of them are one outage.
func (u *upstream) failed(now instant) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failures > 0 && now-u.failedAt < tryWait/2 {
		return
	}
	u.failures++
	u.failedAt = now
	if u.failures >= failuresToDown {
		u.downUntil = now + u.backoff()
	}
}

func (u *upstream) answered() {
	u.mu.Lock()
	u.failures, u.downUntil = 0, 0
	u.mu.Unlock()
}

// candidates are the upstreams to ask now, in order. One that is due is asked
// beside a healthy one, so that no guest waits for the trial; without a healthy
// one it is all there is.
func (r *resolver) candidates(q *ask) []*upstream {
	now := r.clock()
	var good, trial []*upstream
	for _, u := range r.upstreams {
		switch u.health(now) {
		case healthy:
			good = append(good, u)
		case due:
			trial = append(trial, u)
		}
	}
	if len(good) == 0 {
		return trial
	}
	for _, u := range trial {
		r.background.Go(func() {
			ctx, cancel := context.WithTimeout(r.ctx, 2*tryWait)
			defer cancel()
			if _, err := r.exchange(ctx, u, q, nil); says(err) {
				u.answered()
			} else {
				u.failed(r.clock())
			}
		})
	}
	return good
}

// says reports whether an exchange ended with an answer, if only a refusal.
func says(err error) bool {
	var rc rcodeError
	return err == nil || errors.As(err, &rc)
}

// result is how one try ended.
type result struct {
	u   *upstream
	e   *entry
	err error
}

// resolve asks the upstreams in order until one answers: the next one when one
// refuses or cannot be reached, and as well as the earlier ones, which may
// still answer, when there is silence for tryWait. It goes on with the exchange
// that has begun, if one has.
func (r *resolver) resolve(ctx context.Context, f *flight, b *begun) (*entry, error) {
	if len(r.upstreams) == 0 {
		return nil, errNoUpstreams
	}
	if len(f.order) == 0 {
		return nil, errAllDown
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := tries{r: r, q: &f.ask, order: f.order, given: make(map[*upstream]bool), blamed: make(map[*upstream]bool), results: make(chan result, maxTries)}
	t.start(ctx, b)
	wait := tryWait
	if b != nil && b.conn != nil {
		wait = 0 // it was silent for that long
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case res := <-t.results:
			t.running--
			if says(res.err) {
				res.u.answered()
			} else {
				t.blame(res.u)
			}
			if res.err == nil {
				return res.e, nil
			}
			t.given[res.u], t.last = true, res.err
			if !t.start(ctx, nil) && t.running == 0 {
				return nil, t.last
			}
			timer.Reset(tryWait)
		case <-timer.C:
			t.blame(t.newest)
			t.start(ctx, nil)
			timer.Reset(tryWait)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), t.last)
		}
	}
}

// tries are the exchanges of one question.
type tries struct {
	r       *resolver
	q       *ask
	order   []*upstream
	results chan result
	// given have answered, if only with a refusal: they are not asked again.
	given map[*upstream]bool
	// blamed were silent or out of reach.
	blamed         map[*upstream]bool
	newest         *upstream
	begun, running int
	last           error
}

// start begins the next try, or takes up the one that has begun; false: there is
// none left.
func (t *tries) start(ctx context.Context, b *begun) bool {
	for range len(t.order) {
		if t.begun >= maxTries {
			return false
		}
		u := t.order[t.begun%len(t.order)]
		t.begun++
		if t.given[u] {
			continue
		}
		t.running++
		t.newest = u
		t.r.count(countUpstreamQuery)
		t.r.background.Go(func() {
			e, err := t.r.exchange(ctx, u, t.q, b)
			t.results <- result{u, e, err}
		})
		return true
	}
	return false
}

// blame counts a failure against an upstream, once a question: a single name
// that an upstream itself gets no answer about must not take it down.
func (t *tries) blame(u *upstream) {
	if t.blamed[u] {
		return
	}
	t.blamed[u] = true
	u.failed(t.r.clock())
	t.r.count(countUpstreamFailure)
}
