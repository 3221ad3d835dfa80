package dhcp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func TestWantRefuses(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		field string
		spoil func(c *agentv1.Content, n *agentv1.DHCPNetwork)
	}{
		{"/interface", func(c *agentv1.Content, _ *agentv1.DHCPNetwork) { c.Interfaces = nil }},
		{"/interface", func(c *agentv1.Content, _ *agentv1.DHCPNetwork) { c.Interfaces[0].Roles[0] = agentv1.RolePublic }},
		{"/serverId", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.ServerID = addr("10.2.0.1") }},
		{"/serverId", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.ServerID = addr("10.1.0.0") }},
		{"/serverId", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.ServerID = netip.Addr{} }},
		{"/subnet", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Subnet = netip.MustParsePrefix("fd00::/64") }},
		{"/subnet", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Subnet = netip.Prefix{} }},
		{"/router", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Router = addr("10.1.0.255") }},
		{"/mtu", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.MTU = 575 }},
		{"/mtu", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.MTU = 9217 }},
		{"/leaseSeconds", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.LeaseSeconds = 0 }},
		{"/domain", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Domain = "a..b" }},
		{"/domain", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Domain = "a b" }},
		{"/domain", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Domain = "a\n" }},
		{"/domain", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Domain = strings.Repeat("a", 64) }},
		{"/dns/1", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.DNS[1] = addr("::1") }},
		{"/relays/0", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Relays = []netip.Addr{addr("0.0.0.0")} }},
		{"/routes/0/prefix", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) {
			n.Routes[0].Prefix = netip.MustParsePrefix("10.0.0.1/8")
		}},
		{"/routes/0/nextHop", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Routes[0].NextHop = netip.Addr{} }},
		{"/bindings/1/mac", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].MAC = "02:00:00:00:00" }},
		{"/bindings/1/mac", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].MAC = "03:00:00:00:00:00" }},
		{"/bindings/1/mac", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].MAC = "00:00:00:00:00:00" }},
		{"/bindings/1/mac", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].MAC = strings.ToUpper(webMAC) }},
		{"/bindings/2/mac", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { // sorted, as text
			n.Bindings[1].MAC, n.Bindings[2].MAC = "02:00:00:00:00:BB", "02:00:00:00:00:bb"
		}},
		{"/bindings/1/ip", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].IP = webIP }},
		{"/bindings/1/ip", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].IP = serverIP }},
		{"/bindings/1/ip", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].IP = addr("10.1.1.5") }},
		{"/bindings/1/ip", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].IP = addr("10.1.0.255") }},
		{"/bindings/1/hostname", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[1].Hostname = "$(reboot)" }},
		{"/bindings/0/options/52", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[0].Options = map[uint8]string{52: "01"} }},
		{"/bindings/0/options/54", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) {
			n.Bindings[0].Options = map[uint8]string{54: "0a000001"}
		}},
		{"/bindings/0/options/43", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) { n.Bindings[0].Options = map[uint8]string{43: "0"} }},
		{"/bindings/0/options/43", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) {
			n.Bindings[0].Options = map[uint8]string{43: strings.Repeat("00", 1025)}
		}},
		{"/bindings/0/routes/1/prefix", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) {
			n.Bindings[0].Routes = []agentv1.Route{route("10.9.0.0/16", "10.1.0.7"), {Prefix: netip.MustParsePrefix("fd00::/64"), NextHop: webIP}}
		}},
		{"/bindings/2/routes/0/nextHop", func(_ *agentv1.Content, n *agentv1.DHCPNetwork) {
			n.Bindings[2].Routes = []agentv1.Route{{Prefix: netip.MustParsePrefix("10.9.0.0/16")}}
		}},
	} {
		c := content(guestNetwork())
		tc.spoil(&c, &c.DHCP[0])
		_, err := Want(c, nil)
		var field *dataplane.FieldError
		if !errors.As(err, &field) {
			t.Errorf("%s: error is %v", tc.field, err)
		} else if want := "/content/dhcp/0" + tc.field; field.Field != want {
			t.Errorf("field is %s, want %s (%v)", field.Field, want, err)
		}
	}
	c := content(guestNetwork())
	c.DHCP = append(c.DHCP, c.DHCP[0])
	if _, err := Want(c, nil); err == nil || !strings.HasPrefix(err.Error(), "/content/dhcp/1/interface") {
		t.Errorf("one interface served twice: %v", err)
	}
}

func TestWantOpensThePort(t *testing.T) {
	w, err := Want(content(guestNetwork()), dataplane.Links{routerMAC: "eth2", strayMAC: "eth1"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (dataplane.Input{Link: "eth2", Protocol: "udp", Port: 67, Owner: "dhcp"}); len(w.Inputs) != 1 || w.Inputs[0] != want {
		t.Errorf("inputs are %v, want %v", w.Inputs, want)
	}
	if w, err = Want(agentv1.Content{}, nil); err != nil || len(w.Inputs) != 0 {
		t.Errorf("no DHCP: %v, %v", w, err)
	}
}

// TestWantAtSize: the whole of 65,000 bindings is checked.
func TestWantAtSize(t *testing.T) {
	n := largeNetwork(65000)
	if _, err := Want(content(n), nil); err != nil {
		t.Fatal(err)
	}
	n.Bindings[64999].IP = n.Bindings[0].IP
	if _, err := Want(content(n), nil); err == nil {
		t.Error("an address bound twice is accepted")
	}
}
