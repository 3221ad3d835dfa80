package dns

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
)

// ask is a question for the upstreams.
type ask struct {
	// name is in wire format, lower case.
	name  []byte
	qtype uint16
	// dnssec and noCheck pass on the client's DO and CD bits.
	dnssec, noCheck bool
}

// keyOf is the cache's key of a question, put into buf: name, type, and the
// bits that change the answer.
func keyOf(buf *[maxNameLen + 3]byte, name []byte, qtype uint16, dnssec, noCheck bool) []byte {
	n := copy(buf[:], name)
	buf[n], buf[n+1], buf[n+2] = byte(qtype>>8), byte(qtype), 0
	if dnssec {
		buf[n+2] |= 1
	}
	if noCheck {
		buf[n+2] |= 2
	}
	return buf[:n+3]
}

// typeWhole is the key type of "nothing at this name or below" (RFC 8020).
const typeWhole = 0

// sent is one query on its way: what an answer has to match.
type sent struct {
	id       uint16
	question []byte
	packet   []byte
}

// pack makes a query with a random id and random case (RFC 5452 §9.2, and the
// 0x20 draft: one more bit of entropy per letter). The EDNS options go with it
// if edns is set.
func (q *ask) pack(edns bool, options []byte) sent {
	var entropy [2 + maxNameLen/8 + 1]byte
	rand.Read(entropy[:]) //nolint:errcheck // never fails: it ends the process instead
	flags := uint16(flagRD)
	if q.noCheck {
		flags |= flagCD
	}
	p := make([]byte, 0, headerLen+len(q.name)+4+11+len(options))
	p = append(p, entropy[0], entropy[1], byte(flags>>8), byte(flags), 0, 1, 0, 0, 0, 0, 0, 0)
	for i, c := range q.name {
		if c-'a' < 26 && entropy[2+i/8]>>(i%8)&1 != 0 {
			c -= 'a' - 'A'
		}
		p = append(p, c)
	}
	p = binary.BigEndian.AppendUint16(p, q.qtype)
	p = binary.BigEndian.AppendUint16(p, classIN)
	s := sent{id: be16(entropy[:]), question: p[headerLen:len(p):len(p)]}
	if edns {
		do := byte(0)
		if q.dnssec {
			do = 0x80
		}
		p = append(p, 0, 0, typeOPT, byte(ednsUDPSize>>8), byte(ednsUDPSize&0xFF), 0, 0, do, 0, byte(len(options)>>8), byte(len(options)))
		p = append(p, options...)
		p[11] = 1
	}
	s.packet = p
	return s
}

// matches reports whether a datagram answers this query: id, opcode, and the
// question to the letter's case. Everything else is somebody else's, and must
// not end the exchange.
func (s *sent) matches(msg []byte) bool {
	return len(msg) >= headerLen+len(s.question) &&
		be16(msg) == s.id &&
		be16(msg[2:])&(flagQR|opcodeMask) == flagQR &&
		be16(msg[4:]) == 1 &&
		bytes.Equal(msg[headerLen:headerLen+len(s.question)], s.question)
}

// optionsOf are the EDNS options of a message; none: it has no OPT, or cannot be
// read that far.
func optionsOf(msg []byte) []byte {
	if len(msg) < headerLen {
		return nil
	}
	var ok bool
	off := headerLen
	for range be16(msg[4:]) {
		if off, ok = skipName(msg, off); !ok || off+4 > len(msg) {
			return nil
		}
		off += 4
	}
	for range int(be16(msg[6:])) + int(be16(msg[8:])) + int(be16(msg[10:])) {
		fixed, end, ok := skipRecord(msg, off)
		if !ok {
			return nil
		}
		if be16(msg[fixed:]) == typeOPT {
			return msg[fixed+10 : end]
		}
		off = end
	}
	return nil
}
