package ipam

import (
	"bytes"
	"errors"
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

// sortedAddrs implements Used and counts what it is asked.
type sortedAddrs struct {
	ips   []netip.Addr
	asked int
}

func (l *sortedAddrs) Below(ip netip.Addr) int {
	l.asked++
	i, _ := slices.BinarySearchFunc(l.ips, ip, netip.Addr.Compare)
	return i
}

func (l *sortedAddrs) At(i int) netip.Addr {
	l.asked++
	if i >= len(l.ips) {
		return netip.Addr{}
	}
	return l.ips[i]
}

func used(ips ...netip.Addr) *sortedAddrs {
	slices.SortFunc(ips, netip.Addr.Compare)
	return &sortedAddrs{ips: ips}
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

// Free, Nth, After, Capacity, InRange and IsReserved agree with a walk over every address.
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
		for i := range len(want) + 2 {
			if got, ok := pool.Nth(used(taken...), int64(i)); ok != (i < len(want)) || ok && got != want[i] {
				r.Fatalf("free address %d of %v is %s, %v", i, want, got, ok)
			}
		}
		if gotTotal, gotTaken := pool.Capacity(used(taken...)); gotTotal != total || gotTaken != takenInside {
			r.Fatalf("capacity %d/%d, want %d/%d", gotTaken, gotTotal, takenInside, total)
		}
		mark := at(rapid.IntRange(0, 255).Draw(r, "mark"))
		got, ok := pool.After(used(taken...), mark)
		above := slices.IndexFunc(want, mark.Less)
		if ok != (len(want) > 0) || ok && got != want[max(above, 0)] {
			r.Fatalf("after %s of %v comes %s, %v", mark, want, got, ok)
		}
	})
}

func TestAfter(t *testing.T) {
	ip := netip.MustParseAddr
	pool := Pool{
		Ranges:   []v1.AddressRange{span("10.0.0.20", "10.0.0.22"), span("10.0.0.2", "10.0.0.5")},
		Reserved: []v1.AddressRange{span("10.0.0.4", "10.0.0.4")},
	}
	for _, c := range []struct {
		name, after, want string
		used              []netip.Addr
	}{
		{"nothing yet", "", "10.0.0.2", nil},
		{"one below all", "10.0.0.1", "10.0.0.2", nil},
		{"the next", "10.0.0.2", "10.0.0.3", nil},
		{"past the reserved", "10.0.0.3", "10.0.0.5", nil},
		{"past used ones", "10.0.0.2", "10.0.0.5", []netip.Addr{ip("10.0.0.3")}},
		{"the next range", "10.0.0.5", "10.0.0.20", nil},
		{"the first again", "10.0.0.22", "10.0.0.2", nil},
		{"the first free again", "10.0.0.22", "10.0.0.3", []netip.Addr{ip("10.0.0.2")}},
		{"itself, the last there is", "10.0.0.3", "10.0.0.3", []netip.Addr{ip("10.0.0.2"), ip("10.0.0.5"), ip("10.0.0.20"), ip("10.0.0.21"), ip("10.0.0.22")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mark netip.Addr
			if c.after != "" {
				mark = ip(c.after)
			}
			if got, ok := pool.After(used(c.used...), mark); !ok || got.String() != c.want {
				t.Errorf("got %s, %v; want %s", got, ok, c.want)
			}
		})
	}
}

// The last free address of a /16 is found with as few questions as the first of
// an empty one, give or take; so are the others, and the capacity.
func TestFullAsFastAsEmpty(t *testing.T) {
	pool := Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.0.255.254")}}
	const size, limit = 65533, 32 // questions: two halvings of 16 bits
	for _, filled := range []int{0, 1, 1000, size / 2, size - 1, size} {
		list := used()
		for ip := range pool.Free(used()) {
			if len(list.ips) == filled {
				break
			}
			list.ips = append(list.ips, ip)
		}
		for name, ask := range map[string]func() bool{
			"First":    func() bool { _, ok := pool.First(list); return ok },
			"Nth":      func() bool { _, ok := pool.Nth(list, int64(max(size-filled-1, 0))); return ok },
			"Capacity": func() bool { total, taken := pool.Capacity(list); return total == size && taken != size },
		} {
			list.asked = 0
			if ok := ask(); ok != (filled < size) {
				t.Errorf("%s with %d used: %v", name, filled, ok)
			}
			if list.asked > limit {
				t.Errorf("%s with %d used asks %d times; %d are enough", name, filled, list.asked, limit)
			}
		}
	}
	if total, taken := (Pool{Ranges: []v1.AddressRange{span("10.0.0.2", "10.255.255.254")}}).Capacity(used()); total != 1<<24-3 || taken != 0 {
		t.Errorf("capacity of a /8: %d, %d taken", total, taken)
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
