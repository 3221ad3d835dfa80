package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	miekg "github.com/miekg/dns"
)

// What an upstream's answer can be besides good.
var (
	errMalformed = errors.New("malformed answer")
	errTruncated = errors.New("truncated answer")
)

// rcodeError is an answer that says the upstream could not or would not answer.
type rcodeError int

func (e rcodeError) Error() string { return "upstream answered " + miekg.RcodeToString[int(e)] }

// maxChain bounds the CNAMEs followed in one answer.
const maxChain = 16

// digest turns an upstream's answer, whose id and question have been matched,
// into an entry. Of all the records only those are kept that answer the
// question: the chain of CNAMEs in order, the records at its end, and for
// negative answers the SOA (with the proofs of either, if asked with DO).
// Whatever else an upstream puts in is not looked at again (RFC 2181 §5.4.1).
func digest(msg []byte, q *ask, blocked []netip.Prefix) (e *entry, err error) {
	defer func() {
		// The codec parses what strangers send; a fault in it must cost one
		// answer, not the router's agent.
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("%w: codec: %v", errMalformed, r)
		}
	}()
	if msg[2]&(flagTC>>8) != 0 {
		return nil, errTruncated // before unpacking: some cut a record in the middle
	}
	copy(msg[headerLen:], q.name) // undo 0x20: compressed names point here
	var m miekg.Msg
	if err := m.Unpack(msg); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError {
		return nil, rcodeError(m.Rcode)
	}
	s := sift(&m, q)
	if s.hollow() {
		return nil, fmt.Errorf("%w: record without data", errMalformed)
	}
	if s.rebinds(blocked) {
		return &entry{ttl: filteredTTL, ede: edeFiltered}, nil
	}
	return s.entry(q)
}

// sifted is what is kept of an answer.
type sifted struct {
	qname   string
	rcode   int
	answers []miekg.RR
	ns      []miekg.RR
	// found: the chain ends in records of the type asked for.
	found bool
	// chained: there is a CNAME.
	chained bool
	ttl     uint32
}

func sift(m *miekg.Msg, q *ask) *sifted {
	s := &sifted{qname: m.Question[0].Name, rcode: m.Rcode, ttl: maxPositiveTTL}
	cur, hops := s.qname, 0
	owners := map[string]bool{cur: true}
	for _, rr := range m.Answer {
		h := rr.Header()
		name := strings.ToLower(h.Name)
		if q.dnssec && h.Rrtype == miekg.TypeDNAME && miekg.IsSubDomain(name, cur) {
			owners[name] = true // what the next CNAME was made from (RFC 6672 §3.1)
		}
		if h.Class != miekg.ClassINET || !owners[name] {
			continue
		}
		switch {
		case name == cur && h.Rrtype == q.qtype:
			s.found = true
		case name == cur && h.Rrtype == miekg.TypeCNAME && !s.found && hops < maxChain:
			hops++
			s.chained = true
			cur = strings.ToLower(rr.(*miekg.CNAME).Target)
			owners[cur] = true
		case q.dnssec && (h.Rrtype == miekg.TypeDNAME || covers(rr, q.qtype, miekg.TypeCNAME, miekg.TypeDNAME)):
		default:
			continue
		}
		h.Name = name
		s.answers = append(s.answers, rr)
		s.lower(h.Ttl)
	}
	s.authorities(m, q, cur)
	return s
}

// authorities keeps the SOA of a negative answer, and proofs.
func (s *sifted) authorities(m *miekg.Msg, q *ask, cur string) {
	var soa bool
	for _, rr := range m.Ns {
		h := rr.Header()
		if h.Class != miekg.ClassINET {
			continue
		}
		switch v := rr.(type) {
		case *miekg.SOA:
			if s.found || soa || !miekg.IsSubDomain(strings.ToLower(h.Name), cur) {
				continue
			}
			soa = true
			s.ttl = min(s.ttl, maxNegativeTTL)
			s.lower(min(wireTTL(h.Ttl), wireTTL(v.Minttl)))
		case *miekg.NSEC, *miekg.NSEC3:
			if !q.dnssec {
				continue
			}
			s.lower(h.Ttl)
		default:
			if !q.dnssec || !covers(rr, miekg.TypeSOA, miekg.TypeNSEC, miekg.TypeNSEC3) {
				continue
			}
			s.lower(h.Ttl)
		}
		s.ns = append(s.ns, rr)
	}
	if !s.found && !soa {
		s.ttl = 0 // RFC 2308 §5: not to be cached
	}
}

// wireTTL takes a TTL with its highest bit set for 0 (RFC 2181 §8).
func wireTTL(ttl uint32) uint32 {
	if ttl >= 1<<31 {
		return 0
	}
	return ttl
}

func (s *sifted) lower(ttl uint32) { s.ttl = min(s.ttl, wireTTL(ttl)) }

// covers reports whether rr is a signature over one of the types.
func covers(rr miekg.RR, types ...uint16) bool {
	sig, ok := rr.(*miekg.RRSIG)
	if !ok {
		return false
	}
	for _, t := range types {
		if sig.TypeCovered == t {
			return true
		}
	}
	return false
}

// hollow reports whether a record that is kept has no data though its type must
// have some, or ends before its name: the codec takes those for dynamic updates,
// and packs them wrong.
func (s *sifted) hollow() bool {
	for _, rrs := range [][]miekg.RR{s.answers, s.ns} {
		for _, rr := range rrs {
			if empty(rr) {
				return true
			}
		}
	}
	return false
}

func empty(rr miekg.RR) bool {
	switch v := rr.(type) {
	case *miekg.SOA:
		return v.Mbox == ""
	case *miekg.MX:
		return v.Mx == ""
	case *miekg.SRV:
		return v.Target == ""
	case *miekg.SVCB:
		return v.Target == ""
	case *miekg.HTTPS:
		return v.Target == ""
	case *miekg.NAPTR:
		return v.Replacement == ""
	case *miekg.AFSDB:
		return v.Hostname == ""
	case *miekg.KX:
		return v.Exchanger == ""
	case *miekg.RP:
		return v.Txt == ""
	case *miekg.RRSIG:
		return v.SignerName == ""
	case *miekg.APL, *miekg.NULL, *miekg.RFC3597:
		return false
	}
	return rr.Header().Rdlength == 0
}

// rebinds reports whether an address in the answer is a blocked one, in SVCB
// hints too (RFC 9460 §7.3), which browsers connect to like any other.
func (s *sifted) rebinds(blocked []netip.Prefix) bool {
	for _, rr := range s.answers {
		switch v := rr.(type) {
		case *miekg.A:
			if ipBlocked(blocked, v.A) {
				return true
			}
		case *miekg.AAAA:
			if ipBlocked(blocked, v.AAAA) {
				return true
			}
		case *miekg.SVCB:
			if hintBlocked(blocked, v.Value) {
				return true
			}
		case *miekg.HTTPS:
			if hintBlocked(blocked, v.Value) {
				return true
			}
		}
	}
	return false
}

func ipBlocked(blocked []netip.Prefix, ip []byte) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && blockedBy(blocked, a)
}

func hintBlocked(blocked []netip.Prefix, params []miekg.SVCBKeyValue) bool {
	for _, p := range params {
		switch v := p.(type) {
		case *miekg.SVCBIPv4Hint:
			for _, ip := range v.Hint {
				if ipBlocked(blocked, ip) {
					return true
				}
			}
		case *miekg.SVCBIPv6Hint:
			for _, ip := range v.Hint {
				if ipBlocked(blocked, ip) {
					return true
				}
			}
		}
	}
	return false
}

// entry packs what is kept behind a question of q's length. Positive answers
// are compressed against the question; negative ones are not at all, because
// they may have to stand behind a longer name (RFC 8020).
func (s *sifted) entry(q *ask) (*entry, error) {
	out := miekg.Msg{
		Question: []miekg.Question{{Name: s.qname, Qtype: q.qtype, Qclass: miekg.ClassINET}},
		Answer:   s.answers, Ns: s.ns, Compress: s.found || s.chained,
	}
	msg, err := out.Pack()
	if err != nil {
		return nil, fmt.Errorf("%w: pack: %w", errMalformed, err)
	}
	start := headerLen + len(q.name) + 4
	if len(msg) < start {
		return nil, errMalformed
	}
	e := &entry{
		rcode: uint16(s.rcode), an: uint16(len(s.answers)), ns: uint16(len(s.ns)), ttl: s.ttl,
		wholeName: s.rcode == rcodeNXDomain && !s.chained && !q.dnssec,
	}
	if s.found {
		e.rcode = rcodeSuccess
	}
	for off := start; off < len(msg); {
		fixed, end, ok := skipRecord(msg, off)
		if !ok {
			return nil, errMalformed
		}
		e.ttlAt = append(e.ttlAt, uint16(fixed+4-start))
		binary.BigEndian.PutUint32(msg[fixed+4:], s.ttl)
		off = end
	}
	e.body = append([]byte(nil), msg[start:]...)
	return e, nil
}
