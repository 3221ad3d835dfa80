package dataplane

import (
	"fmt"
	"strings"
)

// String prints a want in its order, a line an object.
func (w Want) String() string {
	var b strings.Builder
	for _, n := range w.Nics {
		fmt.Fprintf(&b, "nic %s%s mtu=%d", n.Link, n.roles(), n.MTU)
		if n.Gateway.IsValid() {
			fmt.Fprintf(&b, " gateway=%s", n.Gateway)
		}
		if n.NextHop.IsValid() && n.NextHop != n.Gateway {
			fmt.Fprintf(&b, " next-hop=%s", n.NextHop)
		}
		for _, r := range n.Routes {
			fmt.Fprintf(&b, " route=%s,%s", r.Prefix, r.Gateway)
		}
		for _, p := range n.Subnets {
			fmt.Fprintf(&b, " subnet=%s", p)
		}
		b.WriteByte('\n')
	}
	for _, a := range w.Addresses {
		fmt.Fprintf(&b, "address %s on %s (%s)\n", a.Prefix, a.Link, a.Owner)
	}
	for _, in := range w.Inputs {
		fmt.Fprintf(&b, "input %s/%d on %s (%s)\n", in.Protocol, in.Port, in.Link, in.Owner)
	}
	for _, s := range w.SNAT {
		fmt.Fprintf(&b, "snat %s out of %s as %s (%s)\n", s.Source, s.Link, s.Address, s.Owner)
	}
	for _, e := range w.EIPs {
		fmt.Fprintf(&b, "eip %s <-> %s order %d (%s)\n", e.VIP, e.Guest, e.Order, e.Owner)
	}
	for _, f := range w.Forwards {
		fmt.Fprintf(&b, "forward %s %s:%d-%d -> %s:%d", f.Protocol, f.VIP, f.First, f.Last, f.Guest, f.To)
		if f.Allowed.IsValid() {
			fmt.Fprintf(&b, " from %s", f.Allowed)
		}
		fmt.Fprintf(&b, " (%s)\n", f.Owner)
	}
	for _, m := range w.Missing {
		fmt.Fprintf(&b, "missing %s (%s)\n", m.MAC, m.Owner)
	}
	return b.String()
}

func (n Nic) roles() string {
	s := ""
	for _, r := range []struct {
		name string
		has  bool
	}{{"management", n.Management}, {"public", n.Public}, {"guest", n.Guest}} {
		if r.has {
			s += " " + r.name
		}
	}
	return s
}
