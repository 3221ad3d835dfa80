package v1

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"net/netip"
	"strings"
)

// neverUnicast are the blocks in which no guest, router, gateway or server
// has its address (RFC 6890; class D and E are 224.0.0.0/3).
var neverUnicast = []struct {
	block netip.Prefix
	what  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/3"), "multicast or reserved (class D and E)"},
}

// ParseIPv4 reads an IPv4 address strictly: dotted decimal without leading
// zeros, not an IPv4-mapped IPv6 address, not in 0/8, 127/8, 169.254/16 or
// class D and E. field names it in the refusal. Codes invalid-address,
// ipv6-unsupported.
func ParseIPv4(field, s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, Invalid("invalid-address", "%s %q is not an address such as 192.168.10.5 (no leading zeros)", field, s)
	}
	return ip, ValidateIPv4(field, ip)
}

// ValidateIPv4 is ParseIPv4 for an address that was already read.
func ValidateIPv4(field string, ip netip.Addr) error {
	switch {
	case !ip.IsValid():
		return Invalid("invalid-address", "%s is empty; give an address such as 192.168.10.5", field)
	case ip.Is4In6() || ip.Zone() != "":
		return Invalid("invalid-address", "%s %s is not plain dotted IPv4", field, ip)
	case !ip.Is4():
		return Refused("ipv6-unsupported", "%s %s is IPv6, which is not served yet; give an IPv4 address", field, ip)
	}
	for _, n := range neverUnicast {
		if n.block.Contains(ip) {
			return Refused("address-not-unicast", "%s %s is %s (%s); give a usable unicast address", field, ip, n.what, n.block)
		}
	}
	return nil
}

// ParseCIDR reads an IPv4 prefix strictly: no leading zeros, no host bits, not
// /0, nothing of 0/8, 127/8, 169.254/16 or class D and E in it. Codes
// invalid-cidr, ipv6-unsupported, cidr-not-unicast.
func ParseCIDR(field, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Invalid("invalid-cidr", "%s %q is not a prefix such as 192.168.10.0/24 (no leading zeros)", field, s)
	}
	return p, ValidateCIDR(field, p)
}

// ValidateCIDR is ParseCIDR for a prefix that was already read.
func ValidateCIDR(field string, p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return Invalid("invalid-cidr", "%s is empty; give a prefix such as 192.168.10.0/24", field)
	case p.Addr().Is4In6():
		return Invalid("invalid-cidr", "%s %s is not plain dotted IPv4", field, p)
	case !p.Addr().Is4():
		return Refused("ipv6-unsupported", "%s %s is IPv6, which is not served yet; give an IPv4 prefix", field, p)
	case p.Bits() == 0:
		return Invalid("invalid-cidr", "%s %s is the whole Internet; give a longer prefix", field, p)
	case p != p.Masked():
		return Invalid("invalid-cidr", "%s %s has host bits set; write %s", field, p, p.Masked())
	}
	for _, n := range neverUnicast {
		if n.block.Overlaps(p) {
			return Refused("cidr-not-unicast", "%s %s overlaps %s, which is %s; choose another", field, p, n.block, n.what)
		}
	}
	return nil
}

// ParseNetmask reads a dotted netmask and gives the length of its prefix, 1 to
// 32. Code invalid-netmask.
func ParseNetmask(s string) (int, error) {
	ip, err := netip.ParseAddr(s)
	if err == nil && ip.Is4() {
		b := ip.As4()
		mask := binary.BigEndian.Uint32(b[:])
		if n := bits.LeadingZeros32(^mask); n > 0 && mask == ^uint32(0)<<(32-n) {
			return n, nil
		}
	}
	return 0, Invalid("invalid-netmask", "netmask %q is not a contiguous mask such as 255.255.255.0", s)
}

// Netmask is the dotted mask of an IPv4 prefix.
func Netmask(p netip.Prefix) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ^uint32(0)<<(32-p.Bits()))
	return netip.AddrFrom4(b).String()
}

// ParseMAC reads six octets in hex with colons or hyphens and gives them in
// lower case with colons. Refused: multicast, all zeros, and a first octet of
// fe, which libvirt keeps for the host's end of the nic. Code invalid-mac.
func ParseMAC(s string) (string, error) {
	plain := strings.ToLower(strings.ReplaceAll(s, "-", ":"))
	octets, err := hex.DecodeString(strings.ReplaceAll(plain, ":", ""))
	if err != nil || len(octets) != 6 || len(plain) != 17 {
		return "", Invalid("invalid-mac", "MAC %q is not six octets such as 0a:1b:2c:3d:4e:5f", s)
	}
	for i := 2; i < len(plain); i += 3 {
		if plain[i] != ':' {
			return "", Invalid("invalid-mac", "MAC %q is not six octets such as 0a:1b:2c:3d:4e:5f", s)
		}
	}
	if octets[0]&1 != 0 || octets[0] == 0xfe || plain == "00:00:00:00:00:00" {
		return "", Invalid("invalid-mac", "MAC %s is multicast, zero, or begins with fe; a nic cannot have it, take one such as 0a:1b:2c:3d:4e:5f", plain)
	}
	return plain, nil
}
