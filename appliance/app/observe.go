package app

import (
	"bytes"
	"context"
	"os"
	"strconv"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
)

// Observe implements agent.Router. Nics are as the last apply found them,
// which is a few seconds ago at most; servers are asked now.
func (r *Router) Observe(context.Context) agent.Observation {
	o := agent.Observation{
		Services:       r.serviceStatus(),
		Interfaces:     r.interfaceStatus(),
		ConntrackCount: number("/proc/sys/net/netfilter/nf_conntrack_count"),
		ConntrackMax:   number("/proc/sys/net/netfilter/nf_conntrack_max"),
	}
	if r.services.Leases != nil {
		o.Leases = r.services.Leases()
	}
	return o
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

func (r *Router) interfaceStatus() []agentv1.InterfaceStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []agentv1.InterfaceStatus
	for _, n := range r.nics {
		if n.MAC == "" || n.MAC == "00:00:00:00:00:00" { // loopback, tunnels
			continue
		}
		s := agentv1.InterfaceStatus{MAC: n.MAC, Name: n.Link, Up: n.Up, MTU: n.MTU}
		for _, a := range n.Addresses {
			s.Addresses = append(s.Addresses, a.String())
		}
		all = append(all, s)
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
