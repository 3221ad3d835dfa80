package dns

import "encoding/binary"

// Sizes of the wire format, in bytes (RFC 1035 §2.3.4, §4.1.1).
const (
	headerLen    = 12
	maxNameLen   = 255
	maxLabelLen  = 63
	plainUDPSize = 512   // without EDNS
	ednsUDPSize  = 1232  // what we announce and never exceed over UDP: fits every path without fragments
	maxMessage   = 65535 // over TCP
)

// Header bits (RFC 1035 §4.1.1, RFC 4035 §3).
const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagRA = 1 << 7
	flagCD = 1 << 4

	opcodeMask = 0xF << 11
)

// Response codes (RFC 1035 §4.1.1, RFC 6891 §9).
const (
	rcodeSuccess   = 0
	rcodeFormat    = 1
	rcodeServFail  = 2
	rcodeNXDomain  = 3
	rcodeNotImp    = 4
	rcodeRefused   = 5
	rcodeBadVers   = 16
	rcodeBadCookie = 23
)

// Types and classes that the server itself knows (RFC 1035 §3.2, RFC 6891,
// RFC 5936, RFC 1995, RFC 8482).
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeHINFO = 13
	typeAAAA  = 28
	typeOPT   = 41
	typeANY   = 255

	firstMetaType = 128 // 128-255 are questions and meta types (RFC 6895 §3.1)

	classIN = 1
)

// be16 and be32 read network byte order.
func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// lowerByte folds ASCII only: DNS compares octets, not text (RFC 4343 §3).
func lowerByte(c byte) byte {
	if c-'A' < 26 {
		return c + 'a' - 'A'
	}
	return c
}

// skipName returns the offset behind the name at off; ok is false for a name
// that runs out of the message or has a reserved label type.
func skipName(msg []byte, off int) (end int, ok bool) {
	for off < len(msg) {
		c := int(msg[off])
		switch {
		case c == 0:
			return off + 1, true
		case c&0xC0 == 0xC0:
			return off + 2, off+2 <= len(msg)
		case c&0xC0 != 0:
			return 0, false
		}
		off += 1 + c
	}
	return 0, false
}

// skipRecord returns where the record at off has its fixed fields (type,
// class, TTL, length: 10 bytes) and where it ends.
func skipRecord(msg []byte, off int) (fixed, end int, ok bool) {
	fixed, ok = skipName(msg, off)
	if !ok || fixed+10 > len(msg) {
		return 0, 0, false
	}
	end = fixed + 10 + int(be16(msg[fixed+8:]))
	return fixed, end, end <= len(msg)
}

// appendName adds a dotted name in wire format, lower case. The name has been
// validated: labels of 1 to 63 bytes, 253 in all, no escapes.
func appendName(b []byte, name string) []byte {
	for len(name) > 0 {
		i := 0
		for i < len(name) && name[i] != '.' {
			i++
		}
		b = append(b, byte(i))
		for j := range i {
			b = append(b, lowerByte(name[j]))
		}
		if i == len(name) {
			break
		}
		name = name[i+1:]
	}
	return append(b, 0)
}
