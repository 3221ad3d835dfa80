package model

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// sound holds a tree against its own rules and lists it.
func sound(t testing.TB, n *addressNode) []holding {
	if n == nil {
		return nil
	}
	left, right := sound(t, n.left), sound(t, n.right)
	if d := n.left.high() - n.right.high(); d < -1 || d > 1 || n.height != max(n.left.high(), n.right.high())+1 {
		t.Fatalf("heights %d and %d below %d", n.left.high(), n.right.high(), n.height)
	}
	all := append(append(left, n.holding), right...)
	if int(n.size) != len(all) {
		t.Fatalf("size %d of %d", n.size, len(all))
	}
	return all
}

// The tree is a sorted list, and one that was kept stays as it was.
func TestAddressesAgainstAList(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var tree addresses
		var list []holding
		type version struct {
			tree addresses
			list []holding
		}
		var kept []version
		draw := func() holding {
			return holding{
				fmt.Sprint("l3-", rapid.IntRange(0, 2).Draw(r, "l3")),
				netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 40).Draw(r, "ip"))}), fmt.Sprint(rapid.IntRange(0, 1).Draw(r, "owner")),
			}
		}
		for range rapid.IntRange(1, 150).Draw(r, "steps") {
			h := draw()
			i, found := slices.BinarySearchFunc(list, h, holding.compare)
			switch {
			case rapid.Bool().Draw(r, "add"):
				tree.root = tree.root.with(h)
				if !found {
					list = slices.Insert(slices.Clone(list), i, h)
				}
			default:
				tree.root = tree.root.without(h)
				if found {
					list = slices.Delete(slices.Clone(list), i, i+1)
				}
			}
			kept = append(kept, version{tree, list})
		}
		for _, v := range kept {
			if got := sound(t, v.tree.root); !slices.Equal(got, v.list) {
				r.Fatalf("tree %v, list %v", got, v.list)
			}
		}
		for i := range len(list) + 1 {
			n := tree.at(i)
			if (n == nil) != (i == len(list)) || n != nil && n.holding != list[i] {
				r.Fatalf("at %d of %v: %v", i, list, n)
			}
		}
		h := draw()
		if i, _ := slices.BinarySearchFunc(list, h, holding.compare); tree.below(h) != i {
			r.Fatalf("%d below %v in %v", tree.below(h), h, list)
		}
	})
}

// crowded is a world whose guest network is a /16 with that many nics on it,
// from the bottom up.
func crowded(t testing.TB, used int) (w *world, l3 string) {
	w = newWorld(t)
	l2, _ := w.addNetwork("crowd", "eth9", v1.Private, "")
	l3 = w.addL3("crowded", l2, v1.Private, "10.66.0.0/16")
	at := ip("10.66.0.2")
	for i := range used {
		w.tx.View.Put(Nics, &v1.VMNic{Meta: v1.Meta{UUID: fmt.Sprintf("crowd-%05d", i)}, L3NetworkUUID: l3, IP: at, MAC: fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&255, i&255)})
		at = at.Next()
	}
	w.tx = NewTx(w.tx.View, w.tx.Now)
	return w, l3
}

// However many addresses are used, their tree is no higher than 1.45 of the
// binary logarithm; with what package ipam asks of it that bounds the steps.
func TestAddressTreeStaysLow(t *testing.T) {
	for _, used := range []int{0, 1000, 65000} {
		w, l3 := crowded(t, used)
		n := len(sound(t, w.tx.addresses.root))
		if most := 1 + bits.Len(uint(n))*145/100; int(w.tx.addresses.root.high()) > most {
			t.Errorf("%d addresses make a tree of height %d, more than %d", n, w.tx.addresses.root.high(), most)
		}
		got, err := allocateIP(w.tx.View, w.l3(l3), "")
		want := ip("10.66.0.2")
		for range used {
			want = want.Next()
		}
		if err != nil || got != want {
			t.Errorf("with %d used: %s, %v; want %s", used, got, err, want)
		}
		if c, err := CapacityOf(w.tx.View, l3); err != nil || c.Used != int64(used) || c.Total != 65533 {
			t.Errorf("capacity %+v, %v", c, err)
		}
	}
}

func BenchmarkAllocate(b *testing.B) {
	for _, used := range []int{0, 1000, 65000} {
		for _, strategy := range []string{v1.FirstAvailable, v1.Random, v1.AscDelayRecycle} {
			w, l3 := crowded(b, used)
			_, err := SetAllocationStrategy(w.tx, l3, strategy)
			w.ok(err)
			n := w.l3(l3)
			b.Run(fmt.Sprintf("%s/%d", strategy, used), func(b *testing.B) {
				for b.Loop() {
					if _, err := allocateIP(w.tx.View, n, ""); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
