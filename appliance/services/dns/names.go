package dns

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// names are the names that exist, with their records ready to be put behind a
// question. They never change: an edit makes others, which share with them all
// pages that it has nothing to do with.
type names struct {
	seed  maphash.Seed
	pages []page // a power of two of them
	len   int
}

// page has the names of some hashes, in two pieces of memory without pointers:
// a lookup touches a line of each, and the collector has nothing to look at.
type page struct {
	// slots are a table with open addressing, half full: the upper half of the
	// name's hash above its place in nodes; 0 is free.
	slots []uint64
	// nodes begin with a byte that is not used, so that no place is 0. They are
	// in the order of hash and name.
	nodes []byte
}

// perPage is how many names are in a page when it is made: a change copies
// those of a few pages, and the list of all pages.
const perPage = 128

// newNames has none, and pages for so many.
func newNames(expected int) names {
	n := names{seed: maphash.MakeSeed(), pages: make([]page, 1<<bits.Len(uint(expected/perPage)))}
	for i := range n.pages {
		n.pages[i] = indexed([]byte{0}, nil)
	}
	return n
}

// crowded: so many names have come since the pages were made that changes
// cost several times what they could.
func (n *names) crowded() bool { return n.len > 4*perPage*len(n.pages) }

// split has four pages for each.
func (n *names) split() names {
	next := names{seed: n.seed, pages: make([]page, 4*len(n.pages)), len: n.len}
	nodes, spots := make([][]byte, len(next.pages)), make([][]spot, len(next.pages))
	for i := range nodes {
		nodes[i] = []byte{0}
	}
	for _, b := range n.pages {
		for rest := b.nodes[1:]; len(rest) > 0; {
			node, end := nextNode(rest)
			hash := maphash.Bytes(n.seed, node.name)
			i := next.of(hash)
			spots[i] = append(spots[i], spot{hash, len(nodes[i])})
			nodes[i], rest = append(nodes[i], rest[:end]...), rest[end:]
		}
	}
	for i := range next.pages {
		next.pages[i] = indexed(nodes[i], spots[i])
	}
	return next
}

// of is the page of a hash.
func (n *names) of(hash uint64) int { return int(hash) & (len(n.pages) - 1) }

// find finds a name in wire format, lower case.
func (n *names) find(name []byte) (rrsets, bool) {
	hash := maphash.Bytes(n.seed, name)
	s := &n.pages[n.of(hash)]
	for i := s.first(hash); ; {
		slot := s.slots[i]
		if slot == 0 {
			return nil, false
		}
		if slot>>32 == hash>>32 {
			b := s.nodes[uint32(slot):]
			if end := 1 + int(b[0]); bytes.Equal(b[1:end], name) {
				return rrsets(b[end+nodeHeader : end+nodeHeader+int(be32(b[end+4:]))]), true
			}
		}
		if i++; i == uint64(len(s.slots)) {
			i = 0
		}
	}
}

// len is the number of names: each has two slots.
func (s *page) len() int { return len(s.slots) / 2 }

// first is where a hash is looked for first. Its lowest bits are the page's.
func (s *page) first(hash uint64) uint64 { return hash >> 16 & 0xFFFF * uint64(len(s.slots)) >> 16 }

// point makes a slot for the node at a place.
func (s *page) point(hash uint64, place int) {
	i := s.first(hash)
	for s.slots[i] != 0 {
		if i++; i == uint64(len(s.slots)) {
			i = 0
		}
	}
	s.slots[i] = hash>>32<<32 | uint64(place)
}

// each calls f with every name that exists.
func (n *names) each(f func(node)) {
	for i := range n.pages {
		for rest := n.pages[i].nodes[1:]; len(rest) > 0; {
			node, end := nextNode(rest)
			f(node)
			rest = rest[end:]
		}
	}
}

// node is a name that exists, in nodes: its length (1) and itself, how often it
// was claimed (4), the length of its sets (4), the sets. Each record claims its
// name and those between it and the zone's apex.
type node struct {
	name   []byte
	claims uint32
	sets   rrsets
}

const nodeHeader = 8

// nextNode takes the first node off; len is that of all of it.
func nextNode(b []byte) (n node, len int) {
	head := 1 + int(b[0])
	end := head + nodeHeader + int(be32(b[head+4:]))
	return node{b[1:head], be32(b[head:]), rrsets(b[head+nodeHeader : end])}, end
}

// rrsets are the sets of one name, in the order of types: type (2), number of
// records (2), their length (4), they themselves, and for each how often it was
// added (2). A name without any is an empty non-terminal: other types get
// NODATA, not NXDOMAIN (RFC 8020).
type rrsets []byte

const setHeader = 8

// next takes the first set off.
func (s rrsets) next() (typ, count uint16, body []byte, rest rrsets) {
	count = be16(s[2:])
	end := setHeader + int(be32(s[4:]))
	return be16(s), count, s[setHeader:end], s[end+2*int(count):]
}

// appendRecord adds a record that is owned by the question's name.
func appendRecord(out []byte, typ uint16, ttl uint32, data []byte) []byte {
	out = append(out, selfPointer...)
	out = append(out, byte(typ>>8), byte(typ), 0, classIN)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	return append(out, data...)
}
