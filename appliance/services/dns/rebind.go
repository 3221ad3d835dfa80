package dns

import "net/netip"

// alwaysBlocked are the ranges that an upstream never legitimately sends a
// guest to, and that a page in a guest's browser could be rebound to: this
// host, loopback and link-local, where clouds keep their metadata servers.
func alwaysBlocked() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("::/127"), // unspecified and loopback
		netip.MustParsePrefix("fe80::/10"),
	}
}

// nat64 is the well-known prefix, whose addresses have IPv4 ones inside
// (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// blockedBy reports whether an address, or the IPv4 address inside it, is in
// one of the ranges.
func blockedBy(blocked []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, p := range blocked {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
