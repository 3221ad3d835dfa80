package dns

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// names are the names that exist, with their records ready to be put behind a
// question. They are two pieces of memory without pointers: a lookup touches a
// line of each, and the collector has nothing to look at, however many names
// there are.
type names struct {
	seed maphash.Seed
	// slots are a table with open addressing, a power of two long and at most
	// half full: the upper half of the name's hash above its place in nodes; 0
	// is free.
	slots []uint64
	// nodes begin with a byte that is not used, so that no place is 0. A node is
	// the name's length (1), the name, the length of its sets (4), the sets. A
	// set is type (2), number of records (2), length (4), records.
	nodes []byte
}

// rrsets are the sets of one name. A name without any is an empty
// non-terminal: other types get NODATA, not NXDOMAIN (RFC 8020).
type rrsets []byte

const setHeader = 8

// next takes the first set off.
func (s rrsets) next() (typ, count uint16, body []byte, rest rrsets) {
	end := setHeader + int(be32(s[4:]))
	return be16(s), be16(s[2:]), s[setHeader:end], s[end:]
}

// find finds a name in wire format, lower case.
func (n *names) find(name []byte) (rrsets, bool) {
	hash := maphash.Bytes(n.seed, name)
	mask := uint64(len(n.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := n.slots[i]
		if slot == 0 {
			return nil, false
		}
		if slot>>32 != hash>>32 {
			continue
		}
		node := n.nodes[uint32(slot):]
		if end := 1 + int(node[0]); bytes.Equal(node[1:end], name) {
			return rrsets(node[end+4 : end+4+int(be32(node[end:]))]), true
		}
	}
}

// namer builds names. Records may come in any order; those of one name and type
// stay in the order they come in.
type namer struct {
	seed  maphash.Seed
	slots []int32 // by hash, node + 1; at most half full
	text  []byte  // all names and data
	nodes []namedNode
	recs  []record
}

// span is a part of the namer's text.
type span struct{ at, end uint32 }

type namedNode struct {
	name        span
	hash        uint64
	first, last int32 // records; -1: none
}

type record struct {
	data span
	ttl  uint32
	typ  uint16
	next int32 // of the same name; -1: none
}

// newNamer makes room for the names of so many hosts.
func newNamer(hosts int) *namer {
	const names, text = 3, 120 // of a host: bare, whole, reverse
	return &namer{
		seed: maphash.MakeSeed(), slots: make([]int32, tableSize(names*hosts)), text: make([]byte, 0, text*hosts),
		nodes: make([]namedNode, 0, names*hosts+1), recs: make([]record, 0, names*hosts),
	}
}

// tableSize is the least power of two that is half full with n entries.
func tableSize(n int) int { return 1 << bits.Len(uint(2*n+1)) }

func (b *namer) keep(data []byte) span {
	at := uint32(len(b.text))
	b.text = append(b.text, data...)
	return span{at, uint32(len(b.text))}
}

func (b *namer) bytes(s span) []byte { return b.text[s.at:s.end] }

// touch makes a name exist and returns its node.
func (b *namer) touch(name []byte) *namedNode {
	hash := maphash.Bytes(b.seed, name)
	i := hash & uint64(len(b.slots)-1)
	for ; b.slots[i] != 0; i = (i + 1) & uint64(len(b.slots)-1) {
		if n := &b.nodes[b.slots[i]-1]; n.hash == hash && bytes.Equal(b.bytes(n.name), name) {
			return n
		}
	}
	b.nodes = append(b.nodes, namedNode{name: b.keep(name), hash: hash, first: -1, last: -1})
	b.slots[i] = int32(len(b.nodes))
	if 2*len(b.nodes) > len(b.slots) {
		b.grow()
	}
	return &b.nodes[len(b.nodes)-1]
}

func (b *namer) grow() {
	b.slots = make([]int32, 2*len(b.slots))
	for n := range b.nodes {
		i := b.nodes[n].hash & uint64(len(b.slots)-1)
		for b.slots[i] != 0 {
			i = (i + 1) & uint64(len(b.slots)-1)
		}
		b.slots[i] = int32(n + 1)
	}
}

// add adds a record.
func (b *namer) add(name []byte, typ uint16, ttl uint32, data []byte) {
	n, i := b.touch(name), int32(len(b.recs))
	if n.last < 0 {
		n.first = i
	} else {
		b.recs[n.last].next = i
	}
	n.last = i
	b.recs = append(b.recs, record{data: b.keep(data), ttl: ttl, typ: typ, next: -1})
}

// build ends the building.
func (b *namer) build() names {
	const perName, perRecord = 1 + 4, setHeader + 12
	n := names{seed: b.seed, slots: make([]uint64, tableSize(len(b.nodes)))}
	n.nodes = append(make([]byte, 0, 1+len(b.text)+perName*len(b.nodes)+perRecord*len(b.recs)), 0)
	for i := range b.nodes {
		name := b.bytes(b.nodes[i].name)
		n.insert(b.nodes[i].hash)
		n.nodes = append(append(n.nodes, byte(len(name))), name...)
		length := len(n.nodes)
		n.nodes = append(n.nodes, 0, 0, 0, 0)
		n.nodes = b.appendSets(n.nodes, b.nodes[i].first)
		binary.BigEndian.PutUint32(n.nodes[length:], uint32(len(n.nodes)-length-4))
	}
	return n
}

// insert points to the node that is about to be added.
func (n *names) insert(hash uint64) {
	mask := uint64(len(n.slots) - 1)
	i := hash & mask
	for n.slots[i] != 0 {
		i = (i + 1) & mask
	}
	n.slots[i] = hash>>32<<32 | uint64(len(n.nodes))
}

// appendSets adds the records from first on, a set for each type.
func (b *namer) appendSets(out []byte, first int32) []byte {
	for i := first; i >= 0; i = b.recs[i].next {
		if b.packed(first, i) {
			continue
		}
		typ, head, count := b.recs[i].typ, len(out), uint16(0)
		out = append(out, make([]byte, setHeader)...)
		for j := i; j >= 0; j = b.recs[j].next {
			if r := &b.recs[j]; r.typ == typ {
				out = appendRecord(out, typ, r.ttl, b.bytes(r.data))
				count++
			}
		}
		binary.BigEndian.PutUint16(out[head:], typ)
		binary.BigEndian.PutUint16(out[head+2:], count)
		binary.BigEndian.PutUint32(out[head+4:], uint32(len(out)-head-setHeader))
	}
	return out
}

// packed reports whether a record before i has its type.
func (b *namer) packed(first, i int32) bool {
	for ; first != i; first = b.recs[first].next {
		if b.recs[first].typ == b.recs[i].typ {
			return true
		}
	}
	return false
}

// appendRecord adds a record that is owned by the question's name.
func appendRecord(out []byte, typ uint16, ttl uint32, data []byte) []byte {
	out = append(out, selfPointer...)
	out = append(out, byte(typ>>8), byte(typ), 0, classIN)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	return append(out, data...)
}
