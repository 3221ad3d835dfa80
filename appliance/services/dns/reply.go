package dns

import "encoding/binary"

// Extended DNS errors (RFC 8914 §4).
const (
	edeStale    = 3
	edeFiltered = 17
)

// noSOA says that an answer has no SOA record of our own in it.
const noSOA = -1

// answer is what is said to a question, apart from the question itself.
type answer struct {
	rcode uint16
	aa    bool
	// an and ns count the records in body: answers first, then authorities.
	an, ns uint16
	// body are records in wire format whose name pointers, if any, point into
	// a question of this length.
	body []byte
	// ttlAt are the offsets of TTL fields in body, to be set to ttl; nil where
	// the TTLs in body stand.
	ttlAt []uint16
	ttl   uint32
	// soa is the offset in the question's name of the zone whose SOA is added,
	// to the answers if soaAnswers, else to the authorities; noSOA: none.
	soa        int
	soaAnswers bool
	soaTTL     uint32
	// ede is an extended error; 0: none.
	ede uint16
}

// soaLen is the length of what appendSOA adds.
const soaLen = 2 + 10 + soaDataLen

// soaDataLen is the length of an SOA's data: two names and five numbers.
const soaDataLen = 2 + len(soaMailbox) + 20

// soaMailbox is nobody.invalid, as RFC 6303 §3 has it.
const soaMailbox = "\x06nobody\x07invalid\x00"

// appendReply puts a reply together behind out. One that is too long for the
// client goes out empty with TC set (RFC 2181 §9), and the client asks again
// over TCP.
func appendReply(out []byte, q *query, a *answer, cookie []byte) []byte {
	start := len(out)
	size := headerLen + len(q.question) + len(a.body) + optLen(q, a, cookie)
	if a.soa != noSOA {
		size += soaLen
	}
	out = appendHeader(out, q, a.rcode)
	head := out[start:]
	if a.aa {
		head[2] |= flagAA >> 8
	}
	out = append(out, q.question...)
	if size > q.limit() {
		out[start+2] |= flagTC >> 8
		return appendOPT(out, start, q, a, cookie)
	}
	body := len(out)
	out = append(out, a.body...)
	for _, at := range a.ttlAt {
		binary.BigEndian.PutUint32(out[body+int(at):], a.ttl)
	}
	an, ns := a.an, a.ns
	if a.soa != noSOA {
		out = appendSOA(out, uint16(headerLen+a.soa), a.soaTTL)
		if a.soaAnswers {
			an++
		} else {
			ns++
		}
	}
	binary.BigEndian.PutUint16(out[start+6:], an)
	binary.BigEndian.PutUint16(out[start+8:], ns)
	return appendOPT(out, start, q, a, cookie)
}

// appendHeader adds a header with no records counted but the question. AD is
// never set: nothing was validated here.
func appendHeader(out []byte, q *query, rcode uint16) []byte {
	flags := flagQR | flagRA | q.flags&(opcodeMask|flagRD|flagCD) | rcode&0xF
	qd := byte(0)
	if len(q.question) > 0 {
		qd = 1
	}
	return append(out, byte(q.id>>8), byte(q.id), byte(flags>>8), byte(flags), 0, qd, 0, 0, 0, 0, 0, 0)
}

// appendSOA adds a zone's SOA, as negative answers must have it (RFC 2308 §3);
// zone is the offset of the zone's name in the message. The last number, the
// TTL of negative answers, is the record's own TTL, which RFC 2308 §5 takes the
// smaller of.
func appendSOA(out []byte, zone uint16, ttl uint32) []byte {
	hi, lo := byte(zone>>8)|0xC0, byte(zone)
	out = append(out, hi, lo, 0, typeSOA, 0, classIN)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = append(out, 0, byte(soaDataLen), hi, lo)
	out = append(out, soaMailbox...)
	for _, n := range [...]uint32{1, 3600, 1200, 604800, ttl} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}

// optLen is how much appendOPT adds.
func optLen(q *query, a *answer, cookie []byte) int {
	if !q.edns {
		return 0
	}
	n := 11
	if len(cookie) > 0 {
		n += 4 + len(cookie)
	}
	if a.ede != 0 {
		n += 6
	}
	return n
}

// appendOPT adds our OPT record if the client sent one (RFC 6891 §7): our own
// size, version 0, the client's DO bit (RFC 3225 §3).
func appendOPT(out []byte, start int, q *query, a *answer, cookie []byte) []byte {
	if !q.edns {
		return out
	}
	do := byte(0)
	if q.dnssec {
		do = 0x80
	}
	options := optLen(q, a, cookie) - 11
	out = append(out, 0, 0, typeOPT, byte(ednsUDPSize>>8), byte(ednsUDPSize&0xFF),
		byte(a.rcode>>4), 0, do, 0, byte(options>>8), byte(options))
	if len(cookie) > 0 {
		out = append(out, 0, optionCookie, 0, byte(len(cookie)))
		out = append(out, cookie...)
	}
	if a.ede != 0 {
		out = append(out, 0, optionEDE, 0, 2, byte(a.ede>>8), byte(a.ede))
	}
	out[start+11]++
	return out
}
