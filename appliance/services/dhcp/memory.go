package dhcp

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// quarantineTime is how long a declined address is not offered again. The
// binding is fixed, so all there is to do is to slow the client's loop of
// asking and declining while somebody looks for the intruder.
const quarantineTime = time.Minute

// quarantine is what was declined, by MAC.
type quarantine map[hw]struct {
	ip    ip4
	until time.Time
}

// holds says whether the binding's address was declined lately. A MAC that was
// given another address since starts afresh.
func (q quarantine) holds(b *binding, now time.Time) bool {
	if len(q) == 0 {
		return false
	}
	e, ok := q[b.mac]
	return ok && e.ip == b.ip && now.Before(e.until)
}

// lease is a fact for people.
type lease struct {
	ip          ip4
	first, last time.Time
}

// memory is what a network's server remembers. It outlives its sockets and its
// configurations, and holds at most one entry of each kind for a binding.
type memory struct {
	mu     sync.Mutex
	leases map[hw]lease
	quar   quarantine
}

func newMemory() *memory { return &memory{leases: map[hw]lease{}, quar: quarantine{}} }

// remember takes the facts of a decision and says whether it was the news of a
// conflict. The caller holds mu.
func (m *memory) remember(d decision, now time.Time) bool {
	b := d.binding
	switch {
	case d.decline:
		delete(m.leases, b.mac)
		if m.quar.holds(b, now) {
			return false
		}
		m.quar[b.mac] = struct {
			ip    ip4
			until time.Time
		}{b.ip, now.Add(quarantineTime)}
		return true
	case d.release:
		delete(m.leases, b.mac)
	case d.kind == typeAck && d.reason != ackInform:
		l, ok := m.leases[b.mac]
		if !ok || l.ip != b.ip {
			l = lease{ip: b.ip, first: now}
		}
		l.last = now
		m.leases[b.mac] = l
	}
	return false
}

// forgetChunk bounds how many leases are looked at while answers wait.
const forgetChunk = 1024

// forget drops what the bindings no longer cover, and quarantines that ended.
func (m *memory) forget(c *Config, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for h := range m.leases {
		m.drop(h, c, now)
		if n++; n%forgetChunk == 0 { // let packets through
			m.mu.Unlock()
			m.mu.Lock()
		}
	}
	for h := range m.quar {
		m.drop(h, c, now)
	}
}

// forgetOf does so where bindings went or changed.
func (m *memory) forgetOf(went []agentv1.DHCPBinding, c *Config, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range went {
		if h, ok := parseMAC(went[i].MAC); ok {
			m.drop(h, c, now)
		}
	}
}

// drop forgets of a MAC what its binding no longer covers. The caller holds mu.
func (m *memory) drop(h hw, c *Config, now time.Time) {
	b := c.bindings.find(h)
	if l, ok := m.leases[h]; ok && (b == nil || b.ip != l.ip) {
		delete(m.leases, h)
	}
	if b == nil || !m.quar.holds(b, now) {
		delete(m.quar, h)
	}
}

// list gives the leases sorted by MAC.
func (m *memory) list() []agentv1.LeaseStatus {
	m.mu.Lock()
	leases := maps.Clone(m.leases) // quick: answers wait meanwhile
	m.mu.Unlock()
	out := make([]agentv1.LeaseStatus, 0, len(leases))
	for h, l := range leases {
		out = append(out, agentv1.LeaseStatus{MAC: h.String(), IP: l.ip.String(), FirstSeen: l.first, LastRenewed: l.last})
	}
	slices.SortFunc(out, func(a, b agentv1.LeaseStatus) int { return cmp.Compare(a.MAC, b.MAC) })
	return out
}
