package novlan

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// inNamespace runs the test in a network namespace of its own, which goes when
// the locked thread ends.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the runtime ends the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare network namespace: %v", err)
	}
}

func uplink(t *testing.T, cidr string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "sl-up"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "sl-up-peer"}); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("sl-up")
	if err != nil {
		t.Fatal(err)
	}
	if cidr != "" {
		addr, _ := netlink.ParseAddr(cidr)
		if err := netlink.AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

func network() *v1.L2Network {
	return &v1.L2Network{
		Meta: v1.Meta{UUID: "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f", Name: "tenant"},
		Type: v1.L2NoVlan, PhysicalInterface: "sl-up",
	}
}

func addresses(t *testing.T, name string) []string {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.IPNet.String())
	}
	return out
}

func TestAddressesAndRoutesMoveToTheBridgeAndBack(t *testing.T) {
	inNamespace(t)
	link := uplink(t, "10.9.0.1/24")
	_, far, err := netlinkParse("10.10.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: far, Gw: ip("10.9.0.254")}); err != nil {
		t.Fatal(err)
	}
	l2, r := network(), Realizer{}
	for range 2 { // twice changes nothing
		bridge, err := r.Realize(t.Context(), l2)
		if err != nil {
			t.Fatal(err)
		}
		if got := addresses(t, bridge); len(got) != 1 || got[0] != "10.9.0.1/24" {
			t.Fatalf("addresses of the bridge: %v", got)
		}
		if got := addresses(t, "sl-up"); len(got) != 0 {
			t.Fatalf("addresses left on the interface: %v", got)
		}
		requireRouteVia(t, bridge, far.String())
		if err := r.Check(t.Context(), l2); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := r.Unrealize(t.Context(), l2); err != nil {
			t.Fatal(err)
		}
		if got := addresses(t, "sl-up"); len(got) != 1 {
			t.Fatalf("addresses of the interface afterwards: %v", got)
		}
		requireRouteVia(t, "sl-up", far.String())
	}
	if err := r.Check(t.Context(), l2); err == nil {
		t.Fatal("Check says that a removed bridge is there")
	}
}

func TestMissingInterfaceIsNamed(t *testing.T) {
	inNamespace(t)
	_, err := Realizer{}.Realize(t.Context(), network())
	if v1.Code(err) != "physical-interface-missing" {
		t.Fatalf("got %v", err)
	}
	if links, _ := netlink.LinkList(); len(links) != 1 {
		t.Fatalf("something was left behind: %v", links)
	}
}

func TestInterfaceOfAnotherBridgeIsRefused(t *testing.T) {
	inNamespace(t)
	link := uplink(t, "")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "other"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	other, _ := netlink.LinkByName("other")
	if err := netlink.LinkSetMaster(link, other); err != nil {
		t.Fatal(err)
	}
	if _, err := (Realizer{}).Realize(t.Context(), network()); v1.Code(err) != "interface-in-use" {
		t.Fatalf("got %v", err)
	}
}
