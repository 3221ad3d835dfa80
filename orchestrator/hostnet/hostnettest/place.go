// Package hostnettest is the suite that every type of L2 network passes, and
// the small host that it is tried on: a network namespace with an interface.
package hostnettest

import (
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Uplink is the interface of the host, and Wire its other end.
const (
	Uplink = "sl-up"
	Wire   = "sl-wire"
)

// Host gives the test a network namespace of its own with an interface, which
// goes when the locked thread ends.
func Host(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the runtime ends the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare network namespace: %v", err)
	}
	Veth(t, Uplink, Wire)
	setUp(t, Wire) // the cable is in
}

// NeedVLANs skips the test on a kernel without VLAN devices.
func NeedVLANs(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "sl-try", Link(t, Uplink).Attrs().Index
	vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: 4000, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if err := netlink.LinkAdd(vlan); err != nil {
		if os.Getenv("SLUICE_VLANS") != "" {
			t.Fatalf("this kernel should have VLANs: %v", err)
		}
		t.Skipf("this kernel has no VLAN devices (%v): run in a QEMU guest by test/kernel", err)
	}
	check(t, netlink.LinkDel(vlan))
}

// Network is an L2 network on Uplink, the n-th of the test (0 to 9).
func Network(n int) *v1.L2Network {
	return &v1.L2Network{
		Meta:              v1.Meta{UUID: "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4" + string(rune('0'+n)), Name: "tenant"},
		PhysicalInterface: Uplink,
	}
}

// Veth makes a pair of devices.
func Veth(t *testing.T, name, peer string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
}

// VLAN makes a VLAN device on Uplink, as an administrator would.
func VLAN(t *testing.T, name string, id int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, Link(t, Uplink).Attrs().Index
	check(t, netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}))
}

// Bridge makes an empty bridge, as an administrator would.
func Bridge(t *testing.T, name string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	return Link(t, name)
}

// Link is a device that has to be there.
func Link(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("device %s: %v", name, err)
	}
	return link
}

// Exists reports whether there is a device.
func Exists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// Names are the names of all devices.
func Names(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	check(t, err)
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func setUp(t *testing.T, name string) {
	t.Helper()
	check(t, netlink.LinkSetUp(Link(t, name)))
}

func addAddress(t *testing.T, name, cidr string) {
	t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	check(t, err)
	check(t, netlink.AddrAdd(Link(t, name), addr))
}

func addresses(t *testing.T, name string) (all []string) {
	t.Helper()
	list, err := netlink.AddrList(Link(t, name), netlink.FAMILY_V4)
	check(t, err)
	for _, a := range list {
		all = append(all, a.IPNet.String())
	}
	return all
}

func addRoute(t *testing.T, name, dst, via string) {
	t.Helper()
	_, far, err := net.ParseCIDR(dst)
	check(t, err)
	check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: Link(t, name).Attrs().Index, Dst: far, Gw: net.ParseIP(via)}))
}

func hasRoute(t *testing.T, name, dst string) bool {
	t.Helper()
	routes, err := netlink.RouteList(Link(t, name), netlink.FAMILY_V4)
	check(t, err)
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == dst {
			return true
		}
	}
	return false
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
