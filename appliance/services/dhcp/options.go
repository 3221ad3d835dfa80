package dhcp

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// Option codes (RFC 2132, and the RFC named).
const (
	optPad          = 0
	optMask         = 1
	optRouter       = 3
	optDNS          = 6
	optHostname     = 12
	optDomain       = 15
	optMTU          = 26
	optBroadcast    = 28
	optStaticRoutes = 33
	optRequestedIP  = 50
	optLease        = 51
	optOverload     = 52
	optMessageType  = 53
	optServerID     = 54
	optParameters   = 55
	optMessage      = 56
	optMaxSize      = 57
	optT1           = 58
	optT2           = 59
	optClientID     = 61
	optTFTPServer   = 66
	optBootFile     = 67
	optRelayInfo    = 82  // RFC 3046
	optSearch       = 119 // RFC 3397
	optClassless    = 121 // RFC 3442
	optClasslessMS  = 249 // RFC 3442 under the number old Windows asks for
	optEnd          = 255
)

// encode gives an option as it stands in a message. A value over 255 bytes is
// split over several options of one code, in order (RFC 3396 section 5).
func encode(code byte, value []byte) []byte {
	out := make([]byte, 0, len(value)+2*(len(value)/255+1))
	for {
		n := min(len(value), 255)
		out = append(out, code, byte(n))
		out = append(out, value[:n]...)
		value = value[n:]
		if len(value) == 0 {
			return out
		}
	}
}

func encode32(code byte, v uint32) []byte {
	return encode(code, binary.BigEndian.AppendUint32(nil, v))
}

func encodeAddrs(code byte, addrs ...netip.Addr) []byte {
	var v []byte
	for _, a := range addrs {
		v = append(v, a.AsSlice()...)
	}
	return encode(code, v)
}

// broadcastOf is the last address of a subnet; unset where there is none
// (/31 and /32, RFC 3021).
func broadcastOf(p netip.Prefix) netip.Addr {
	if p.Bits() >= 31 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	host := uint32(1)<<(32-p.Bits()) - 1
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|host)
	return netip.AddrFrom4(b)
}

func maskOf(bits int) uint32 { return ^uint32(0) << (32 - bits) }

// searchList gives names in the wire form of RFC 1035 (RFC 3397 section 2).
func searchList(domain string) []byte {
	var v []byte
	for label := range strings.SplitSeq(domain, ".") {
		v = append(v, byte(len(label)))
		v = append(v, label...)
	}
	return append(v, 0)
}
