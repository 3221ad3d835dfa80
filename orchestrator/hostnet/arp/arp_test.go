package arp_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/arp"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/hostnettest"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestWhoHas(t *testing.T) {
	hostnettest.Host(t)
	l2 := hostnettest.Network(0)
	l2.Type = v1.L2NoVlan
	host := hostnet.Local{novlan.Type{}}
	bridge, err := host.Realize(t.Context(), l2)
	if err != nil {
		t.Fatal(err)
	}
	mac := hostnettest.Holder(t, "192.0.2.7/24", "192.0.2.9/24")
	link := hostnettest.Link(t, bridge)
	address, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		ask  []netip.Addr
		want map[netip.Addr]string
	}{
		"nobody has it":             {[]netip.Addr{addr("192.0.2.6")}, map[netip.Addr]string{}},
		"somebody has it":           {[]netip.Addr{addr("192.0.2.7")}, map[netip.Addr]string{addr("192.0.2.7"): mac}},
		"some of many":              {[]netip.Addr{addr("192.0.2.6"), addr("192.0.2.7"), addr("192.0.2.8"), addr("192.0.2.9")}, map[netip.Addr]string{addr("192.0.2.7"): mac, addr("192.0.2.9"): mac}},
		"this machine has it":       {[]netip.Addr{addr("192.0.2.1")}, map[netip.Addr]string{addr("192.0.2.1"): link.Attrs().HardwareAddr.String()}},
		"nothing is asked":          {nil, map[netip.Addr]string{}},
		"of no network on the wire": {[]netip.Addr{addr("198.51.100.7")}, map[netip.Addr]string{}},
	} {
		got, err := host.WhoHas(t.Context(), l2, test.ask) // no subtest: the namespace is of this thread
		if err != nil || !maps.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	_, err = arp.WhoHas(t.Context(), "sl-none", []netip.Addr{addr("192.0.2.7")})
	if err == nil || !strings.Contains(err.Error(), "sl-none") {
		t.Errorf("a device that is missing: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := host.WhoHas(ctx, l2, []netip.Addr{addr("192.0.2.6")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended by who asked: %v", err)
	}
}
