package novlan

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

func ip(s string) net.IP { return net.ParseIP(s) }

func netlinkParse(cidr string) (net.IP, *net.IPNet, error) { return net.ParseCIDR(cidr) }

func requireRouteVia(t *testing.T, linkName, dst string) {
	t.Helper()
	link, err := netlink.LinkByName(linkName)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == dst {
			return
		}
	}
	t.Fatalf("no route to %s via %s: %v", dst, linkName, routes)
}
