package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestSeconds registers the histogram of requests and returns what feeds
// it. Routes are templates, so that uuids make no series.
func (a *API) requestSeconds() func(method, route string, status int, took time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sluice_api_request_seconds", Help: "Duration of API requests by route.",
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
	}, []string{"method", "route", "status"})
	a.metrics.MustRegister(h)
	return func(method, route string, status int, took time.Duration) {
		if route == "" {
			method, route = "", "none" // callers choose both: they must not make series
		}
		h.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
	}
}
