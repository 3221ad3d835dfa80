package agent

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// getMetrics writes the Prometheus text format 0.0.4 by hand: the client
// library would be a quarter of the agent's binary for these few lines.
// Labels are service and nic names from the spec, never from packets.
func (a *Agent) getMetrics(w http.ResponseWriter, r *http.Request) {
	s := a.Status(r.Context())
	var m metricText
	m.family("sluice_agent_info", "gauge", "Version of the agent's binary.")
	m.sample("sluice_agent_info", 1, "version", s.AgentVersion)
	m.single("sluice_agent_start_time_seconds", "gauge", "When the agent's process started.", uint64(s.StartedAt.Unix()))
	m.single("sluice_agent_resident_memory_bytes", "gauge", "Resident set of the agent.", uint64(s.MemoryBytes))
	m.single("sluice_spec_accepted_generation", "gauge", "Generation of the last accepted spec.", s.AcceptedGeneration)
	m.single("sluice_spec_applied_generation", "gauge", "Generation of the last spec reached completely.", s.AppliedGeneration)
	m.single("sluice_apply_writes_total", "counter", "Kernel objects written.", a.writes.Load())
	m.single("sluice_apply_heals_total", "counter", "Applies that undid a foreign change.", a.heals.Load())
	m.single("sluice_apply_failures_total", "counter", "Applies that were not reached completely.", a.faults.Load())
	m.single("sluice_conntrack_entries", "gauge", "Tracked connections.", uint64(s.ConntrackCount))
	m.single("sluice_conntrack_entries_limit", "gauge", "Limit of tracked connections.", uint64(s.ConntrackMax))
	m.family("sluice_connections_refused_total", "counter", "Connections that could not be made: no public port was free, or no room in the table.")
	for _, cause := range []agentv1.Refusal{agentv1.RefusedForPorts, agentv1.RefusedForRoom} {
		m.sample("sluice_connections_refused_total", s.Refused[cause], "cause", string(cause))
	}
	m.nics(a.cfg.Router.Found().Interfaces)
	m.services(s.Services)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(m.Bytes())
}

type metricText struct{ bytes.Buffer }

func (m *metricText) family(name, kind, help string) {
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one value; labels are name, value, name, value, ...
func (m *metricText) sample(name string, value uint64, labels ...string) {
	m.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		m.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(m, "%s=%q", labels[i], labels[i+1])
	}
	if len(labels) > 0 {
		m.WriteByte('}')
	}
	fmt.Fprintf(m, " %d\n", value)
}

func (m *metricText) single(name, kind, help string, value uint64) {
	m.family(name, kind, help)
	m.sample(name, value)
}

func (m *metricText) nics(nics []agentv1.InterfaceStatus) {
	for _, c := range []struct {
		name, help string
		value      func(agentv1.InterfaceStatus) uint64
	}{
		{"sluice_nic_received_bytes_total", "Bytes received.", func(n agentv1.InterfaceStatus) uint64 { return n.ReceivedBytes }},
		{"sluice_nic_received_packets_total", "Frames received.", func(n agentv1.InterfaceStatus) uint64 { return n.ReceivedPackets }},
		{"sluice_nic_sent_bytes_total", "Bytes sent.", func(n agentv1.InterfaceStatus) uint64 { return n.SentBytes }},
		{"sluice_nic_sent_packets_total", "Frames sent.", func(n agentv1.InterfaceStatus) uint64 { return n.SentPackets }},
	} {
		m.family(c.name, "counter", c.help)
		for _, n := range nics {
			m.sample(c.name, c.value(n), "nic", n.Name)
		}
	}
}

func (m *metricText) services(services map[string]agentv1.ServiceStatus) {
	names := slices.Sorted(maps.Keys(services))
	m.family("sluice_service_ready", "gauge", "1 when the service is as the spec wants it.")
	counters := map[string][]string{} // counter -> services that have it
	for _, name := range names {
		ready := uint64(0)
		if services[name].Ready {
			ready = 1
		}
		m.sample("sluice_service_ready", ready, "service", name)
		for c := range services[name].Counters {
			counters[c] = append(counters[c], name)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(counters)) {
		metric, kind, help := "sluice_service_"+metricName(c), "gauge", "Level of the services."
		if strings.HasSuffix(c, "_total") {
			kind, help = "counter", "Counter of the services."
		}
		m.family(metric, kind, help)
		for _, name := range counters[c] {
			m.sample(metric, services[name].Counters[c], "service", name)
		}
	}
}

// metricName makes a counter's name fit the data model: [a-zA-Z0-9_].
func metricName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || (r >= '0' && r <= '9') || (r|0x20 >= 'a' && r|0x20 <= 'z') {
			return r
		}
		return '_'
	}, s)
}
