package dns

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// TTLs of what the router says of itself, in seconds. Local answers are short
// because the next spec may change them; the zones of RFC 6303 never change.
const (
	localTTL       = 30
	localNegative  = 10
	emptyNegative  = 3600
	minimalANYTTL  = 3600
	loopbackTTL    = 3600
	rfc8482Data    = "\x07RFC8482\x00" // HINFO data (RFC 8482 §4.2)
	selfPointer    = "\xC0\x0C"        // the question's own name
	reverseSuffix4 = "in-addr.arpa"
)

// rrset are the records of one type, ready to be put behind a question.
type rrset struct {
	typ   uint16
	count uint16
	body  []byte
}

// node is a name that exists. Without sets it is an empty non-terminal, or has
// no more than an SOA: other types get NODATA, not NXDOMAIN (RFC 8020).
type node struct{ sets []rrset }

func (n *node) add(typ uint16, ttl uint32, data []byte) {
	i := 0
	for i < len(n.sets) && n.sets[i].typ != typ {
		i++
	}
	if i == len(n.sets) {
		n.sets = append(n.sets, rrset{typ: typ})
	}
	s := &n.sets[i]
	s.body = append(s.body, selfPointer...)
	s.body = append(s.body, byte(typ>>8), byte(typ), 0, classIN)
	s.body = binary.BigEndian.AppendUint32(s.body, ttl)
	s.body = binary.BigEndian.AppendUint16(s.body, uint16(len(data)))
	s.body = append(s.body, data...)
	s.count++
}

// apex is a zone that is answered here and never asked about elsewhere.
type apex struct {
	negativeTTL uint32
	// loopback: every name in it is this host (RFC 6761 §6.3).
	loopback bool
}

// zone is all that one network's server knows without asking. It is built once
// and never changed. Keys are names in wire format, lower case.
type zone struct {
	nodes  map[string]*node
	apexes map[string]apex
	// forwardSingleLabel lets names of one label out.
	forwardSingleLabel bool
}

// newZone builds the zone of a network.
func newZone(c Config) *zone {
	z := &zone{
		nodes:              make(map[string]*node, 3*len(c.Records)+4),
		apexes:             make(map[string]apex, 160),
		forwardSingleLabel: c.ForwardSingleLabel,
	}
	z.addSpecialZones()
	z.addReverseZones(c.Subnet)
	if c.Domain != "" {
		z.apexes[string(appendName(nil, c.Domain))] = apex{negativeTTL: localNegative}
	}
	for _, r := range c.Records {
		z.addHost(c, r.Name, r.IP)
	}
	z.addAncestors()
	return z
}

// addHost adds a guest's names and its reverse name. Where two guests claim one
// name, or one address has two names, both are served.
func (z *zone) addHost(c Config, name string, ip netip.Addr) {
	typ, full := uint16(typeA), name
	if !ip.Is4() {
		typ = typeAAAA
	}
	if !strings.EqualFold(name, "localhost") { // is every guest's own
		z.node(appendName(nil, name)).add(typ, localTTL, ip.AsSlice())
	}
	if c.Domain != "" {
		full = name + "." + c.Domain
		z.node(appendName(nil, full)).add(typ, localTTL, ip.AsSlice())
	}
	if c.Subnet.Contains(ip) {
		z.node(appendName(nil, reverseName(ip))).add(typePTR, localTTL, appendName(nil, full))
	}
}

func (z *zone) node(name []byte) *node {
	n := z.nodes[string(name)]
	if n == nil {
		n = &node{}
		z.nodes[string(name)] = n
	}
	return n
}

// addAncestors makes the names between a host and its zone's apex exist.
func (z *zone) addAncestors() {
	var between []string
	for name := range z.nodes {
		for at, end := 0, z.apexStart(name); at < end; at += 1 + int(name[at]) {
			between = append(between, name[at:])
		}
	}
	for _, name := range between {
		z.node([]byte(name))
	}
}

// apexStart is where the name's zone begins in it; 0 for a name in no zone.
func (z *zone) apexStart(name string) int {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		if _, ok := z.apexes[name[at:]]; ok {
			return at
		}
	}
	return 0
}

// apexOf finds the zone that the question's name is in: its offset in the name.
func (z *zone) apexOf(q *query) (at int, a apex, ok bool) {
	for at = 0; q.name[at] != 0; at += 1 + int(q.name[at]) {
		if a, ok = z.apexes[string(q.name[at:q.nameLen])]; ok {
			return at, a, true
		}
	}
	return 0, apex{}, false
}

// lookup answers from the zone; false means that the question has to be asked
// elsewhere.
func (z *zone) lookup(q *query, a *answer) bool {
	n := z.nodes[string(q.lower())]
	if n != nil {
		for i := range n.sets {
			if s := &n.sets[i]; s.typ == q.qtype || q.qtype == typeANY {
				// One set is answer enough to ANY (RFC 8482 §4.1).
				a.aa, a.an, a.body = true, s.count, s.body
				return true
			}
		}
	}
	at, ap, ok := z.apexOf(q)
	switch {
	case ok:
		z.inZone(q, a, n, at, ap)
	case n != nil && q.labels > 1:
		z.negative(q, a, true, 0, localNegative) // a bare name with dots is its own zone
	case n != nil || q.labels == 1 && !z.forwardSingleLabel:
		// The root's SOA: the parent of a single label.
		z.negative(q, a, n != nil, q.nameLen-1, localNegative)
	case q.qtype == typeANY:
		a.an, a.body = 1, minimalANY
	default:
		return false
	}
	return true
}

// inZone answers what no record of ours does, for a name in a zone of ours.
func (z *zone) inZone(q *query, a *answer, n *node, at int, ap apex) {
	switch {
	case ap.loopback && (q.qtype == typeA || q.qtype == typeANY):
		a.aa, a.an, a.body = true, 1, loopbackA
	case ap.loopback && q.qtype == typeAAAA:
		a.aa, a.an, a.body = true, 1, loopbackAAAA
	case at == 0 && q.qtype == typeNS:
		a.aa, a.an, a.body = true, 1, selfNS
	default:
		z.negative(q, a, n != nil || at == 0 || ap.loopback, at, ap.negativeTTL)
	}
}

// negative is NODATA if the name exists, else NXDOMAIN, with the zone's SOA
// (RFC 2308 §2); asked for the SOA itself at the apex, it is the answer.
func (z *zone) negative(q *query, a *answer, exists bool, at int, ttl uint32) {
	a.aa, a.soa, a.soaTTL = true, at, ttl
	switch {
	case !exists:
		a.rcode = rcodeNXDomain
	case at == 0 && (q.qtype == typeSOA || q.qtype == typeANY):
		a.soaAnswers = true
	}
}

// prepared is the body of a single record owned by the question's name.
func prepared(typ uint16, ttl uint32, data string) []byte {
	var n node
	n.add(typ, ttl, []byte(data))
	return n.sets[0].body
}

var (
	minimalANY   = prepared(typeHINFO, minimalANYTTL, rfc8482Data)
	loopbackA    = prepared(typeA, loopbackTTL, "\x7f\x00\x00\x01")
	loopbackAAAA = prepared(typeAAAA, loopbackTTL, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	selfNS       = prepared(typeNS, emptyNegative, selfPointer)
)
