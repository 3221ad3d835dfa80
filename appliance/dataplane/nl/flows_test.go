package nl

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestEnd: the connections of an address, or of a port, go, by either way that
// kernels have, and no others. It needs no program, so that it runs on any
// kernel.
func TestEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	ends := map[string]struct {
		end  dataplane.End
		gone int
	}{
		"asked":    {dataplane.End{Addr: addr("203.0.113.50")}, 4},
		"answered": {dataplane.End{Addr: addr("203.0.113.50"), Answer: true}, 2},
		"a port":   {dataplane.End{Addr: addr("203.0.113.50"), Protocol: 17, Port: 80}, 1},
		"none":     {dataplane.End{Addr: addr("203.0.113.99")}, 0},
	}
	c := NewConnections()
	listed := func(e dataplane.End) error { return c.endListed(t.Context(), e) }
	end := func(e dataplane.End) error { return c.End(t.Context(), []dataplane.End{e}) }
	for way, f := range map[string]func(dataplane.End) error{"End": end, "endListed": listed} {
		for name, x := range ends {
			connect(t)
			before := there(t, c)
			if err := f(x.end); err != nil {
				t.Fatalf("%s of %s: %v", way, name, err)
			}
			left := there(t, c)
			for _, flow := range left {
				if x.end.Of(flow) {
					t.Errorf("%s of %s leaves %v", way, name, flow)
				}
			}
			if len(before)-len(left) != x.gone {
				t.Errorf("%s of %s: of %d connections %d are left, want %d less", way, name, len(before), len(left), x.gone)
			}
		}
	}
}

// connect makes connections to an address and to its neighbour, of TCP and UDP,
// and some that are answered to it; those that are there stay.
func connect(t *testing.T) {
	t.Helper()
	ip := func(s string) net.IP { return net.ParseIP(s).To4() }
	for i, vip := range []string{"203.0.113.50", "203.0.113.51"} {
		for _, protocol := range []uint8{6, 17} {
			for _, port := range []uint16{80, 81} {
				establish(t, netlink.IPTuple{SrcIP: ip("198.51.100.1"), DstIP: ip(vip), SrcPort: uint16(999 + i), DstPort: port, Protocol: protocol},
					netlink.IPTuple{SrcIP: ip("10.0.0.10"), DstIP: ip("198.51.100.1"), SrcPort: port, DstPort: uint16(999 + i), Protocol: protocol})
			}
			establish(t, netlink.IPTuple{SrcIP: ip("10.0.0.10"), DstIP: ip("198.51.100.2"), SrcPort: uint16(5 + i), DstPort: 80, Protocol: protocol},
				netlink.IPTuple{SrcIP: ip("198.51.100.2"), DstIP: ip(vip), SrcPort: 80, DstPort: uint16(5 + i), Protocol: protocol})
		}
	}
}

func establish(t *testing.T, asked, answer netlink.IPTuple) {
	t.Helper()
	f := netlink.ConntrackFlow{FamilyType: unix.AF_INET, Forward: asked, Reverse: answer, TimeOut: 100}
	if asked.Protocol == 6 {
		f.ProtoInfo = &netlink.ProtoInfoTCP{State: 3} // TCP_CONNTRACK_ESTABLISHED
	}
	if err := netlink.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, &f); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
}

func there(t *testing.T, c *Connections) (all []dataplane.Flow) {
	t.Helper()
	_, err := c.Sweep(t.Context(), func(f dataplane.Flow) bool { all = append(all, f); return false })
	if err != nil {
		t.Fatal(err)
	}
	return all
}
