package dataplane

import "net/netip"

// Render says what is wanted in the kernel's terms.
func Render(w Want) State {
	s := State{
		Links: map[string]LinkState{}, Addresses: map[LinkAddress]AddressState{}, Routes: map[Route]RouteState{}, Rules: map[Rule]RuleState{},
		Sysctls: sysctls(w), Builtins: builtins(), Chains: chains(w),
		Layout: true, Mappings: mappings(w),
	}
	for _, n := range w.Nics {
		s.Links[n.Link] = LinkState{Up: true, MTU: n.MTU}
		if n.Gateway.IsValid() {
			s.Routes[DefaultRoute(n.Link, n.Gateway)] = RouteState{Owner: n.Owner}
		}
		for _, r := range n.Routes {
			s.Routes[Route{Link: n.Link, Prefix: r.Prefix, Gateway: r.Gateway}] = RouteState{Owner: n.Owner}
		}
	}
	routed := w.singles().routed()
	for _, a := range w.Addresses {
		s.Addresses[a.on(routed)] = AddressState{Owner: a.Owner}
		if !a.Prefix.IsSingleIP() {
			s.Routes[Route{Link: a.Link, Prefix: a.Prefix.Masked()}] = RouteState{Owner: a.Owner, Source: a.Prefix.Addr()}
		}
	}
	if routed != "" {
		renderRouted(s, w, routed)
	}
	renderWays(s, w)
	return s
}

// forwarding is whether the router forwards anything at all.
func (w Want) forwarding() bool {
	guests := 0
	for _, n := range w.Nics {
		if n.Guest {
			guests++
		}
	}
	return guests > 0 && len(w.SNAT)+len(w.EIPs)+len(w.Forwards) > 0 || guests > 1
}

// leadsOut is whether a nic is the way out of guest networks. A network that
// is public and guest at once has a gateway of its own and no NAT here.
func (n Nic) leadsOut() bool { return n.Public && !n.Guest }

// manages is whether a nic carries commands and nothing else.
func (n Nic) manages() bool { return n.Management && !n.Public && !n.Guest }

func mappings(w Want) Elements {
	e := NewElements()
	for _, n := range w.Nics {
		if n.leadsOut() {
			e.Public[n.Link] = struct{}{}
		}
		if n.Guest && !n.Public {
			for _, p := range n.Subnets {
				e.Guests[p.Masked()] = struct{}{}
			}
		}
	}
	lowest := map[netip.Addr]EIP{}
	for _, x := range w.EIPs { // sorted by VIP: the first of equal order wins
		e.Inbound[x.VIP] = x.Guest
		if b, ok := lowest[x.Guest]; !ok || x.Order < b.Order {
			lowest[x.Guest] = x
			e.Outbound[x.Guest] = x.VIP
		}
	}
	for _, f := range w.Forwards {
		f.elements(e)
	}
	return e
}

// elements has one element a port: a lookup that also shifts the port needs
// the kernel to know each, and 1:1 is then plain to read.
func (f Forward) elements(e Elements) {
	to, proto := e.Forward, protocolNumber(f.Protocol)
	if f.Allowed.IsValid() && f.Allowed.Bits() > 0 {
		to = e.Limited
		e.Grants[Grant{f.VIP, proto, f.First, f.Last, f.Allowed.Masked()}] = struct{}{}
	}
	for i := range int(f.Last) - int(f.First) + 1 {
		to[Endpoint{f.VIP, proto, f.First + uint16(i)}] = Target{f.Guest, f.To + uint16(i)}
	}
}

// protocolNumber is of IANA's registry; 0 for what cannot be forwarded.
func protocolNumber(name string) uint8 {
	switch name {
	case "tcp":
		return 6
	case "udp":
		return 17
	}
	return 0
}

const (
	keyForward   = "net/ipv4/ip_forward"
	keyRedirects = "net/ipv4/conf/all/accept_redirects"
	keyReflect   = "net/ipv4/fwmark_reflect"
	keyIgnore    = "arp_ignore" // of a link
)

func confKey(link, key string) string { return "net/ipv4/conf/" + link + "/" + key }

// sysctls are by path below /proc/sys, because a link's name may have dots.
func sysctls(w Want) map[string]string {
	forward := "0"
	if w.forwarding() {
		forward = "1"
	}
	s := map[string]string{
		keyForward:   forward,
		keyRedirects: "0", // with a link's: both must be on
		// With a link's value the higher one counts (rp_filter), or either
		// (send_redirects), so all must not hide what a link says.
		confKey("all", "rp_filter"):           "0",
		confKey("all", "send_redirects"):      "0",
		confKey("all", "accept_source_route"): "0",
		// IPv6 is not filtered yet, so it is not forwarded either.
		"net/ipv6/conf/all/forwarding": "0",
		// An answer of the kernel's own (echo, what cannot be delivered) leaves
		// the way that what it answers came.
		keyReflect: "0",
		// A helper opens ports that a guest's packet names. Gone in Linux 6.
		"net/netfilter/nf_conntrack_helper": "0",
	}
	if len(w.ways()) > 0 {
		s[keyReflect] = "1"
	}
	for _, n := range w.Nics {
		n.sysctls(s, forward)
	}
	return s
}

func (n Nic) sysctls(s map[string]string, forward string) {
	reverse, local := "2", "0"
	if n.manages() {
		forward = "0"
	}
	// Where packets are forwarded, rules ask for their sources before tracking:
	// for half of what a second look at the routes costs, and however many
	// addresses the router has.
	if n.leadsOut() || n.Guest && !n.Public {
		reverse, local = "0", "1"
	}
	for key, value := range map[string]string{
		"forwarding":   forward,
		"rp_filter":    reverse,
		"accept_local": local,
		// Answer ARP only on the nic that has the address, and ask only with
		// an address of the nic: guests must not learn of public addresses.
		keyIgnore:             "1",
		"arp_announce":        "2",
		"proxy_arp":           "0",
		"accept_redirects":    "0",
		"send_redirects":      "0",
		"accept_source_route": "0",
		// Otherwise removing an address takes along all of its subnet.
		"promote_secondaries": "1",
	} {
		s[confKey(n.Link, key)] = value
	}
	s["net/ipv6/conf/"+n.Link+"/disable_ipv6"] = "1"
}
