package dns

import (
	"net/netip"
	"strconv"
	"strings"
)

// privateReverse are the reverse zones that no public server can know anything
// of: RFC 6303 §4, and RFC 7793 for shared address space, whose two ranges that
// are no whole octets are added by privateRanges.
var privateReverse = strings.Fields(`
	10.in-addr.arpa 168.192.in-addr.arpa
	0.in-addr.arpa 127.in-addr.arpa 254.169.in-addr.arpa
	2.0.192.in-addr.arpa 100.51.198.in-addr.arpa 113.0.203.in-addr.arpa
	255.255.255.255.in-addr.arpa
	0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa
	1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa
	d.f.ip6.arpa 8.e.f.ip6.arpa 9.e.f.ip6.arpa a.e.f.ip6.arpa b.e.f.ip6.arpa
	8.b.d.0.1.0.0.2.ip6.arpa`)

// neverAsked are names that no server elsewhere has anything to say about: RFC
// 6761 §6.4 (invalid), RFC 7686 §2 (onion), RFC 6762 §22.1 (local, which is
// multicast DNS), RFC 9476 §4 (alt), RFC 8375 §4 (home.arpa), RFC 9665 §10
// (service.arpa) and RFC 9462 §8.2 (resolver.arpa). A network whose own domain
// is below one of them has it all the same. Names that private upstreams do
// serve in practice (test, internal) are not among them.
var neverAsked = []string{"invalid", "onion", "local", "alt", "home.arpa", "service.arpa", "resolver.arpa"}

// privateRanges are 172.16/12 and 100.64/10, an octet's zone each.
var privateRanges = []struct{ first, last, octet int }{{16, 31, 172}, {64, 127, 100}}

// addSpecialZones adds what every network's server answers by itself.
func (z *zone) addSpecialZones() {
	empty := apex{negativeTTL: emptyNegative}
	add := func(name string) { z.apexes[string(appendName(nil, name))] = empty }
	for _, name := range privateReverse {
		add(name)
	}
	for _, name := range neverAsked {
		add(name)
	}
	for _, r := range privateRanges {
		for n := r.first; n <= r.last; n++ {
			add(strconv.Itoa(n) + "." + strconv.Itoa(r.octet) + "." + reverseSuffix4)
		}
	}
	z.apexes["\x09localhost\x00"] = apex{negativeTTL: emptyNegative, loopback: true}
}

// addReverseZones adds the reverse zones that cover the guest CIDR exactly. A
// zone ends at an octet, so a CIDR that does not gets several, at most 128; one
// longer than /24 gets one per address (private ones lie in a zone of RFC 6303
// anyway, and the rest of a public /24 belongs to somebody else).
func (z *zone) addReverseZones(subnet netip.Prefix) {
	if !subnet.IsValid() || !subnet.Addr().Is4() {
		return
	}
	octets := (subnet.Bits() + 7) / 8
	if subnet.Bits() > 24 && subnet.Addr().IsPrivate() {
		octets = 3
	}
	first := subnet.Masked().Addr().As4()
	for i := range 1 << max(0, 8*octets-subnet.Bits()) {
		a := first
		a[octets-1] += byte(i)
		for j := octets; j < 4; j++ {
			a[j] = 0
		}
		name := appendReverse(nil, netip.AddrFrom4(a))
		for range 4 - octets {
			name = name[1+name[0]:]
		}
		z.apexes[string(name)] = apex{negativeTTL: localNegative}
	}
}

// appendReverse adds the name that holds an address's PTR record, in wire format
// (RFC 1035 §3.5, RFC 3596 §2.5).
func appendReverse(b []byte, ip netip.Addr) []byte {
	raw := ip.As16()
	if ip.Is4() {
		for i := 15; i >= 12; i-- {
			at := len(b)
			b = strconv.AppendUint(append(b, 0), uint64(raw[i]), 10)
			b[at] = byte(len(b) - at - 1)
		}
		return append(b, "\x07in-addr\x04arpa\x00"...)
	}
	const hex = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		b = append(b, 1, hex[raw[i]&15], 1, hex[raw[i]>>4])
	}
	return append(b, "\x03ip6\x04arpa\x00"...)
}
