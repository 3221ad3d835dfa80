// Package tree is a sorted set that is never changed: a change makes the few
// nodes on its way anew and shares all others, so that whoever keeps a set
// keeps it for next to nothing. It is a B+ tree whose nodes know how many items
// are below them, which finds the i-th item, and how many there are before one,
// without a walk.
package tree

import (
	"iter"
	"slices"
	"sort"
)

// Item is what a set has: two that compare as 0 are the same one to it.
type Item[T any] interface{ Compare(T) int }

// Of is a set of T; the zero one is empty. It is safe for any number of
// readers.
type Of[T Item[T]] struct{ root *node[T] }

// A node has most items, or nodes, at most. One that keeps fewer than least is
// joined with its neighbour.
const (
	most  = 60
	least = most / 4
)

// node is a leaf with items, or has nodes below it and the lowest item that
// each of them may have.
type node[T Item[T]] struct {
	items []T
	below []*node[T]
	size  int // items in all leaves from here down
}

func leaf[T Item[T]](items []T) *node[T] { return &node[T]{items: items, size: len(items)} }

// made is a leaf if it has nothing below.
func made[T Item[T]](items []T, below []*node[T]) *node[T] {
	if below == nil {
		return leaf(items)
	}
	n := &node[T]{items: items, below: below}
	for _, b := range below {
		n.size += b.size
	}
	return n
}

// Build is the set of sorted items, each of which is there once.
func Build[T Item[T]](sorted []T) Of[T] {
	var level []*node[T]
	for part := range slices.Chunk(sorted, most) {
		level = append(level, leaf(slices.Clone(part)))
	}
	for len(level) > 1 {
		var above []*node[T]
		for part := range slices.Chunk(level, most) {
			above = append(above, made(lowest(part), slices.Clone(part)))
		}
		level = above
	}
	if len(level) == 0 {
		return Of[T]{}
	}
	return Of[T]{level[0]}
}

func lowest[T Item[T]](nodes []*node[T]) []T {
	items := make([]T, len(nodes))
	for i, n := range nodes {
		items[i] = n.items[0]
	}
	return items
}

// Len is how many items there are.
func (t Of[T]) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.size
}

// place is where an item is, or would come, among the items of a node.
func (n *node[T]) place(x T) (i int, found bool) {
	return slices.BinarySearchFunc(n.items, x, T.Compare)
}

// way is which of the nodes below has an item, if any has.
func (n *node[T]) way(x T) int {
	return max(0, sort.Search(len(n.items), func(i int) bool { return n.items[i].Compare(x) > 0 })-1)
}

// Get is the item that compares as x does.
func (t Of[T]) Get(x T) (item T, ok bool) {
	n := t.root
	for n != nil && n.below != nil {
		n = n.below[n.way(x)]
	}
	if n == nil {
		return item, false
	}
	if i, found := n.place(x); found {
		return n.items[i], true
	}
	return item, false
}

// Before counts the items before x.
func (t Of[T]) Before(x T) (before int) {
	n := t.root
	for n != nil && n.below != nil {
		way := n.way(x)
		for _, b := range n.below[:way] {
			before += b.size
		}
		n = n.below[way]
	}
	if n == nil {
		return 0
	}
	i, _ := n.place(x)
	return before + i
}

// At is the i-th item, from 0; false outside the set.
func (t Of[T]) At(i int) (item T, ok bool) {
	if i < 0 || i >= t.Len() {
		return item, false
	}
	n := t.root
	for n.below != nil {
		way := 0
		for ; i >= n.below[way].size; way++ {
			i -= n.below[way].size
		}
		n = n.below[way]
	}
	return n.items[i], true
}

// From yields the items from x on, ascending.
func (t Of[T]) From(x T) iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root != nil {
			t.root.from(x, yield)
		}
	}
}

func (n *node[T]) from(x T, yield func(T) bool) bool {
	if n.below == nil {
		i, _ := n.place(x)
		return each(n.items[i:], yield)
	}
	way := n.way(x)
	return n.below[way].from(x, yield) && n.all(way+1, yield)
}

// all yields the items of the nodes below, from the i-th on.
func (n *node[T]) all(i int, yield func(T) bool) bool {
	if n.below == nil {
		return each(n.items, yield)
	}
	for _, b := range n.below[i:] {
		if !b.all(0, yield) {
			return false
		}
	}
	return true
}

func each[T any](items []T, yield func(T) bool) bool {
	for _, item := range items {
		if !yield(item) {
			return false
		}
	}
	return true
}
