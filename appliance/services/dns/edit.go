package dns

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// edit makes other names of names. What it leads to depends on the records
// that there are then, and not on the order in which they came and went.
type edit struct {
	from  names
	pages []pageEdit // of the same numbers
	// hint is how many operations a page may expect.
	hint int
	// What follows is of the page and the node at hand.
	nodes []byte
	spots []spot
	recs  []rr
}

// pageEdit is what happens to a page. It lies together, as pages are many.
type pageEdit struct {
	ops  []op
	text []byte
}

// op is a claim on a name that is made or given up.
type op struct {
	hash       uint64
	name, data span
	typ        uint16 // 0: no record goes with it
	by         int8   // 1 or -1
}

// span is a part of a page's text.
type span struct{ at, end uint32 }

func (p *pageEdit) keep(b []byte) span {
	at := uint32(len(p.text))
	p.text = append(p.text, b...)
	return span{at, uint32(len(p.text))}
}

func (p *pageEdit) bytes(s span) []byte { return p.text[s.at:s.end] }

// spot is where a node is.
type spot struct {
	hash uint64
	at   int
}

// rr is a record of a node.
type rr struct {
	typ  uint16
	data []byte
	// times it was added: two hosts may have one address, and one name in two
	// spellings.
	times int
}

// newEdit begins an edit of so many hosts.
func newEdit(from names, hosts int) *edit {
	const ops = 5 // of a host: bare, whole and reverse name, one between, and uneven pages
	return &edit{from: from, pages: make([]pageEdit, len(from.pages)), hint: 1 + ops*hosts/len(from.pages)}
}

// claim makes a claim on a name, with a record of it unless typ is 0, or gives
// it up.
func (e *edit) claim(name []byte, typ uint16, data []byte, by int8) {
	hash := maphash.Bytes(e.from.seed, name)
	p := &e.pages[e.from.of(hash)]
	if p.ops == nil {
		const text = 30 // of an operation
		p.ops, p.text = make([]op, 0, e.hint), make([]byte, 0, text*e.hint)
	}
	p.ops = append(p.ops, op{hash, p.keep(name), p.keep(data), typ, by})
}

// done gives the names that the edit leads to.
func (e *edit) done() names {
	n := e.from
	n.pages = slices.Clone(n.pages)
	for i := range e.pages {
		if p := &e.pages[i]; len(p.ops) > 0 {
			n.len -= n.pages[i].len()
			n.pages[i] = e.page(n.pages[i], p)
			n.len += n.pages[i].len()
			*p = pageEdit{}
		}
	}
	for n.crowded() {
		n = n.split()
	}
	return n
}

// page is the next of a page: its nodes and the operations are gone through
// together, in the order of hash and name.
func (e *edit) page(old page, p *pageEdit) page {
	slices.SortFunc(p.ops, func(a, b op) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return bytes.Compare(p.bytes(a.name), p.bytes(b.name))
	})
	e.nodes, e.spots = append(e.nodes[:0], 0), e.spots[:0]
	for rest := old.nodes[1:]; len(rest) > 0; {
		n, end := nextNode(rest)
		hash := maphash.Bytes(e.from.seed, n.name)
		for len(p.ops) > 0 && p.before(hash, n.name) {
			e.renew(node{name: p.bytes(p.ops[0].name)}, p)
		}
		if len(p.ops) > 0 && p.about(hash, n.name) {
			e.renew(n, p)
		} else {
			e.spots = append(e.spots, spot{hash, len(e.nodes)})
			e.nodes = append(e.nodes, rest[:end]...)
		}
		rest = rest[end:]
	}
	for len(p.ops) > 0 {
		e.renew(node{name: p.bytes(p.ops[0].name)}, p)
	}
	return indexed(e.nodes, e.spots)
}

// before reports whether the first operation's name comes before another.
func (p *pageEdit) before(hash uint64, name []byte) bool {
	o := &p.ops[0]
	return o.hash < hash || o.hash == hash && bytes.Compare(p.bytes(o.name), name) < 0
}

// about reports whether the first operation is about a name.
func (p *pageEdit) about(hash uint64, name []byte) bool {
	return p.ops[0].hash == hash && bytes.Equal(p.bytes(p.ops[0].name), name)
}

// renew writes a node as the first operations, those about it, make it, and
// takes them off. One that nobody claims any more is left out.
func (e *edit) renew(n node, p *pageEdit) {
	hash, claims := p.ops[0].hash, int(n.claims)
	e.recs = n.sets.appendRecords(e.recs[:0])
	for len(p.ops) > 0 && p.about(hash, n.name) {
		o := p.ops[0]
		if claims += int(o.by); o.typ != 0 {
			e.recs = append(e.recs, rr{o.typ, p.bytes(o.data), int(o.by)})
		}
		p.ops = p.ops[1:]
	}
	if claims > 0 {
		e.spots = append(e.spots, spot{hash, len(e.nodes)})
		e.nodes = appendNode(e.nodes, n.name, claims, summed(e.recs))
	}
}

// summed are the records that are there, each once, by type and data: the
// canonical order of RFC 4034 §6.3.
func summed(recs []rr) []rr {
	if len(recs) > 1 {
		slices.SortFunc(recs, func(a, b rr) int {
			if a.typ != b.typ {
				return cmp.Compare(a.typ, b.typ)
			}
			return bytes.Compare(a.data, b.data)
		})
	}
	out := recs[:0]
	for _, r := range recs {
		if last := len(out) - 1; last >= 0 && out[last].typ == r.typ && bytes.Equal(out[last].data, r.data) {
			out[last].times += r.times
		} else {
			out = append(out, r)
		}
	}
	return slices.DeleteFunc(out, func(r rr) bool { return r.times <= 0 })
}

func appendNode(out, name []byte, claims int, recs []rr) []byte {
	out = append(append(out, byte(len(name))), name...)
	out = binary.BigEndian.AppendUint32(out, uint32(claims))
	length := len(out)
	out = append(out, 0, 0, 0, 0)
	for len(recs) > 0 {
		n := 1
		for n < len(recs) && recs[n].typ == recs[0].typ {
			n++
		}
		out, recs = appendSet(out, recs[:n]), recs[n:]
	}
	binary.BigEndian.PutUint32(out[length:], uint32(len(out)-length-4))
	return out
}

// appendSet adds records of one type.
func appendSet(out []byte, recs []rr) []byte {
	out = binary.BigEndian.AppendUint16(out, recs[0].typ)
	out = binary.BigEndian.AppendUint16(out, uint16(len(recs)))
	length := len(out)
	out = append(out, 0, 0, 0, 0)
	for _, r := range recs {
		out = appendRecord(out, r.typ, localTTL, r.data)
	}
	binary.BigEndian.PutUint32(out[length:], uint32(len(out)-length-4))
	for _, r := range recs {
		out = binary.BigEndian.AppendUint16(out, uint16(r.times))
	}
	return out
}

// appendRecords adds the records of the sets.
func (s rrsets) appendRecords(recs []rr) []rr {
	const head = len(selfPointer) + 10 // of a record
	for len(s) > 0 {
		typ, count, body, rest := s.next()
		times := s[:len(s)-len(rest)][setHeader+len(body):]
		for i := range int(count) {
			end := head + int(be16(body[head-2:]))
			recs = append(recs, rr{typ, body[head:end], int(be16(times[2*i:]))})
			body = body[end:]
		}
		s = rest
	}
	return recs
}

// indexed is a page of its own memory.
func indexed(nodes []byte, spots []spot) page {
	s := page{slots: make([]uint64, 2*len(spots)+1), nodes: bytes.Clone(nodes)}
	for _, p := range spots {
		s.point(p.hash, p.at)
	}
	return s
}
