package httpapi

import (
	"cmp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// requestSeconds registers the histogram of requests and returns what feeds
// it. Routes are templates, so that uuids make no series.
func (a *API) requestSeconds() func(method, route string, status int, took time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sluice_api_request_duration_seconds", Help: "Duration of API requests by route.",
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

// census counts what is stored, at each scrape: what an alert is made of.
type census struct{ store *store.Store }

var (
	storeFollowed = prometheus.NewDesc("sluice_store_followed", "1 while what is served is current.", nil, nil)
	routerCount   = prometheus.NewDesc("sluice_virtual_routers", "Virtual routers by the hypervisor's word, the agent's, and whether they serve what is wanted.", []string{"state", "status", "ready"}, nil)
	hostCount     = prometheus.NewDesc("sluice_hosts", "Hosts by whether they can be reached.", []string{"status"}, nil)
)

// watchProcess registers what is known of this process and of what it keeps.
func (a *API) watchProcess() {
	a.metrics.MustRegister(census{a.store}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Describe implements prometheus.Collector.
func (census) Describe(to chan<- *prometheus.Desc) {
	to <- storeFollowed
	to <- routerCount
	to <- hostCount
}

// Collect implements prometheus.Collector.
func (c census) Collect(to chan<- prometheus.Metric) {
	followed := 0.0
	if c.store.Trouble() == nil {
		followed = 1
	}
	to <- prometheus.MustNewConstMetric(storeFollowed, prometheus.GaugeValue, followed)
	view := c.store.View()
	routers, hosts := map[[3]string]float64{}, map[string]float64{}
	for r := range model.List[v1.VirtualRouter](view) {
		routers[[3]string{r.State, r.Status, cmp.Or(v1.FindCondition(r.Conditions, v1.ReadyCondition).Status, v1.Unknown)}]++
	}
	for h := range model.List[v1.Host](view) {
		hosts[h.Status]++
	}
	for labels, n := range routers {
		to <- prometheus.MustNewConstMetric(routerCount, prometheus.GaugeValue, n, labels[:]...)
	}
	for status, n := range hosts {
		to <- prometheus.MustNewConstMetric(hostCount, prometheus.GaugeValue, n, status)
	}
}
