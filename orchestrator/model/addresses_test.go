package model

import (
	"fmt"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

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

// However many addresses are used, the first free one is found, and they are
// counted.
func TestAllocateAmongMany(t *testing.T) {
	for _, used := range []int{0, 1000, 65000} {
		w, l3 := crowded(t, used)
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
