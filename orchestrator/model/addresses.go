package model

import (
	"iter"
	"net/netip"
	"strings"
)

// addresses are the addresses in use, by L3 network, address and owner: a
// balanced tree (AVL) that is never changed. A change makes the few nodes on
// its way anew and shares all others, so that every View has a tree of its own
// for next to nothing. Nodes know how many are below them, which finds the
// i-th address, and how many there are before one, without a walk.
type addresses struct{ root *addressNode }

// holding is an address with who has it.
type holding struct {
	l3    string
	ip    netip.Addr
	owner string
}

func (h holding) compare(o holding) int {
	if c := strings.Compare(h.l3, o.l3); c != 0 {
		return c
	}
	if c := h.ip.Compare(o.ip); c != 0 {
		return c
	}
	return strings.Compare(h.owner, o.owner)
}

type addressNode struct {
	holding
	left, right *addressNode
	size        int32 // of the tree from here down
	height      int32
}

func (n *addressNode) len() int {
	if n == nil {
		return 0
	}
	return int(n.size)
}

func (n *addressNode) high() int32 {
	if n == nil {
		return 0
	}
	return n.height
}

func join(left *addressNode, h holding, right *addressNode) *addressNode {
	return &addressNode{
		holding: h, left: left, right: right,
		size: int32(left.len() + right.len() + 1), height: max(left.high(), right.high()) + 1,
	}
}

// balance is join of trees whose heights may differ by two.
func balance(left *addressNode, h holding, right *addressNode) *addressNode {
	switch {
	case left.high() > right.high()+1:
		if left.left.high() >= left.right.high() {
			return join(left.left, left.holding, join(left.right, h, right))
		}
		middle := left.right
		return join(join(left.left, left.holding, middle.left), middle.holding, join(middle.right, h, right))
	case right.high() > left.high()+1:
		if right.right.high() >= right.left.high() {
			return join(join(left, h, right.left), right.holding, right.right)
		}
		middle := right.left
		return join(join(left, h, middle.left), middle.holding, join(middle.right, right.holding, right.right))
	}
	return join(left, h, right)
}

// with is the tree with a holding in it.
func (n *addressNode) with(h holding) *addressNode {
	if n == nil {
		return join(nil, h, nil)
	}
	switch c := h.compare(n.holding); {
	case c < 0:
		return balance(n.left.with(h), n.holding, n.right)
	case c > 0:
		return balance(n.left, n.holding, n.right.with(h))
	}
	return n
}

// without is the tree that lacks a holding.
func (n *addressNode) without(h holding) *addressNode {
	if n == nil {
		return nil
	}
	switch c := h.compare(n.holding); {
	case c < 0:
		return balance(n.left.without(h), n.holding, n.right)
	case c > 0:
		return balance(n.left, n.holding, n.right.without(h))
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	}
	next := n.right
	for next.left != nil {
		next = next.left
	}
	return balance(n.left, next.holding, n.right.without(next.holding))
}

// below counts the holdings before h; an empty owner comes before all others.
func (a addresses) below(h holding) int {
	before := 0
	for n := a.root; n != nil; {
		if n.compare(h) < 0 {
			before += n.left.len() + 1
			n = n.right
		} else {
			n = n.left
		}
	}
	return before
}

// at is the i-th holding, from 0; nil outside the tree.
func (a addresses) at(i int) *addressNode {
	n := a.root
	for n != nil && i != n.left.len() {
		if i < n.left.len() {
			n = n.left
		} else {
			i -= n.left.len() + 1
			n = n.right
		}
	}
	return n
}

// ofL3 are the holdings of one L3 network, for package ipam.
func (a addresses) ofL3(l3 string) usedInL3 {
	return usedInL3{a, l3, a.below(holding{l3: l3})}
}

// usedInL3 implements ipam.Used.
type usedInL3 struct {
	addresses
	l3    string
	first int // how many are before those of the L3 network
}

// Below is how many are lower than ip.
func (u usedInL3) Below(ip netip.Addr) int { return u.below(holding{l3: u.l3, ip: ip}) - u.first }

// At is the i-th; the zero Addr at the end.
func (u usedInL3) At(i int) netip.Addr {
	if n := u.at(u.first + i); n != nil && n.l3 == u.l3 {
		return n.ip
	}
	return netip.Addr{}
}

// AddressOwner is the UUID of the nic, VIP or router that has an address of an
// L3 network; empty if nobody.
func (v *View) AddressOwner(l3 string, ip netip.Addr) string {
	if n := v.addresses.at(v.addresses.below(holding{l3: l3, ip: ip})); n != nil && n.l3 == l3 && n.ip == ip {
		return n.owner
	}
	return ""
}

// UsedAddresses yields the addresses of an L3 network in use with their owners,
// ascending, from an address on.
func (v *View) UsedAddresses(l3 string, from netip.Addr) iter.Seq2[netip.Addr, string] {
	return func(yield func(netip.Addr, string) bool) {
		for i := v.addresses.below(holding{l3: l3, ip: from}); ; i++ {
			n := v.addresses.at(i)
			if n == nil || n.l3 != l3 || !yield(n.ip, n.owner) {
				return
			}
		}
	}
}
