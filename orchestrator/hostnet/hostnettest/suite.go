package hostnettest

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
)

// Case is a type of L2 network for the suite.
type Case struct {
	hostnet.Type
	// Host prepares the host of one test; it skips what this kernel cannot do.
	Host func(t *testing.T)
	// Network is the n-th network of the type, on Uplink.
	Network func(n int) *v1.L2Network
	// Device makes, if it has to, the administrator's device that carries the
	// network's frames, and returns its name.
	Device func(t *testing.T) string
	// Made are the names of all devices that the type makes for a network
	// where the administrator has none.
	Made func(l2 *v1.L2Network) []string
}

// Run runs the suite. Each test has a thread of its own, which its namespace is
// tied to.
func (c Case) Run(t *testing.T) {
	for name, test := range map[string]func(Case, *testing.T){
		"made and removed, twice":                     Case.testTwice,
		"the host keeps its address and its routes":   Case.testAddressesMove,
		"a missing interface is named":                Case.testMissingInterface,
		"an interface of another bridge is refused":   Case.testOtherBridge,
		"a device of the same name is left alone":     Case.testForeignName,
		"the bridge follows the MTU of the interface": Case.testMTU,
		"what was damaged is seen and mended":         Case.testMend,
		"names fit the kernel":                        Case.testNames,
	} {
		t.Run(name, func(t *testing.T) {
			c.Host(t)
			test(c, t)
		})
	}
}

func (c Case) realize(t *testing.T, l2 *v1.L2Network) string {
	t.Helper()
	name, err := c.Realize(t.Context(), l2)
	check(t, err)
	check(t, c.Check(t.Context(), l2))
	return name
}

func (c Case) testTwice(t *testing.T) {
	l2, before := c.Network(0), Names(t)
	for range 2 {
		if name := c.realize(t, l2); name != bridge.Name(l2) {
			t.Errorf("bridge %s", name)
		}
	}
	if got := Names(t); !slices.Equal(got[len(before):], c.Made(l2)) {
		t.Errorf("devices are %v, before %v; want %v more", got, before, c.Made(l2))
	}
	for _, name := range c.Made(l2) {
		if !bridge.Ours(Link(t, name)) {
			t.Errorf("device %s is not marked", name)
		}
	}
	for range 2 {
		check(t, c.Unrealize(t.Context(), l2))
		if got := Names(t); !slices.Equal(got, before) {
			t.Errorf("devices are %v, before %v", got, before)
		}
	}
	if c.Check(t.Context(), l2) == nil {
		t.Error("Check says that a removed network is there")
	}
}

func (c Case) testAddressesMove(t *testing.T) {
	const address, far = "10.9.0.1/24", "10.10.0.0/16"
	l2, device := c.Network(0), c.Device(t)
	setUp(t, Uplink)
	setUp(t, device)
	addAddress(t, device, address)
	addRoute(t, device, far, "10.9.0.254")
	has := func(name string) bool {
		return slices.Equal(addresses(t, name), []string{address}) && hasRoute(t, name, far)
	}
	for range 2 {
		if name := c.realize(t, l2); !has(name) || len(addresses(t, device)) != 0 {
			t.Fatalf("address %v, route %t on the bridge; addresses %v left", addresses(t, name), hasRoute(t, name, far), addresses(t, device))
		}
	}
	for range 2 {
		check(t, c.Unrealize(t.Context(), l2))
		if !Exists(device) || !has(device) {
			t.Fatalf("the administrator's device is there: %t, with %v", Exists(device), addresses(t, device))
		}
	}
}

func (c Case) testMissingInterface(t *testing.T) {
	l2, before := c.Network(0), Names(t)
	l2.PhysicalInterface = "sl-none"
	if _, err := c.Realize(t.Context(), l2); v1.Code(err) != "physical-interface-missing" {
		t.Errorf("realize: %v", err)
	}
	if err := c.Check(t.Context(), l2); v1.Code(err) != "physical-interface-missing" {
		t.Errorf("check: %v", err)
	}
	check(t, c.Unrealize(t.Context(), l2))
	if got := Names(t); !slices.Equal(got, before) {
		t.Errorf("devices are %v, before %v", got, before)
	}
	// One that goes while the network is there takes nothing with it that stays.
	c.realize(t, c.Network(1))
	check(t, netlink.LinkDel(Link(t, Uplink)))
	check(t, c.Unrealize(t.Context(), c.Network(1)))
	for _, name := range c.Made(c.Network(1)) {
		if Exists(name) {
			t.Errorf("%s is left", name)
		}
	}
}

func (c Case) testOtherBridge(t *testing.T) {
	device, l2 := c.Device(t), c.Network(0)
	check(t, netlink.LinkSetMaster(Link(t, device), Bridge(t, "other")))
	before := Names(t)
	if _, err := c.Realize(t.Context(), l2); v1.Code(err) != "interface-in-use" {
		t.Errorf("got %v", err)
	}
	if got := Names(t); !slices.Equal(got, before) {
		t.Errorf("devices are %v, before %v", got, before)
	}
}

func (c Case) testForeignName(t *testing.T) {
	l2 := c.Network(0)
	for _, name := range c.Made(l2) {
		foreign := Bridge(t, name)
		before := Names(t)
		if _, err := c.Realize(t.Context(), l2); v1.Code(err) != "device-name-taken" {
			t.Errorf("%s is foreign: %v", name, err)
		}
		check(t, c.Unrealize(t.Context(), l2))
		if got := Names(t); !slices.Equal(got, before) || Link(t, name).Attrs().Index != foreign.Attrs().Index {
			t.Errorf("devices are %v, before %v", got, before)
		}
		if Link(t, Uplink).Attrs().MasterIndex != 0 {
			t.Error("the interface was taken")
		}
		check(t, netlink.LinkDel(foreign))
	}
}

func (c Case) testMTU(t *testing.T) {
	l2 := c.Network(0)
	for _, mtu := range []int{1400, 2000, 1500} {
		check(t, netlink.LinkSetMTU(Link(t, Uplink), mtu))
		if name := c.realize(t, l2); Link(t, name).Attrs().MTU != mtu {
			t.Errorf("interface has MTU %d, bridge %d", mtu, Link(t, name).Attrs().MTU)
		}
	}
}

func (c Case) testMend(t *testing.T) {
	l2 := c.Network(0)
	name := c.realize(t, l2)
	damages := map[string]func(){
		"bridge down":    func() { check(t, netlink.LinkSetDown(Link(t, name))) },
		"bridge's MTU":   func() { check(t, netlink.LinkSetMTU(Link(t, name), 1300)) },
		"interface down": func() { check(t, netlink.LinkSetDown(Link(t, Uplink))) },
	}
	for _, made := range c.Made(l2) {
		damages[made+" removed"] = func() { check(t, netlink.LinkDel(Link(t, made))) }
	}
	for what, damage := range damages {
		damage()
		if c.Check(t.Context(), l2) == nil {
			t.Errorf("%s: Check is content", what)
		}
		c.realize(t, l2)
	}
}

func (c Case) testNames(t *testing.T) {
	for _, name := range c.Made(c.Network(0)) {
		if len(name) > 15 { // IFNAMSIZ with its end
			t.Errorf("%q has %d bytes", name, len(name))
		}
	}
	if slices.ContainsFunc(c.Made(c.Network(0)), func(name string) bool { return slices.Contains(c.Made(c.Network(1)), name) }) {
		t.Error("two networks share a name")
	}
}
