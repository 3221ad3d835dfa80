package dns

import "sync/atomic"

// counter is the index of a total. The names are a fixed set: nothing that a
// packet says becomes a label.
type counter uint8

const (
	countUDP counter = iota
	countTCP
	countTCPRefused
	countSilent
	countMalformed
	countRefused
	countLocal
	countHit
	countStale
	countMiss
	countJoined
	countPrefetch
	countRateLimited
	countOverload
	countServFail
	countFiltered
	countUpstreamQuery
	countUpstreamTCP
	countUpstreamTLS
	countUpstreamMismatch
	countUpstreamFailure
	countReopened
	countSocketError
	countEventLost
	counterCount
)

var counterNames = [counterCount]string{
	countUDP:              "dns_udp_queries_total",
	countTCP:              "dns_tcp_queries_total",
	countTCPRefused:       "dns_tcp_connections_refused_total",
	countSilent:           "dns_ignored_packets_total",
	countMalformed:        "dns_malformed_queries_total",
	countRefused:          "dns_refused_queries_total",
	countLocal:            "dns_local_answers_total",
	countHit:              "dns_cache_hits_total",
	countStale:            "dns_stale_answers_total",
	countMiss:             "dns_cache_misses_total",
	countJoined:           "dns_joined_queries_total",
	countPrefetch:         "dns_prefetches_total",
	countRateLimited:      "dns_rate_limited_total",
	countOverload:         "dns_overload_drops_total",
	countServFail:         "dns_servfail_answers_total",
	countFiltered:         "dns_filtered_answers_total",
	countUpstreamQuery:    "dns_upstream_queries_total",
	countUpstreamTCP:      "dns_upstream_tcp_total",
	countUpstreamTLS:      "dns_upstream_tls_connections_total",
	countUpstreamMismatch: "dns_upstream_ignored_total",
	countUpstreamFailure:  "dns_upstream_failures_total",
	countReopened:         "dns_sockets_reopened_total",
	countSocketError:      "dns_socket_errors_total",
	countEventLost:        "dns_events_lost_total",
}

// counters are the server's totals. Packet loops count in a tally of their own
// and add it up once a batch, so that cores do not fight for a cache line.
type counters [counterCount]atomic.Uint64

func (c *counters) count(i counter) { c[i].Add(1) }

// tally is a packet loop's part of the counters.
type tally [counterCount]uint64

// add moves the tally into the totals.
func (c *counters) add(t *tally) {
	for i, n := range t {
		if n != 0 {
			c[i].Add(n)
			t[i] = 0
		}
	}
}
