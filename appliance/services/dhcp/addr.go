package dhcp

import (
	"encoding/hex"
	"net/netip"
)

// parseMAC reads six bytes in hex with colons between; it does not allocate.
func parseMAC(s string) (hw, bool) {
	var h hw
	if len(s) != 17 {
		return h, false
	}
	for i := range h {
		hi, lo := nibble(s[3*i]), nibble(s[3*i+1])
		if hi > 15 || lo > 15 || i < 5 && s[3*i+2] != ':' {
			return hw{}, false
		}
		h[i] = hi<<4 | lo
	}
	return h, true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// String is lower case, colon separated.
func (h hw) String() string {
	var out [17]byte
	for i := range h {
		hex.Encode(out[3*i:], h[i:i+1])
		if i < 5 {
			out[3*i+2] = ':'
		}
	}
	return string(out[:])
}

// unicast says whether the address can be one station's: not a group, not zero.
func (h hw) unicast() bool { return h[0]&1 == 0 && h != hw{} }

// String is the dotted form.
func (a ip4) String() string { return netip.AddrFrom4(a).String() }

func parseIP4(s string) (ip4, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return ip4{}, false
	}
	return a.As4(), true
}
