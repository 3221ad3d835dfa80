package dns

import (
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

// apex is a zone that is answered here and never asked about elsewhere.
type apex struct {
	negativeTTL uint32
	// loopback: every name in it is this host (RFC 6761 §6.3).
	loopback bool
}

// zone is all that one network's server knows without asking. It is built once
// and never changed.
type zone struct {
	names names
	// apexes by name in wire format, lower case.
	apexes map[string]apex
	// forwardSingleLabel lets names of one label out.
	forwardSingleLabel bool
}

// newZone builds the zone of a network.
func newZone(c Config) *zone {
	z := &zone{
		apexes:             make(map[string]apex, 160),
		forwardSingleLabel: c.ForwardSingleLabel,
	}
	z.addSpecialZones()
	z.addReverseZones(c.Subnet)
	if c.Domain != "" {
		z.apexes[string(appendName(nil, c.Domain))] = apex{negativeTTL: localNegative}
	}
	b := newNamer(len(c.Records))
	for _, r := range c.Records {
		b.addHost(c, r.Name, r.IP)
	}
	z.addAncestors(b)
	z.names = b.build()
	return z
}

// addHost adds a guest's names and its reverse name. Where two guests claim one
// name, or one address has two names, both are served.
func (b *namer) addHost(c Config, name string, ip netip.Addr) {
	var bare, full, reverse [maxNameLen]byte
	wire := appendName(bare[:0], name)
	typ, whole := uint16(typeA), wire
	if !ip.Is4() {
		typ = typeAAAA
	}
	if !strings.EqualFold(name, "localhost") { // is every guest's own
		b.add(wire, typ, localTTL, ip.AsSlice())
	}
	if c.Domain != "" {
		whole = appendName(append(full[:0], wire[:len(wire)-1]...), c.Domain)
		b.add(whole, typ, localTTL, ip.AsSlice())
	}
	if c.Subnet.Contains(ip) {
		b.add(appendReverse(reverse[:0], ip), typePTR, localTTL, whole)
	}
}

// addAncestors makes the names between a host and its zone's apex exist.
func (z *zone) addAncestors(b *namer) {
	for i := range len(b.nodes) {
		name := b.bytes(b.nodes[i].name) // stands, even if the text grows
		for at, end := 0, z.apexStart(name); at < end; at += 1 + int(name[at]) {
			b.touch(name[at:])
		}
	}
}

// apexStart is where the name's zone begins in it; 0 for a name in no zone.
func (z *zone) apexStart(name []byte) int {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		if _, ok := z.apexes[string(name[at:])]; ok {
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
	sets, exists := z.names.find(q.lower())
	for len(sets) > 0 {
		var typ, count uint16
		var body []byte
		if typ, count, body, sets = sets.next(); typ == q.qtype || q.qtype == typeANY {
			// One set is answer enough to ANY (RFC 8482 §4.1).
			a.aa, a.an, a.body = true, count, body
			return true
		}
	}
	at, ap, ok := z.apexOf(q)
	switch {
	case ok:
		z.inZone(q, a, exists, at, ap)
	case exists && q.labels > 1:
		z.negative(q, a, true, 0, localNegative) // a bare name with dots is its own zone
	case exists || q.labels == 1 && !z.forwardSingleLabel:
		// The root's SOA: the parent of a single label.
		z.negative(q, a, exists, q.nameLen-1, localNegative)
	case q.qtype == typeANY:
		a.an, a.body = 1, minimalANY
	default:
		return false
	}
	return true
}

// inZone answers what no record of ours does, for a name in a zone of ours.
func (z *zone) inZone(q *query, a *answer, exists bool, at int, ap apex) {
	switch {
	case ap.loopback && (q.qtype == typeA || q.qtype == typeANY):
		a.aa, a.an, a.body = true, 1, loopbackA
	case ap.loopback && q.qtype == typeAAAA:
		a.aa, a.an, a.body = true, 1, loopbackAAAA
	case at == 0 && q.qtype == typeNS:
		a.aa, a.an, a.body = true, 1, selfNS
	default:
		z.negative(q, a, exists || at == 0 || ap.loopback, at, ap.negativeTTL)
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
	return appendRecord(nil, typ, ttl, []byte(data))
}

var (
	minimalANY   = prepared(typeHINFO, minimalANYTTL, rfc8482Data)
	loopbackA    = prepared(typeA, loopbackTTL, "\x7f\x00\x00\x01")
	loopbackAAAA = prepared(typeAAAA, loopbackTTL, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	selfNS       = prepared(typeNS, emptyNegative, selfPointer)
)
