package tree

import "slices"

// With is the set that has x, in the place of an item that compares as it does.
func (t Of[T]) With(x T) Of[T] {
	if t.root == nil {
		return Of[T]{leaf([]T{x})}
	}
	nodes := t.root.with(x)
	if len(nodes) == 1 {
		return Of[T]{nodes[0]}
	}
	return Of[T]{made(lowest(nodes), nodes)}
}

// Without is the set that lacks the item which compares as x does.
func (t Of[T]) Without(x T) Of[T] {
	if t.root == nil {
		return t
	}
	n := t.root.without(x)
	for len(n.below) == 1 {
		n = n.below[0]
	}
	if n.size == 0 {
		return Of[T]{}
	}
	return Of[T]{n}
}

// with is one node, or two of the same level.
func (n *node[T]) with(x T) []*node[T] {
	if n.below != nil {
		way := n.way(x)
		return n.instead(way, way+1, n.below[way].with(x))
	}
	i, found := n.place(x)
	if found {
		return []*node[T]{leaf(spliced(n.items, i, i+1, []T{x}))}
	}
	return split(spliced(n.items, i, i, []T{x}), nil, i == len(n.items))
}

// without is one node, which may be empty.
func (n *node[T]) without(x T) *node[T] {
	if n.below == nil {
		if i, found := n.place(x); found {
			return leaf(spliced(n.items, i, i+1, nil))
		}
		return n
	}
	way := n.way(x)
	low := n.below[way].without(x)
	switch {
	case low == n.below[way]:
		return n
	case low.size == 0:
		return n.instead(way, way+1, nil)[0]
	case len(low.items) >= least || len(n.below) == 1:
		return n.instead(way, way+1, []*node[T]{low})[0]
	}
	first := max(0, way-1)
	pair := []*node[T]{n.below[first], n.below[first+1]}
	pair[way-first] = low
	a, b := pair[0], pair[1]
	return n.instead(first, first+2, split(slices.Concat(a.items, b.items), slices.Concat(a.below, b.below), false))[0]
}

// instead is n with other nodes in the place of those from i to j.
func (n *node[T]) instead(i, j int, nodes []*node[T]) []*node[T] {
	return split(spliced(n.items, i, j, lowest(nodes)), spliced(n.below, i, j, nodes), j == len(n.below))
}

// spliced is a copy of a list, no larger than it has to be, with others in the
// place of those from i to j.
func spliced[E any](list []E, i, j int, others []E) []E {
	out := make([]E, 0, len(list)-(j-i)+len(others))
	return append(append(append(out, list[:i]...), others...), list[j:]...)
}

// split is one node with the items, or two. One that grew at its end is left
// full: most sets are filled in their order, and are packed then.
func split[T Item[T]](items []T, below []*node[T], atEnd bool) []*node[T] {
	if len(items) <= most {
		return []*node[T]{made(items, below)}
	}
	at := len(items) / 2
	if atEnd {
		at = most
	}
	left, right := below, below
	if below != nil {
		left, right = slices.Clone(below[:at]), slices.Clone(below[at:])
	}
	return []*node[T]{made(slices.Clone(items[:at]), left), made(slices.Clone(items[at:]), right)}
}
