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

// Stale returns the test for connections that no wanted mapping explains: what
// was translated for a mapping that is gone, changed, or has another's turn. It
// judges by what the rules would do with the connection's first packet now, so
// it needs no memory of what was removed. Connections that have nothing to do
// with a guest network (now, or in were) or a VIP are never stale.
//
// A guest's running connections under general SNAT outlive its getting an EIP:
// their source address still is one that the guest may use.
func Stale(want State, nat Want, were map[netip.Prefix]struct{}) func(Flow) bool {
	r := resolver{e: want.Mappings, were: were, sources: nat.SNAT, vips: map[netip.Addr][]netip.Addr{}, grants: map[netip.Addr][]Grant{}}
	for vip, guest := range want.Mappings.Inbound {
		r.vips[guest] = append(r.vips[guest], vip)
	}
	for g := range want.Mappings.Grants {
		r.grants[g.VIP] = append(r.grants[g.VIP], g)
	}
	return r.stale
}

type resolver struct {
	e       Elements
	were    map[netip.Prefix]struct{}
	sources []SNAT
	vips    map[netip.Addr][]netip.Addr
	grants  map[netip.Addr][]Grant
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
		for _, g := range r.grants[at.Addr] {
			if g.Protocol == at.Protocol && g.First <= at.Port && at.Port <= g.Last && g.Source.Contains(f.From.Addr()) {
				return netip.AddrPortFrom(t.Addr, t.Port), true
			}
		}
	}
	return f.To, false
}

// mayUse is whether guest may appear as source.
func (r resolver) mayUse(guest, source netip.Addr) bool {
	for _, vip := range r.vips[guest] {
		if vip == source {
			return true
		}
	}
	for _, s := range r.sources { // longest prefix first
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
