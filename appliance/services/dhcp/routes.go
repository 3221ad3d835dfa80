package dhcp

import (
	"encoding/binary"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func isDefaultRoute(r agentv1.Route) bool { return r.Prefix.Bits() == 0 }

// networkRoutes are the network's routes for its guests' default nics, or for
// the others, which get no default route: a guest has one. They carry the
// router too, because a client that gets option 121 ignores option 3 (RFC 3442).
func networkRoutes(n agentv1.DHCPNetwork, isDefault bool) []agentv1.Route {
	switch {
	case len(n.Routes) == 0:
		return nil
	case !isDefault:
		return slices.DeleteFunc(slices.Clone(n.Routes), isDefaultRoute)
	}
	return withRouter(n.Routes, n)
}

func withRouter(routes []agentv1.Route, n agentv1.DHCPNetwork) []agentv1.Route {
	if !n.Router.IsValid() || slices.ContainsFunc(routes, isDefaultRoute) {
		return routes
	}
	return append(slices.Clip(routes), agentv1.Route{Prefix: defaultRoute, NextHop: n.Router})
}

// ownRoutes are the options of a nic that has routes of its own. Option 121 is
// the whole of what a client shall have: it forgets the routes of the answer
// before, and option 3 (RFC 3442). So the nic's routes go together with the
// network's, but for those to the same destination. A default route of the
// nic's own is told in option 3 too, so that it does not matter what a client
// asks for.
func ownRoutes(n agentv1.DHCPNetwork, s *agentv1.DHCPBinding) []ownOption {
	if len(s.Routes) == 0 {
		return nil
	}
	routes := slices.Clone(s.Routes)
	for _, r := range n.Routes {
		same := func(own agentv1.Route) bool { return own.Prefix == r.Prefix }
		if !slices.ContainsFunc(s.Routes, same) && (s.IsDefault || !isDefaultRoute(r)) {
			routes = append(routes, r)
		}
	}
	if s.IsDefault {
		routes = withRouter(routes, n)
	}
	options := routeOptions(routes)
	if i := slices.IndexFunc(s.Routes, isDefaultRoute); i >= 0 && !s.Routes[i].NextHop.IsUnspecified() {
		options = append(options, ownOption{code: optRouter, bytes: encodeAddrs(optRouter, s.Routes[i].NextHop)})
	}
	return options
}

// routeOptions are the three options that tell routes; of option 33 there may
// be nothing to say.
func routeOptions(routes []agentv1.Route) []ownOption {
	if len(routes) == 0 {
		return nil
	}
	options := []ownOption{
		{code: optClassless, bytes: encode(optClassless, classless(routes))},
		{code: optClasslessMS, bytes: encode(optClasslessMS, classless(routes))},
	}
	if v := classful(routes); len(v) > 0 {
		options = append(options, ownOption{code: optStaticRoutes, bytes: encode(optStaticRoutes, v)})
	}
	return options
}

// classless gives routes in the form of RFC 3442: the length of the prefix,
// its significant bytes, the next hop.
func classless(routes []agentv1.Route) []byte {
	var v []byte
	for _, r := range routes {
		a := r.Prefix.Masked().Addr().As4()
		v = append(v, byte(r.Prefix.Bits()))
		v = append(v, a[:(r.Prefix.Bits()+7)/8]...)
		v = append(v, r.NextHop.AsSlice()...)
	}
	return v
}

// classful gives what option 33 can say at all (RFC 2132 section 5.8): pairs of
// destination and next hop without a mask. Clients read a destination as a
// whole class A, B or C network where its host part is zero, and as a host
// otherwise, so only such routes are told. Destination 0.0.0.0 is not allowed, and
// the next hop is a router: "on the link" is for RFC 3442 alone.
func classful(routes []agentv1.Route) []byte {
	var v []byte
	for _, r := range routes {
		a := r.Prefix.Masked().Addr().As4()
		class := classBits(a[0])
		host := binary.BigEndian.Uint32(a[:]) &^ maskOf(class)
		if a == noAddress || r.NextHop.IsUnspecified() {
			continue
		}
		if r.Prefix.Bits() != class && !(r.Prefix.Bits() == 32 && host != 0) {
			continue
		}
		v = append(v, a[:]...)
		v = append(v, r.NextHop.AsSlice()...)
	}
	return v
}

func classBits(first byte) int {
	switch {
	case first < 128:
		return 8
	case first < 192:
		return 16
	default:
		return 24
	}
}
