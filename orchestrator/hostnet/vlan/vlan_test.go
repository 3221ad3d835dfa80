package vlan

import (
	"testing"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/hostnettest"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
)

func host(t *testing.T) {
	t.Helper()
	hostnettest.Host(t)
	hostnettest.NeedVLANs(t)
}

// network is VLAN 10, 11, ...
func network(n int) *v1.L2Network {
	l2 := hostnettest.Network(n)
	l2.Type, l2.Vlan = v1.L2Vlan, 10+n
	return l2
}

func realize(t *testing.T, l2 *v1.L2Network) string {
	t.Helper()
	name, err := Type{}.Realize(t.Context(), l2)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestType(t *testing.T) {
	hostnettest.Case{
		Type: Type{}, Host: host, Network: network,
		Device: func(t *testing.T) string {
			hostnettest.VLAN(t, "sl-admin", network(0).Vlan)
			return "sl-admin"
		},
		Made: func(l2 *v1.L2Network) []string { return []string{DeviceName(l2), bridge.Name(l2)} },
	}.Run(t)
}

// A VLAN device that another L2 network made is not shared.
func TestVLANOfAnotherNetwork(t *testing.T) {
	host(t)
	realize(t, network(0))
	second := network(1)
	second.Vlan = network(0).Vlan
	before := hostnettest.Names(t)
	if _, err := (Type{}).Realize(t.Context(), second); v1.Code(err) != "interface-in-use" {
		t.Fatalf("got %v", err)
	}
	if err := (Type{}).Unrealize(t.Context(), second); err != nil || len(hostnettest.Names(t)) != len(before) {
		t.Fatalf("%v, devices %v, before %v", err, hostnettest.Names(t), before)
	}
	if err := (Type{}).Check(t.Context(), network(0)); err != nil {
		t.Fatal(err)
	}
}

// A device that was made on another interface of the same name is made anew.
func TestInterfaceReplaced(t *testing.T) {
	host(t)
	realize(t, network(0))
	link := hostnettest.Link(t, hostnettest.Uplink)
	for _, err := range []error{netlink.LinkSetDown(link), netlink.LinkSetName(link, "sl-old")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	hostnettest.Veth(t, hostnettest.Uplink, "sl-wire2")
	realize(t, network(0))
	device := hostnettest.Link(t, DeviceName(network(0)))
	if device.Attrs().ParentIndex != hostnettest.Link(t, hostnettest.Uplink).Attrs().Index {
		t.Fatal("the VLAN is still on the old interface")
	}
}

// Frames of two VLANs and of the untagged network of one interface stay apart,
// on the wire and on the bridges.
func TestFramesStayApart(t *testing.T) {
	host(t)
	untagged := hostnettest.Network(9)
	for name, at := range map[string]string{
		"ten":    realize(t, network(0)),
		"eleven": realize(t, network(1)),
		"plain": func() string {
			name, err := novlan.Type{}.Realize(t.Context(), untagged)
			if err != nil {
				t.Fatal(err)
			}
			return name
		}(),
	} {
		hostnettest.Guest(t, name, at)
	}
	w := hostnettest.Listen(t, "ten", "eleven", "plain", hostnettest.Wire)
	none := hostnettest.Seen{}
	for _, c := range []struct {
		from string
		tag  int // of the frame as it is sent
		want hostnettest.Seen
	}{
		{"ten", 0, hostnettest.Seen{hostnettest.Wire: 10}},
		{"eleven", 0, hostnettest.Seen{hostnettest.Wire: 11}},
		{"plain", 0, hostnettest.Seen{hostnettest.Wire: 0}},
		{hostnettest.Wire, 10, hostnettest.Seen{"ten": 0}},
		{hostnettest.Wire, 11, hostnettest.Seen{"eleven": 0}},
		{hostnettest.Wire, 0, hostnettest.Seen{"plain": 0}},
		{hostnettest.Wire, 12, none},
		// A guest that tags its frames itself gets nowhere with them.
		{"plain", 10, none},
		{"plain", 11, none},
		{"ten", 11, hostnettest.Seen{hostnettest.Wire: 10}}, // one VLAN inside the other: it stays there
	} {
		w.Expect(t, c.from, c.tag, c.want)
	}
	// Without its VLAN's device a frame goes nowhere; the others are as before.
	if err := (Type{}).Unrealize(t.Context(), network(0)); err != nil {
		t.Fatal(err)
	}
	w.Expect(t, hostnettest.Wire, 10, none)
	w.Expect(t, hostnettest.Wire, 11, hostnettest.Seen{"eleven": 0})
	w.Expect(t, "plain", 0, hostnettest.Seen{hostnettest.Wire: 0})
}
