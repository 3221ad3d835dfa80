package dataplane

import "net/netip"

// Flow is a tracked connection: who asked whom, and how the answers travel.
type Flow struct {
	Protocol uint8
	// From and To are the first packet's before, and ReplyTo and ReplyFrom
	// after all translation. Ports are 0 for protocols without.
	From, To           netip.AddrPort
	ReplyFrom, ReplyTo netip.AddrPort
}

// End names connections by one end: those that were asked of an address, or
// with Answer those that answer to it, because it stood in for a guest's.
type End struct {
	Addr   netip.Addr
	Answer bool
	// Protocol and Port narrow it down to a port; 0: all.
	Protocol uint8
	Port     uint16
}

// Of is whether a connection is one of those.
func (e End) Of(f Flow) bool {
	at := f.To
	if e.Answer {
		at = f.ReplyTo
	}
	return at.Addr() == e.Addr && (e.Port == 0 || e.Port == at.Port() && e.Protocol == f.Protocol)
}

// Stale returns the test for connections that no wanted mapping explains: what
// was translated for a mapping that is gone, changed, or has another's turn. It
// judges by what the rules would do with the connection's first packet now, so
// it needs no memory of what was removed. Connections that have nothing to do
// with a guest network (now, or in were) or a VIP are never stale.
//
// A guest's running connections under general SNAT outlive its getting an EIP:
// their source address still is one that the guest may use.
func Stale(want Plan, were map[netip.Prefix]struct{}) func(Flow) bool {
	return resolver{want.Mappings, were, want}.stale
}

type resolver struct {
	e    Elements
	were map[netip.Prefix]struct{}
	plan Plan
}

func (r resolver) stale(f Flow) bool {
	to, mapped := r.destination(f)
	if f.ReplyFrom != f.To { // destination was translated
		return to != f.ReplyFrom && (mapped || r.guest(f.ReplyFrom.Addr()))
	}
	if mapped {
		return true // older than the mapping that it should go through
	}
	if f.ReplyTo.Addr() == f.From.Addr() || !r.guest(f.From.Addr()) {
		return false
	}
	return !r.mayUse(f.From.Addr(), f.ReplyTo.Addr())
}

// destination is where the rules would send the first packet, in their order:
// EIP, open forward, limited forward.
func (r resolver) destination(f Flow) (netip.AddrPort, bool) {
	if guest, ok := r.e.Inbound[f.To.Addr()]; ok {
		return netip.AddrPortFrom(guest, f.To.Port()), true
	}
	at := Endpoint{f.To.Addr(), f.Protocol, f.To.Port()}
	if t, ok := r.e.Forward[at]; ok {
		return netip.AddrPortFrom(t.Addr, t.Port), true
	}
	if t, ok := r.e.Limited[at]; ok {
		for _, g := range r.plan.grants[at.Addr] {
			if g.Protocol == at.Protocol && g.First <= at.Port && at.Port <= g.Last && g.Source.Contains(f.From.Addr()) {
				return netip.AddrPortFrom(t.Addr, t.Port), true
			}
		}
	}
	return f.To, false
}

// mayUse is whether guest may appear as source.
func (r resolver) mayUse(guest, source netip.Addr) bool {
	for _, e := range r.plan.eips[guest] {
		if e.VIP == source {
			return true
		}
	}
	for _, s := range r.plan.sources { // longest prefix first
		if s.Source.Contains(guest) {
			return s.Address == source
		}
	}
	return false
}

func (r resolver) guest(a netip.Addr) bool {
	for p := range r.e.Guests {
		if p.Contains(a) {
			return true
		}
	}
	for p := range r.were {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
