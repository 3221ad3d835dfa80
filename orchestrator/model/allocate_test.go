package model

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// few is a network with that many addresses from 10.77.0.2 on.
func (w *world) few(n int, strategy string) (l3 string) {
	w.t.Helper()
	l2, _ := w.addNetwork("few", "eth8", v1.Private, "")
	l3 = w.addL3("few", l2, v1.Private, "")
	r, err := AddIPRange(w.tx, l3, bounds("10.77.0.2", fmt.Sprint("10.77.0.", n+1), "255.255.255.0", "10.77.0.1"))
	must(w, r, err)
	_, err = SetAllocationStrategy(w.tx, l3, strategy)
	w.ok(err)
	return l3
}

func TestStrategies(t *testing.T) {
	for _, c := range []struct {
		strategy string
		ask      []string // for each VM: an address, empty for any, or -n to delete the n-th
		want     string   // addresses chosen
	}{
		{v1.FirstAvailable, []string{"", "", "", "-2", ""}, "2 3 4 3"},
		{v1.AscDelayRecycle, []string{"", "", "-2", "", "", "", ""}, "2 3 4 5 6 3"},
		{v1.AscDelayRecycle, []string{"", "-1", "", "-2", "", "-3", "", "-4", "", "-5", ""}, "2 3 4 5 6 2"},
		// What was asked for counts when it lies ahead, and not when behind.
		{v1.AscDelayRecycle, []string{"", "10.77.0.4", "-2", "", "10.77.0.3", "-4", ""}, "2 4 5 3 6"},
	} {
		w := newWorld(t)
		l3 := w.few(5, c.strategy)
		var got string
		var vms []string
		for _, ask := range c.ask {
			if ask != "" && ask[0] == '-' {
				w.ok(DeleteVM(w.tx, vms[ask[1]-'1']))
				continue
			}
			w.tx = NewTx(w.tx.View, w.tx.Now) // the mark is in the view alone
			vm, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: named("vm"), Nics: []v1.CreateVMNic{{L3NetworkUUID: l3, IP: ask}}})
			must(w, vm, err)
			vms = append(vms, vm.UUID)
			got += fmt.Sprint(" ", vm.Nics[0].IP.As4()[3])
		}
		if got != " "+c.want {
			t.Errorf("%s %v gives%s, want %s", c.strategy, c.ask, got, c.want)
		}
	}
}

// Random gives every address, each once, and not in order.
func TestRandomStrategy(t *testing.T) {
	w := newWorld(t)
	l3 := w.few(200, v1.Random)
	var got []string
	for range 200 {
		got = append(got, w.addVM("vm", l3).Nics[0].IP.String())
	}
	if slices.IsSorted(got) {
		t.Error("they ascend")
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 200 {
		t.Errorf("%d addresses", n)
	}
	_, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: named("vm"), Nics: []v1.CreateVMNic{{L3NetworkUUID: l3}}})
	if v1.Code(err) != "no-free-address" {
		t.Errorf("one too many: %v", err)
	}
	n, err := SetAllocationStrategy(w.tx, l3, "Any")
	if v1.Code(err) != "invalid-value" {
		t.Errorf("%v, %v", n, err)
	}
}

// An address that AscDelayRecycle has passed and that is freed is not chosen
// before it began again at the bottom, whoever had it: a guest or a VIP, by choice or because it was asked for.
func TestDelayedRecycling(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t)
		_, err := SetAllocationStrategy(w.tx, w.public, v1.AscDelayRecycle)
		w.ok(err)
		freed := map[string]int{} // address: the round in which it was freed
		held := map[string]func() error{}
		round, mark := 0, w.l3(w.public).LastAllocatedIP
		got := func(address string, asked bool, free func() error) {
			now := w.l3(w.public).LastAllocatedIP
			if now.Less(mark) || now == mark && !asked {
				round++
			}
			if at, ok := freed[address]; ok && at == round && !asked {
				r.Fatalf("%s is chosen in round %d, in which it was freed", address, round)
			}
			delete(freed, address)
			mark, held[address] = now, free
		}
		// Twelve addresses for guests and VIPs of the public network.
		_, err = SetReservedRanges(w.tx, w.public, []v1.AddressRange{{StartIP: ip("203.0.113.14"), EndIP: ip("203.0.113.254")}})
		w.ok(err)
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			w.tx = NewTx(w.tx.View, w.tx.Now)
			ask := ""
			if rapid.IntRange(0, 3).Draw(r, "ask") == 1 {
				ask = fmt.Sprint("203.0.113.", rapid.IntRange(2, 13).Draw(r, "asked"))
			}
			switch rapid.IntRange(0, 3).Draw(r, "step") {
			case 0:
				if vip, err := CreateVIP(w.tx, v1.CreateVIP{CreateMeta: named("vip"), L3NetworkUUID: w.public, IP: ask}); err == nil {
					got(vip.IP.String(), ask != "", func() error { return DeleteVIP(w.tx, vip.UUID) })
				}
			case 1:
				req := v1.CreateVMInstance{CreateMeta: named("vm"), Nics: []v1.CreateVMNic{{L3NetworkUUID: w.public, IP: ask}}}
				if vm, err := CreateVM(w.tx, req); err == nil {
					got(vm.Nics[0].IP.String(), ask != "", func() error { return DeleteVM(w.tx, vm.UUID) })
				}
			default:
				for _, address := range slices.Sorted(maps.Keys(held)) {
					if rapid.Bool().Draw(r, "free") {
						w.ok(held[address]())
						if delete(held, address); !mark.Less(ip(address)) {
							freed[address] = round
						}
						break
					}
				}
			}
			for _, breach := range Check(w.tx.View) {
				r.Fatal(breach)
			}
		}
	})
}
