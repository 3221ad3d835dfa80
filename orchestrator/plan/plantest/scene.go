// Package plantest has a small topology for tests of what is planned of it:
// fixed UUIDs, addresses and dates, so that texts made of it can be compared.
package plantest

import (
	"fmt"
	"net/netip"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// The networks of a Scene and its router. Other is a second guest network.
var (
	Host   = ID(1)
	Mgmt   = ID(11)
	Public = ID(12)
	Guest  = ID(13)
	Other  = ID(14)
	Image  = ID(20)
	Router = ID(21)
)

// ID is the n-th UUID.
func ID(n int) string { return fmt.Sprintf("0199d1a0-0000-7000-8000-%012d", n) }

// Scene is a list of resources that become a View; tests change it before.
type Scene struct{ Resources []v1.Resource }

// Add adds resources.
func (s *Scene) Add(r ...v1.Resource) { s.Resources = append(s.Resources, r...) }

// View puts the resources in, in the order of the list.
func (s *Scene) View() *model.View {
	v := model.NewView()
	for _, r := range s.Resources {
		v.Put(model.KindOf(r), r)
	}
	return v
}

// Row is the scene's router, for changing.
func (s *Scene) Row() *v1.VirtualRouter { return find[v1.VirtualRouter](s, Router) }

// L3 is a network of the scene, for changing.
func (s *Scene) L3(uuid string) *v1.L3Network { return find[v1.L3Network](s, uuid) }

func find[T any, P model.Resources[T]](s *Scene, uuid string) P {
	for _, r := range s.Resources {
		if p, ok := r.(P); ok && r.GetMeta().UUID == uuid {
			return p
		}
	}
	panic("plantest: no " + uuid)
}

// New is a router with management, public and guest network, all services, and
// no guest.
func New() *Scene {
	s := &Scene{}
	for i, n := range []struct{ uuid, name, category, cidr string }{
		{Mgmt, "management", v1.System, "10.0.0.0/24"}, {Public, "public", v1.Public, "203.0.113.0/24"},
		{Guest, "guest", v1.Private, "192.168.10.0/24"}, {Other, "other", v1.Private, "192.168.20.0/24"},
	} {
		l2 := ID(5 + i)
		s.Add(&v1.L2Network{Meta: meta(l2, n.name), PhysicalInterface: fmt.Sprintf("eth%d", i),
			Realizations: []v1.Realization{{HostUUID: Host, Bridge: fmt.Sprintf("br_eth%d", i)}}})
		s.Add(&v1.L3Network{Meta: meta(n.uuid, n.name), L2NetworkUUID: l2, Category: n.category, State: v1.Enabled, MTU: 1500})
	}
	s.L3(Mgmt).HostRoutes = []v1.HostRoute{{Prefix: netip.MustParsePrefix("10.9.0.0/16"), NextHop: ip("10.0.0.1")}}
	g := s.L3(Guest)
	g.DNSDomain, g.MTU, g.DNS = "guest.example", 1450, []netip.Addr{ip("192.0.2.53"), ip("192.0.2.54")}
	g.HostRoutes = []v1.HostRoute{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), NextHop: ip("192.168.10.9")}}
	g.NetworkServices = map[string][]string{v1.ProviderVirtualRouter: {v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding}}
	s.L3(Other).NetworkServices = g.NetworkServices
	s.Add(&v1.Image{Meta: meta(Image, "router"), Format: "direct", Cmdline: "console=ttyS0", State: v1.Enabled, Files: map[string]v1.ImageFile{
		"vmlinuz": {SHA256: "aaaaaaaaaaaaaaaaaaaa", Size: 1}, "initrd": {SHA256: "bbbbbbbbbbbbbbbbbbbb", Size: 2}, "router.qcow2": {SHA256: "cccccccccccccccccccc", Size: 3},
	}})
	s.Add(&v1.VirtualRouter{Meta: meta(Router, "vr-guest"), HostUUID: Host, ImageUUID: Image, CPUNum: 1, MemorySize: 192, L3NetworkUUID: Guest,
		WantedState: v1.StateRunning, Epoch: 3, Nics: []v1.RouterNic{
			nic(0, model.RoleManagement, Mgmt, "10.0.0.2", "10.0.0.0/24", "10.0.0.1"),
			nic(1, model.RolePublic, Public, "203.0.113.2", "203.0.113.0/24", "203.0.113.1"),
			nic(2, model.RoleGuest, Guest, "192.168.10.1", "192.168.10.0/24", "192.168.10.1"),
		}})
	return s
}

func nic(i int, role, l3, addr, cidr, gateway string) v1.RouterNic {
	return v1.RouterNic{Name: fmt.Sprintf("eth%d", i), Roles: []string{role}, L3NetworkUUID: l3, MAC: fmt.Sprintf("0a:00:00:00:00:0%d", i),
		IP: ip(addr), Prefix: netip.MustParsePrefix(cidr), Gateway: ip(gateway)}
}

// VM adds the n-th VM (0 to 99), in the state, with one nic on the network. Its
// nic's UUID is ID(200 + n), its address ends in 10 + n.
func (s *Scene) VM(n int, l3, state string) *v1.VMNic {
	net := map[string]int{Guest: 10, Other: 20}[l3]
	name := fmt.Sprintf("vm%d", n)
	added := &v1.VMNic{Meta: meta(ID(200+n), name), VMInstanceUUID: ID(100 + n), L3NetworkUUID: l3, IsDefault: true,
		IP: ip(fmt.Sprintf("192.168.%d.%d", net, 10+n)), MAC: fmt.Sprintf("0a:00:00:00:01:%02x", 99-n)}
	s.Add(&v1.VMInstance{Meta: meta(ID(100+n), name), Hostname: name, State: state}, added)
	return added
}

// VMOf is the VM of a nic.
func (s *Scene) VMOf(nic *v1.VMNic) *v1.VMInstance { return find[v1.VMInstance](s, nic.VMInstanceUUID) }

// VIP adds the n-th VIP of the public network; its address ends in 100 + n.
func (s *Scene) VIP(n int) *v1.VIP {
	vip := &v1.VIP{Meta: meta(ID(300+n), "vip"), L3NetworkUUID: Public, IP: ip(fmt.Sprintf("203.0.113.%d", 100+n)), State: v1.Enabled}
	s.Add(vip)
	return vip
}

// EIP adds the n-th EIP, older the lower n, on the n-th VIP.
func (s *Scene) EIP(n int, nic string) *v1.EIP {
	e := &v1.EIP{Meta: meta(ID(400+n), "eip"), VIPUUID: ID(300 + n), VMNicUUID: nic, State: v1.Enabled}
	e.CreateDate = e.CreateDate.Add(time.Duration(n) * time.Second)
	s.Add(e)
	return e
}

// Rule adds the n-th rule, for ports from 1000 + n on the n-th VIP.
func (s *Scene) Rule(n int, nic, protocol string) *v1.PortForwardingRule {
	f := &v1.PortForwardingRule{Meta: meta(ID(500+n), "rule"), VIPUUID: ID(300 + n), VMNicUUID: nic, Protocol: protocol, State: v1.Enabled,
		VIPPortStart: 1000 + n, VIPPortEnd: 1001 + n, PrivatePortStart: 22, PrivatePortEnd: 23}
	s.Add(f)
	return f
}

func meta(uuid, name string) v1.Meta {
	return v1.Meta{UUID: uuid, Name: name, CreateDate: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }
