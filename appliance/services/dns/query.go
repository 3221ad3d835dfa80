package dns

// query is one parsed question. It points into the packet it was parsed from
// and is reused from packet to packet, so that parsing allocates nothing.
type query struct {
	id    uint16
	flags uint16
	// question is the question section as sent, case included; empty when it
	// could not be read.
	question []byte
	// name is the question's name in wire format, lower case.
	name    [maxNameLen]byte
	nameLen int
	labels  int
	qtype   uint16
	qclass  uint16
	// overTCP lifts the size limit.
	overTCP bool

	edns    bool
	version uint8
	udpSize uint16
	dnssec  bool // the DO bit (RFC 3225)
	// cookie is the client's half of a DNS cookie (RFC 7873 §4.1).
	cookie    [clientCookieLen]byte
	hasCookie bool
}

// parsed says what is to be done with a packet.
type parsed uint8

const (
	parsedOK      parsed = iota
	parsedSilence        // not a query: answering could start a loop
	parsedFormat         // FORMERR
	parsedNotImp         // an opcode we do not have
	parsedVersion        // BADVERS (RFC 6891 §6.1.3)
	parsedCookie         // no question, but a cookie was asked for (RFC 7873 §5.4)
)

// lower is the name as a key.
func (q *query) lower() []byte { return q.name[:q.nameLen] }

// parse reads a packet. Names in questions are never compressed: nothing
// stands before them that they could point to.
func (q *query) parse(pkt []byte, overTCP bool) parsed {
	if len(pkt) < headerLen {
		return parsedSilence
	}
	q.id, q.flags = be16(pkt), be16(pkt[2:])
	q.question, q.nameLen, q.labels = nil, 0, 0
	q.qtype, q.qclass = 0, 0
	q.overTCP, q.edns, q.version, q.udpSize = overTCP, false, 0, plainUDPSize
	q.dnssec, q.hasCookie = false, false
	if q.flags&flagQR != 0 {
		return parsedSilence
	}
	if q.flags&opcodeMask != 0 {
		return parsedNotImp
	}
	questions, additional := be16(pkt[4:]), be16(pkt[10:])
	if questions > 1 || be16(pkt[6:]) != 0 || be16(pkt[8:]) != 0 {
		return parsedFormat // RFC 9619: one question at most
	}
	end := headerLen
	if questions == 1 {
		if end = q.parseQuestion(pkt); end == 0 {
			return parsedFormat
		}
	}
	end, ok := q.parseAdditional(pkt, end, int(additional))
	switch {
	case !ok || end != len(pkt):
		return parsedFormat
	case q.version != 0:
		return parsedVersion
	case questions == 0 && q.hasCookie:
		return parsedCookie
	case questions == 0:
		return parsedFormat
	}
	return parsedOK
}

// parseQuestion reads the only question and returns where it ends, or 0.
func (q *query) parseQuestion(pkt []byte) int {
	off := headerLen
	for {
		if off >= len(pkt) {
			return 0
		}
		c := int(pkt[off])
		at := off - headerLen
		if c > maxLabelLen || off+1+c > len(pkt) || c > 0 && at+c+2 > maxNameLen {
			return 0
		}
		q.name[at] = byte(c)
		for i := 1; i <= c; i++ {
			q.name[at+i] = lowerByte(pkt[off+i])
		}
		off += 1 + c
		if c == 0 {
			break
		}
		q.labels++
	}
	if off+4 > len(pkt) {
		return 0
	}
	q.nameLen = off - headerLen
	q.qtype, q.qclass = be16(pkt[off:]), be16(pkt[off+2:])
	q.question = pkt[headerLen : off+4]
	return off + 4
}

// parseAdditional reads the additional section. Only OPT matters; others, such
// as signatures that we cannot check, are passed over.
func (q *query) parseAdditional(pkt []byte, off, n int) (end int, ok bool) {
	for range n {
		fixed, end, ok := skipRecord(pkt, off)
		if !ok {
			return 0, false
		}
		if be16(pkt[fixed:]) == typeOPT {
			// One OPT at most, owned by the root (RFC 6891 §6.1.1, §6.1.2).
			if q.edns || fixed != off+1 {
				return 0, false
			}
			q.edns = true
			q.udpSize = max(be16(pkt[fixed+2:]), plainUDPSize)
			q.version = pkt[fixed+5]
			q.dnssec = pkt[fixed+6]&0x80 != 0
			if !q.parseOptions(pkt[fixed+10 : end]) {
				return 0, false
			}
		}
		off = end
	}
	return off, true
}

// parseOptions reads EDNS options; only the cookie matters.
func (q *query) parseOptions(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 || len(b) < 4+int(be16(b[2:])) {
			return false
		}
		code, value := be16(b), b[4:4+int(be16(b[2:]))]
		if code == optionCookie && !q.hasCookie {
			// 8 bytes alone, or with a server's part of 8 to 32 (RFC 7873 §5.2.2).
			if len(value) != clientCookieLen && (len(value) < 16 || len(value) > 40) {
				return false
			}
			copy(q.cookie[:], value)
			q.hasCookie = true
		}
		b = b[4+len(value):]
	}
	return true
}

// limit is the largest answer the client takes, in bytes.
func (q *query) limit() int {
	if q.overTCP {
		return maxMessage
	}
	return int(min(q.udpSize, ednsUDPSize))
}
