package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Observe implements agent.Router.
func (r *Router) Observe(context.Context) agent.Observation {
	o := agent.Observation{
		Services:       r.serviceStatus(),
		ConntrackCount: number("/proc/sys/net/netfilter/nf_conntrack_count"),
		ConntrackMax:   number("/proc/sys/net/netfilter/nf_conntrack_max"),
		Flowtables:     r.plane.Offloads(),
	}
	r.mu.Lock()
	o.Warnings = slices.Clone(r.warnings)
	o.Refused = map[agentv1.Refusal]uint64{agentv1.RefusedForPorts: r.table.NoPort, agentv1.RefusedForRoom: r.table.NoRoom}
	r.mu.Unlock()
	for _, warnings := range r.services.Warnings {
		o.Warnings = append(o.Warnings, warnings()...)
	}
	return o
}

// Found implements agent.Router. Nics are as the last apply or change left them,
// which is a few seconds ago at most.
func (r *Router) Found() agent.Found {
	f := agent.Found{Interfaces: r.interfaceStatus()}
	if r.services.Leases != nil {
		f.Leases = r.services.Leases()
	}
	return f
}

func (r *Router) serviceStatus() map[string]agentv1.ServiceStatus {
	r.mu.Lock()
	applied, failed := r.applied, r.failed
	r.mu.Unlock()
	all := map[string]agentv1.ServiceStatus{}
	for _, p := range r.services.Planners {
		all[p.Name()] = agentv1.ServiceStatus{Ready: true}
	}
	for _, s := range r.services.Servers {
		all[s.Name()] = s.Status()
	}
	for name, s := range all {
		if !applied {
			s.Ready, s.Error = false, "waiting for a spec"
			all[name] = s
		}
	}
	for owner, err := range failed { // also ownerPlane, which is there only then
		s := all[owner]
		s.Ready, s.Error = false, oneLine(err)
		all[owner] = s
	}
	return all
}

// watched is what was last seen of the table of connections.
func (r *Router) watched(t dataplane.Table, warnings []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table, r.warnings = t, warnings
}

// Traffic implements agent.Router.
func (r *Router) Traffic() ([]agentv1.MappingTraffic, error) {
	if r.meters == nil {
		return nil, nil
	}
	m, err := r.meters()
	if err != nil {
		return nil, fmt.Errorf("read counts of mappings: %w", err)
	}
	r.mu.Lock()
	c := r.content
	r.mu.Unlock()
	var all []agentv1.MappingTraffic
	add := func(uuid string, t dataplane.Traffic) {
		if t != (dataplane.Traffic{}) {
			all = append(all, agentv1.MappingTraffic{UUID: uuid, InPackets: t.In.Packets, InBytes: t.In.Bytes, OutPackets: t.Out.Packets, OutBytes: t.Out.Bytes})
		}
	}
	for _, e := range c.EIPs {
		add(e.UUID, m.VIPs[e.VIP])
	}
	for _, f := range c.PortForwardings {
		add(f.UUID, m.Forward(f.VIP, f.Protocol, f.VIPPortStart, f.VIPPortEnd))
	}
	return all, nil
}

func (r *Router) interfaceStatus() []agentv1.InterfaceStatus {
	counts := nicCounts()
	var all []agentv1.InterfaceStatus
	for _, n := range r.plane.Nics() {
		if n.MAC == "" || n.MAC == "00:00:00:00:00:00" { // loopback, tunnels
			continue
		}
		s := agentv1.InterfaceStatus{MAC: n.MAC, Name: n.Link, Up: n.Up, MTU: n.MTU}
		if x := counts[n.Link]; len(x) == 16 { // proc(5), /proc/net/dev
			s.ReceivedBytes, s.ReceivedPackets, s.SentBytes, s.SentPackets = x[0], x[1], x[8], x[9]
		}
		for _, a := range n.Addresses {
			s.Addresses = append(s.Addresses, a.String())
		}
		all = append(all, s)
	}
	return all
}

// nicCounts are the numbers of /proc/net/dev by nic; none where it cannot be read.
func nicCounts() map[string][]uint64 {
	b, err := os.ReadFile("/proc/thread-self/net/dev") // this namespace's
	if err != nil {
		return nil
	}
	all := map[string][]uint64{}
	for line := range strings.Lines(string(b)) {
		name, values, ok := strings.Cut(line, ":")
		if !ok {
			continue // head lines
		}
		for _, word := range strings.Fields(values) {
			n, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				return nil
			}
			all[strings.TrimSpace(name)] = append(all[strings.TrimSpace(name)], n)
		}
	}
	return all
}

// number reads a counter below /proc; 0 where it is not there.
func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
