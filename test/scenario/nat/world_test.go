// Package nat sends packets through a router in network namespaces: what
// guests, the internet and the management network can reach, and what not.
package nat

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kernel"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"github.com/sluice-nfv/sluice/appliance/services/eip"
	"github.com/sluice-nfv/sluice/appliance/services/interfaces"
	"github.com/sluice-nfv/sluice/appliance/services/portforwarding"
	"github.com/sluice-nfv/sluice/appliance/services/snat"
)

// The world: management, internet and two guests around one router. The
// internet is one machine with the public network's gateway address, and
// another address behind it.
const (
	macManagement = "02:00:00:00:00:01"
	macPublic     = "02:00:00:00:00:02"
	macGuest      = "02:00:00:00:00:03"

	managementIP = "192.0.2.9"
	gatewayIP    = "203.0.113.1"
	farIP        = "198.51.100.10"
	routerIP     = "203.0.113.2"
	routerMgmt   = "192.0.2.2"
	routerGuest  = "10.0.0.1"
	aIP          = "10.0.0.10"
	bIP          = "10.0.0.11"
	vipA         = "203.0.113.50"
	vipB         = "203.0.113.51"
	vipP         = "203.0.113.60"
)

type world struct {
	t                                       *testing.T
	router, management, internet, lan, a, b *kerneltest.Namespace
	kernel                                  *kernel.Kernel
	plane                                   *dataplane.Plane
}

func newWorld(t *testing.T) *world {
	t.Parallel() // most of a test is waiting for what must not come
	w := &world{t: t}
	for _, n := range []struct {
		ns     **kerneltest.Namespace
		suffix string
	}{{&w.router, "r"}, {&w.management, "m"}, {&w.internet, "i"}, {&w.lan, "l"}, {&w.a, "a"}, {&w.b, "b"}} {
		*n.ns = kerneltest.NewNamespace(t, n.suffix)
	}
	w.cable(w.router, "mgmt0", macManagement, w.management, "m0", managementIP+"/24")
	w.cable(w.router, "pub0", macPublic, w.internet, "i0", gatewayIP+"/24")
	w.cable(w.router, "lan0", macGuest, w.lan, "r0", "")
	w.lan.Run(t, "ip link add br0 type bridge")
	w.lan.Run(t, "ip link set br0 up")
	w.cable(w.a, "a0", "02:00:00:00:00:0a", w.lan, "a0", "")
	w.cable(w.b, "b0", "02:00:00:00:00:0b", w.lan, "b0", "")
	for _, port := range []string{"r0", "a0", "b0"} {
		w.lan.Run(t, "ip link set "+port+" master br0")
	}
	for guest, ip := range map[*kerneltest.Namespace]string{w.a: aIP, w.b: bIP} {
		nic := map[*kerneltest.Namespace]string{w.a: "a0", w.b: "b0"}[guest]
		guest.Run(t, "ip addr add "+ip+"/24 dev "+nic)
		guest.Run(t, "ip link set "+nic+" up")
		guest.Run(t, "ip route add default via "+routerGuest)
	}
	w.internet.Run(t, "ip addr add "+farIP+"/32 dev lo")
	w.management.Run(t, "ip route add default via "+routerMgmt)
	w.restart()
	return w
}

// restart is a new agent, which remembers nothing.
func (w *world) restart() {
	w.router.Do(func() {
		k, err := kernel.Open()
		if err != nil {
			panic(err)
		}
		w.kernel, w.plane = k, dataplane.New(k, nil)
	})
}

// cable joins two namespaces; the first end is left down and without address.
func (w *world) cable(x *kerneltest.Namespace, xNic, xMAC string, y *kerneltest.Namespace, yNic, yAddr string) {
	x.Run(w.t, fmt.Sprintf("ip link add %s address %s type veth peer name %s netns %s", xNic, xMAC, yNic, y.Name))
	if yAddr != "" {
		y.Run(w.t, "ip addr add "+yAddr+" dev "+yNic)
	}
	y.Run(w.t, "ip link set "+yNic+" up")
}

// content is the router without any mapping but SNAT.
func content() agentv1.Content {
	prefix := netip.MustParsePrefix
	return agentv1.Content{
		Hostname: "r",
		Interfaces: []agentv1.Interface{
			{Name: "eth0", MAC: macManagement, MTU: 1500, Roles: []agentv1.Role{agentv1.RoleManagement}, Addresses: []netip.Prefix{prefix(routerMgmt + "/24")}},
			{Name: "eth1", MAC: macPublic, MTU: 1500, Roles: []agentv1.Role{agentv1.RolePublic}, Addresses: []netip.Prefix{prefix(routerIP + "/24")}, Gateway: addr(gatewayIP)},
			{Name: "eth2", MAC: macGuest, MTU: 1500, Roles: []agentv1.Role{agentv1.RoleGuest}, Addresses: []netip.Prefix{prefix(routerGuest + "/24")}},
		},
		SNAT: []agentv1.SNAT{{Source: prefix("10.0.0.0/24"), Interface: macPublic, Address: addr(routerIP)}},
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func eipOf(vip, guest string, order int64) agentv1.EIP {
	return agentv1.EIP{UUID: vip, Interface: macPublic, VIP: addr(vip), GuestInterface: macGuest, GuestIP: addr(guest), Order: order}
}

func forward(vip, protocol string, first, last uint16, guest string, to uint16) agentv1.PortForwarding {
	return agentv1.PortForwarding{
		UUID: vip, Interface: macPublic, VIP: addr(vip), VIPIsRouter: vip == routerIP, Protocol: protocol,
		VIPPortStart: first, VIPPortEnd: last, PrivatePortStart: to, GuestInterface: macGuest, GuestIP: addr(guest),
	}
}

// want plans all services' part of a content, as the agent does.
func (w *world) want(c agentv1.Content) dataplane.Want {
	w.t.Helper()
	var links dataplane.Links
	var err error
	w.router.Do(func() { links, err = w.plane.Links(context.Background()) })
	wants := map[string]dataplane.Want{}
	for _, s := range []interface {
		Name() string
		Want(agentv1.Content, dataplane.Links) (dataplane.Want, error)
	}{interfaces.New(), snat.New(), eip.New(), portforwarding.New()} {
		var e error
		if wants[s.Name()], e = s.Want(c, links); e != nil {
			w.t.Fatalf("plan %s: %v", s.Name(), e)
		}
	}
	if e := planServers(c, links, wants); e != nil {
		w.t.Fatalf("plan servers: %v", e)
	}
	merged, e := dataplane.Merge(wants)
	if err != nil || e != nil {
		w.t.Fatal(err, e)
	}
	return merged
}

// apply makes the router as the content says and checks that once is enough.
func (w *world) apply(c agentv1.Content) dataplane.Reached {
	w.t.Helper()
	r := w.applyOnce(c)
	if again := w.applyOnce(c); again.Writes != 0 {
		w.t.Fatalf("applied twice, the second wrote:\n%s", strings.Join(again.Steps, "\n"))
	}
	return r
}

// try applies; the error is the test's business.
func (w *world) try(c agentv1.Content) (r dataplane.Reached, err error) {
	w.t.Helper()
	want := w.want(c)
	w.router.Do(func() { r, err = w.plane.Apply(context.Background(), want) })
	return r, err
}

func (w *world) applyOnce(c agentv1.Content) dataplane.Reached {
	w.t.Helper()
	r, err := w.try(c)
	if err != nil {
		w.t.Fatalf("apply: %v\nsteps:\n%s", err, strings.Join(r.Steps, "\n"))
	}
	return r
}
