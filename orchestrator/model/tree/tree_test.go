package tree

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pair compares by its key alone.
type pair struct{ key, value int }

func (p pair) Compare(o pair) int { return cmp.Compare(p.key, o.key) }

// sound holds a node against the tree's own rules and lists it.
func sound(t rapid.TB, n *node[pair]) (items []pair, height int) {
	if n == nil {
		return nil, 0
	}
	if len(n.items) == 0 || len(n.items) > most {
		t.Fatalf("a node of %d items", len(n.items))
	}
	if n.below == nil {
		items = n.items
	} else if len(n.below) != len(n.items) {
		t.Fatalf("%d lowest items of %d nodes", len(n.items), len(n.below))
	}
	for i, b := range n.below {
		its, high := sound(t, b)
		if i > 0 && (high != height || n.items[i].key <= items[len(items)-1].key) || n.items[i].key > its[0].key {
			t.Fatalf("node %d of height %d after %d: lowest %v, items %v", i, high, height, n.items[i], its)
		}
		items, height = append(items, its...), high
	}
	if n.size != len(items) {
		t.Fatalf("size %d of %d items", n.size, len(items))
	}
	return items, height + 1
}

// A set is a sorted list, and one that was kept stays as it was.
func TestAgainstAList(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type version struct {
			set  Of[pair]
			list []pair
		}
		var now version
		for i := range rapid.IntRange(0, 4*most).Draw(r, "built") {
			now.list = append(now.list, pair{2 * i, i})
		}
		now.set = Build(now.list)
		kept := []version{now}
		for range rapid.IntRange(1, 60).Draw(r, "rounds") {
			from, step := rapid.IntRange(-2, 9*most).Draw(r, "from"), rapid.IntRange(-3, 3).Draw(r, "step")
			add := rapid.Bool().Draw(r, "add")
			for range rapid.IntRange(1, most).Draw(r, "times") {
				x := pair{from, len(kept)}
				i, found := slices.BinarySearchFunc(now.list, x, pair.Compare)
				list := slices.Clone(now.list)
				switch {
				case add && found:
					list[i] = x
				case add:
					list = slices.Insert(list, i, x)
				case found:
					list = slices.Delete(list, i, i+1)
				}
				if add {
					now = version{now.set.With(x), list}
				} else {
					now = version{now.set.Without(x), list}
				}
				from += step
			}
			kept = append(kept, now)
		}
		for _, v := range kept {
			if got, _ := sound(r, v.set.root); !slices.Equal(got, v.list) || v.set.Len() != len(v.list) {
				r.Fatalf("set %v, list %v", got, v.list)
			}
		}
		asked(r, now.set, now.list)
	})
}

// asked compares every answer of a set with the list.
func asked(t rapid.TB, set Of[pair], list []pair) {
	for i := range len(list) + 2 {
		got, ok := set.At(i - 1)
		if in := i > 0 && i <= len(list); ok != in || in && got != list[i-1] {
			t.Fatalf("at %d of %v: %v, %v", i-1, list, got, ok)
		}
	}
	for key := -4; key < 10*most; key += 3 {
		x := pair{key: key}
		i, found := slices.BinarySearchFunc(list, x, pair.Compare)
		got, ok := set.Get(x)
		if ok != found || found && got != list[i] {
			t.Fatalf("%d in %v: %v, %v", key, list, got, ok)
		}
		if set.Before(x) != i {
			t.Fatalf("%d before %d in %v", set.Before(x), key, list)
		}
		if got := slices.Collect(set.From(x)); !slices.Equal(got, list[i:]) {
			t.Fatalf("from %d: %v, want %v", key, got, list[i:])
		}
		for got := range set.From(x) {
			if got != list[i] {
				t.Fatalf("from %d: first is %v", key, got)
			}
			break
		}
	}
}

// A set filled in its order, or built, has full nodes; one filled in any order
// has them more than half full, and one that was emptied has none.
func TestNodesAreFull(t *testing.T) {
	const n = 20_000
	var ascending, random Of[pair]
	var list []pair
	for i := range n {
		list = append(list, pair{key: i})
		ascending = ascending.With(list[i])
	}
	shuffled := slices.Clone(list)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, x := range shuffled {
		random = random.With(x)
	}
	for name, c := range map[string]struct {
		set  Of[pair]
		most int
	}{"ascending": {ascending, n/most + 1}, "built": {Build(list), n/most + 1}, "random": {random, 2 * n / most}} {
		if got := leaves(c.set.root); got > c.most {
			t.Errorf("%s: %d leaves for %d items, want at most %d", name, got, n, c.most)
		}
		sound(t, c.set.root)
		for _, x := range shuffled {
			c.set = c.set.Without(x)
		}
		if c.set.root != nil {
			t.Errorf("%s: %d items are left", name, c.set.Len())
		}
	}
}

func leaves(n *node[pair]) (count int) {
	if n.below == nil {
		return 1
	}
	for _, b := range n.below {
		count += leaves(b)
	}
	return count
}
