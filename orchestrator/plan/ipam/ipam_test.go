package ipam

import (
	"bytes"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func span(start, end string) v1.AddressRange {
	return v1.AddressRange{StartIP: netip.MustParseAddr(start), EndIP: netip.MustParseAddr(end)}
}

func used(ips ...netip.Addr) Used {
	slices.SortFunc(ips, netip.Addr.Compare)
	return func(from netip.Addr) iter.Seq[netip.Addr] {
		return func(yield func(netip.Addr) bool) {
			for _, ip := range ips {
				if !ip.Less(from) && !yield(ip) {
					return
				}
			}
		}
	}
}

func TestFirst(t *testing.T) {
	ip := netip.MustParseAddr
	tests := []struct {
		name string
		pool Pool
		used []netip.Addr
		want string // empty: none
	}{
		{"no ranges", Pool{}, nil, ""},
		{"the first", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.9")}}, nil, "10.0.0.2"},
		{"after used ones", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.9")}}, []netip.Addr{ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.5")}, "10.0.0.4"},
		{"lowest range first", Pool{Ranges: []v1.AddressRange{span("10.0.0.20", "10.0.0.29"), span("10.0.0.2", "10.0.0.9")}}, nil, "10.0.0.2"},
		{"next range", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.2"), span("10.0.0.20", "10.0.0.29")}}, []netip.Addr{ip("10.0.0.2")}, "10.0.0.20"},
		{"past the reserved", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.9")}, Reserved: []v1.AddressRange{span("10.0.0.0", "10.0.0.4")}}, nil, "10.0.0.5"},
		{"all reserved", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.9")}, Reserved: []v1.AddressRange{span("10.0.0.0", "10.0.0.255")}}, nil, ""},
		{"used up", Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.0.3")}}, []netip.Addr{ip("10.0.0.2"), ip("10.0.0.3")}, ""},
		{"the last there is", Pool{Ranges: []v1.AddressRange{span("255.255.255.254", "255.255.255.255")}}, []netip.Addr{ip("255.255.255.254")}, "255.255.255.255"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.pool.First(used(tt.used...))
			if ok != (tt.want != "") || ok && got.String() != tt.want {
				t.Errorf("got %s, %v; want %q", got, ok, tt.want)
			}
		})
	}
}

// Free, Capacity, InRange and IsReserved agree with a walk over every address.
func TestFreeAgainstEveryAddress(t *testing.T) {
	at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }
	rapid.Check(t, func(r *rapid.T) {
		var pool Pool
		n := 0
		for n < 200 { // ranges apart from each other, in any order
			start := n + rapid.IntRange(1, 40).Draw(r, "gap")
			n = start + rapid.IntRange(0, 40).Draw(r, "size")
			pool.Ranges = append(pool.Ranges, v1.AddressRange{StartIP: at(start), EndIP: at(min(n, 255))})
		}
		pool.Ranges = rapid.Permutation(pool.Ranges).Draw(r, "order")
		for range rapid.IntRange(0, 3).Draw(r, "reserved") {
			a := rapid.IntRange(0, 255).Draw(r, "from")
			pool.Reserved = append(pool.Reserved, v1.AddressRange{StartIP: at(a), EndIP: at(rapid.IntRange(a, 255).Draw(r, "to"))})
		}
		var taken, want []netip.Addr
		var total, takenInside int64
		for i := range 256 {
			use := rapid.Bool().Draw(r, "use")
			if use {
				taken = append(taken, at(i))
			}
			if !pool.InRange(at(i)) || pool.IsReserved(at(i)) {
				continue
			}
			total++
			if use {
				takenInside++
			} else {
				want = append(want, at(i))
			}
		}
		if got := slices.Collect(pool.Free(used(taken...))); !slices.Equal(got, want) {
			r.Fatalf("free %v, want %v", got, want)
		}
		if gotTotal, gotTaken := pool.Capacity(used(taken...)); gotTotal != total || gotTaken != takenInside {
			r.Fatalf("capacity %d/%d, want %d/%d", gotTaken, gotTotal, takenInside, total)
		}
	})
}

// A large pool is not walked to count it, nor to find its first address.
func TestLargePool(t *testing.T) {
	pool := Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.255.255.254")}}
	if total, taken := pool.Capacity(used()); total != 1<<24-3 || taken != 0 {
		t.Errorf("capacity %d, %d taken", total, taken)
	}
	if allocs := testing.AllocsPerRun(10, func() { pool.First(used()) }); allocs > 20 {
		t.Errorf("%v allocations for the first address", allocs)
	}
}

func TestMAC(t *testing.T) {
	random := bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	mac, err := MAC(random, func(mac string) bool { return mac == "0a:01:02:03:04:05" })
	if err != nil || mac != "0a:06:07:08:09:0a" {
		t.Errorf("got %q, %v", mac, err)
	}
	if parsed, err := v1.ParseMAC(mac); err != nil || parsed != mac {
		t.Errorf("ParseMAC gives %q, %v", parsed, err)
	}
	broken := errors.New("broken")
	if _, err := MAC(iotest.ErrReader(broken), func(string) bool { return false }); !errors.Is(err, broken) {
		t.Errorf("a broken source gives %v", err)
	}
}
