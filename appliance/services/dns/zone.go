package dns

import (
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
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

// zone is all that one network's server knows without asking. It never changes:
// an edit makes another.
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
	const names = 3 // of a host: bare, whole, reverse
	z.names = newNames(names * len(c.Records))
	return z.edited(c, agentv1.Edit[agentv1.DNSRecord]{Add: c.Records})
}

// next is the zone of another config: the very same one if nothing of it differs,
// and where little does, that is all that is made anew.
func (z *zone) next(old, c Config) *zone {
	if old.Domain != c.Domain || old.Subnet != c.Subnet || old.ForwardSingleLabel != c.ForwardSingleLabel {
		return newZone(c)
	}
	if sameRecords(old.Records, c.Records) {
		return z
	}
	records := func(c Config) agentv1.Content {
		return agentv1.Content{DNS: []agentv1.DNSNetwork{{Records: c.Records}}}
	}
	ch, ok := records(old).Difference(records(c))
	if !ok || ch.Len() > len(c.Records)/2 {
		return newZone(c)
	}
	return z.edited(c, ch.DNS[0].Records)
}

// edited is the zone of c, whose records are those of before but for an edit.
func (z *zone) edited(c Config, records agentv1.Edit[agentv1.DNSRecord]) *zone {
	e := newEdit(z.names, records.Len())
	for _, r := range records.Remove {
		z.claimHost(e, c, r, -1)
	}
	for _, r := range records.Add {
		z.claimHost(e, c, r, 1)
	}
	next := *z
	next.names = e.done()
	return &next
}

// claimHost claims a guest's names and its reverse name, or gives them up. Where
// two guests claim one name, or one address has two names, both are served.
func (z *zone) claimHost(e *edit, c Config, r agentv1.DNSRecord, by int8) {
	var bare, full, reverse [maxNameLen]byte
	name := appendName(bare[:0], r.Name)
	ip, typ, whole := r.IP.As16(), uint16(typeAAAA), name
	address := ip[:]
	if r.IP.Is4() {
		address, typ = ip[12:], typeA
	}
	if !strings.EqualFold(r.Name, "localhost") { // is every guest's own
		z.claim(e, name, typ, address, by)
	}
	if c.Domain != "" {
		whole = appendName(append(full[:0], name[:len(name)-1]...), c.Domain)
		z.claim(e, whole, typ, address, by)
	}
	if c.Subnet.Contains(r.IP) {
		z.claim(e, appendReverse(reverse[:0], r.IP), typePTR, whole, by)
	}
}

// claim claims a name for a record, and those between it and its zone's apex,
// which exist for that.
func (z *zone) claim(e *edit, name []byte, typ uint16, data []byte, by int8) {
	e.claim(name, typ, data, by)
	for at, apex := 1+int(name[0]), z.apexStart(name); at < apex; at += 1 + int(name[at]) {
		e.claim(name[at:], 0, nil, by)
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
