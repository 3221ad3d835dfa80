package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// String prints a state, sorted, a line an object: what tests compare and
// diagnostics show.
func (s State) String() string {
	var b strings.Builder
	for _, name := range sortedKeys(s.Links, cmp.Compare[string]) {
		l := s.Links[name]
		fmt.Fprintf(&b, "link %s up=%t mtu=%d\n", name, l.Up, l.MTU)
	}
	for _, at := range sortedKeys(s.Addresses, compareAddresses) {
		fmt.Fprintf(&b, "%s %s %s\n", at.form(), at.Link, at.Prefix)
	}
	for _, r := range sortedKeys(s.Routes, compareRoutes) {
		fmt.Fprintf(&b, "route %s\n", r)
	}
	for _, r := range sortedKeys(s.Rules, compareRules) {
		fmt.Fprintf(&b, "rule %s\n", r)
	}
	for _, key := range sortedKeys(s.Sysctls, cmp.Compare[string]) {
		fmt.Fprintf(&b, "sysctl %s = %s\n", key, s.Sysctls[key])
	}
	for _, id := range sortedKeys(s.Builtins, ChainID.Compare) {
		x := s.Builtins[id]
		fmt.Fprintf(&b, "hook %s %s policy=%s %s x%d\n", id.Table, id.Chain, x.Policy, x.Target, x.Jumps)
	}
	for _, id := range sortedKeys(s.Chains, ChainID.Compare) {
		fmt.Fprintf(&b, "chain %s %s\n", id.Table, id.Chain)
		for _, r := range s.Chains[id] {
			fmt.Fprintf(&b, "  %s\n", r)
		}
	}
	if s.Layout {
		b.WriteString(s.Mappings.String())
	}
	return b.String()
}

// String is what an address is, and where.
func (a LinkAddress) String() string { return fmt.Sprintf("%s %s on %s", a.form(), a.Prefix, a.Link) }

func (a LinkAddress) form() string {
	if a.Routed {
		return "routed address"
	}
	return "address"
}

// String prints a route as iproute2 does.
func (r Route) String() string {
	text := fmt.Sprintf("%s dev %s", r.Prefix, r.Link)
	if r.Gateway.IsValid() {
		text = fmt.Sprintf("%s via %s dev %s", r.Prefix, r.Gateway, r.Link)
	}
	if r.Table != 0 {
		text += fmt.Sprintf(" table %d", r.Table)
	}
	return text
}

// String prints the elements, sorted, one a line.
func (e Elements) String() string {
	var b strings.Builder
	for _, link := range sortedKeys(e.Public, cmp.Compare[string]) {
		fmt.Fprintf(&b, "public %s\n", link)
	}
	for _, p := range sortedKeys(e.Guests, netip.Prefix.Compare) {
		fmt.Fprintf(&b, "guests %s\n", p)
	}
	for _, a := range sortedKeys(e.Inbound, netip.Addr.Compare) {
		fmt.Fprintf(&b, "inbound %s -> %s\n", a, e.Inbound[a])
	}
	for _, a := range sortedKeys(e.Outbound, netip.Addr.Compare) {
		fmt.Fprintf(&b, "outbound %s -> %s\n", a, e.Outbound[a])
	}
	for _, a := range sortedKeys(e.Ways, netip.Addr.Compare) {
		fmt.Fprintf(&b, "way %s -> %#x\n", a, e.Ways[a])
	}
	for _, m := range []struct {
		name string
		m    map[Endpoint]Target
	}{{"forward", e.Forward}, {"limited", e.Limited}} {
		for _, at := range sortedKeys(m.m, compareEndpoints) {
			fmt.Fprintf(&b, "%s %s %s:%d -> %s:%d\n", m.name, protocolName(at.Protocol), at.Addr, at.Port, m.m[at].Addr, m.m[at].Port)
		}
	}
	for _, g := range sortedKeys(e.Grants, compareGrants) {
		fmt.Fprintf(&b, "grant %s %s:%d-%d from %s\n", protocolName(g.Protocol), g.VIP, g.First, g.Last, g.Source)
	}
	return b.String()
}

func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

func compareGrants(a, b Grant) int {
	return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First), a.Source.Compare(b.Source))
}

func protocolName(n uint8) string {
	switch n {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return fmt.Sprint(n)
}
