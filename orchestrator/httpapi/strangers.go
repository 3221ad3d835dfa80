package httpapi

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// DefaultWrongTokens is more than scripts with an expired token make. Secrets
// are too long to be guessed: what is bounded is the work that strangers make.
var DefaultWrongTokens = Rate{PerSecond: 5, Burst: 50}

// strangers bounds and counts calls without a right token, by where they come
// from. A right token is never kept waiting for what others at its address do.
type strangers struct {
	*limiters
	calls prometheus.Counter
}

func newStrangers(r Rate, metrics *prometheus.Registry) *strangers {
	if r == (Rate{}) {
		r = DefaultWrongTokens
	}
	s := &strangers{limiters: newLimiters(r), calls: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sluice_api_unauthenticated_requests_total", Help: "Requests without a right token, of those that need one.",
	})}
	metrics.MustRegister(s.calls)
	return s
}

// answer is what a stranger is told: the refusal, or to come back later.
func (s *strangers) answer(c *gin.Context, refusal *v1.Error, now time.Time) *v1.Error {
	s.calls.Inc()
	wait := s.take(origin(c.Request.RemoteAddr), now)
	if wait == 0 {
		c.Header("WWW-Authenticate", `Bearer realm="sluice"`)
		return refusal
	}
	e := v1.Errorf(http.StatusTooManyRequests, "too-many-wrong-tokens", "more than %g calls a second without a right token come from this address; a right token is answered at once", s.rate.PerSecond)
	e.RetryAfter = int(math.Ceil(wait.Seconds()))
	return e
}

// origin is what counts as one address: IPv6 hosts have 2^64 each.
func origin(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote // the unix socket
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}
