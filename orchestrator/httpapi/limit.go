package httpapi

import (
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Rate is how many requests a token may make.
type Rate struct {
	// PerSecond in the long run; 0: DefaultRate's, negative: without limit.
	PerSecond float64
	// Burst at once; 0: those of two seconds, and at least one.
	Burst int
}

// DefaultRate is far above what people and their scripts need, and below what
// keeps an orchestrator busy.
var DefaultRate = Rate{PerSecond: 1000}

// maxBuckets bounds the buckets: callers beyond share one.
const maxBuckets = 10_000

// limiters are a token bucket for each caller: by bearer token, and strangers
// by address. Root on the unix socket, who could stop the process just as well,
// has none.
type limiters struct {
	rate Rate

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time
}

func newLimiters(r Rate) *limiters {
	if r.PerSecond == 0 {
		r.PerSecond = DefaultRate.PerSecond
	}
	if r.Burst == 0 {
		r.Burst = max(1, int(2*r.PerSecond))
	}
	return &limiters{rate: r, buckets: map[string]*rate.Limiter{}}
}

// take takes one request's place; else it says how long to wait for one.
func (l *limiters) take(caller string, now time.Time) time.Duration {
	if l.rate.PerSecond < 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b, ok := l.buckets[caller]
	if !ok && len(l.buckets) >= maxBuckets {
		caller = ""
		b, ok = l.buckets[caller]
	}
	if !ok {
		b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.buckets[caller] = b
	}
	if b.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.TokensAt(now)
	return time.Duration(missing / l.rate.PerSecond * float64(time.Second))
}

// sweep forgets full buckets, which are as good as new ones.
func (l *limiters) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for caller, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.rate.Burst) {
			delete(l.buckets, caller)
		}
	}
}

func (a *API) limit(c *gin.Context) {
	caller := callerOf(c.Request.Context())
	if caller.token == nil {
		return
	}
	wait := a.limits.take(caller.ID, a.now())
	if wait == 0 {
		return
	}
	e := v1.Errorf(http.StatusTooManyRequests, "rate-limited", "token %s makes more than %g requests a second (%d at once); slow down", caller.Name, a.limits.rate.PerSecond, a.limits.rate.Burst)
	e.RetryAfter = int(math.Ceil(wait.Seconds()))
	refuse(c, e)
}
