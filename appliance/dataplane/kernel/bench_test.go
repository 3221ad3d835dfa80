package kernel

import (
	"net/netip"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// BenchmarkApply: 10,000 EIPs are there; one moves, or nothing does.
func BenchmarkApply(b *testing.B) {
	ns := kerneltest.NewNamespace(b, "b")
	for name, mac := range kerneltest.MACs {
		ns.Run(b, "ip link add "+name+" address "+mac+" type veth peer name far-"+name)
	}
	var k *Kernel
	ns.Do(func() { k, _ = Open() })
	plane := dataplane.New(k, nil)
	w := kerneltest.WantAll()
	for i := range 10_000 {
		vip := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip, Guest: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})})
		w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(vip, 32)})
	}
	apply := func(b *testing.B) {
		b.Helper()
		var err error
		ns.Do(func() { _, err = plane.Apply(b.Context(), w) })
		if err != nil {
			b.Fatal(err)
		}
	}
	apply(b)
	b.Run("equal", func(b *testing.B) {
		for range b.N {
			apply(b)
		}
	})
	b.Run("one moves", func(b *testing.B) {
		for i := range b.N {
			w.EIPs[77].Guest = netip.AddrFrom4([4]byte{10, 2, 0, byte(i)})
			apply(b)
		}
	})
}
