package model

import (
	"net/netip"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan"
)

// world is a zone ready for guests: one Connected host, a management, a public
// and a guest network with all services, and an offering.
type world struct {
	t  testing.TB
	tx *Tx

	zone, cluster, host, image, offering string
	l2Management, l2Public, l2Guest      string
	management, public, guest            string
}

// catalog has the ribs' services, and a second provider with one of them too.
var catalog = Catalog{
	L2Types: []L2Type{novlan.Type{}, vlan.Type{}},
	Services: []ServiceType{
		{Name: v1.DHCP, Provider: v1.ProviderVirtualRouter},
		{Name: v1.DNS, Provider: v1.ProviderVirtualRouter},
		{Name: v1.SNAT, Provider: v1.ProviderVirtualRouter},
		{Name: v1.EIPService, Provider: v1.ProviderVirtualRouter, Needs: []string{v1.SNAT}, Users: EIPsOn, Free: DeleteEIP},
		{Name: v1.PortForwarding, Provider: v1.ProviderVirtualRouter, Needs: []string{v1.SNAT}, Users: ForwardingsOn, Free: DeletePortForwardingRule},
		{Name: v1.DHCP, Provider: "Flat"},
	},
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// must ends the test on a refusal.
func must[T any](w *world, r T, err error) T {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return r
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func named(name string) v1.CreateMeta { return v1.CreateMeta{Name: name} }

func newWorld(t testing.TB) *world {
	t.Helper()
	v := NewView()
	v.Catalog = catalog
	w := &world{t: t, tx: NewTx(v, epoch)}
	z, err := CreateZone(w.tx, v1.CreateZone{CreateMeta: named("zone")})
	w.zone = must(w, z, err).UUID
	c, err := CreateCluster(w.tx, v1.CreateCluster{CreateMeta: named("cluster"), ZoneUUID: w.zone})
	w.cluster = must(w, c, err).UUID
	w.host = w.addHost("host", w.cluster)
	img, err := CreateImage(w.tx, &v1.Image{Meta: v1.Meta{Name: "router"}, Source: "/images/router", Files: map[string]v1.ImageFile{"vmlinuz": {SHA256: "00", Size: 1}}})
	w.image = must(w, img, err).UUID
	w.l2Management, w.management = w.addNetwork("management", "eth0", v1.System, "10.0.0.0/24")
	w.l2Public, w.public = w.addNetwork("public", "eth1", v1.Public, "203.0.113.0/24")
	w.l2Guest, w.guest = w.addNetwork("guest", "eth2", v1.Private, "192.168.10.0/24")
	w.services(w.guest, v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding)
	o, err := CreateOffering(w.tx, w.offeringRequest("small"))
	w.offering = must(w, o, err).UUID
	w.clean()
	return w
}

// clean forgets what was written, so that Changed speaks of the test alone.
func (w *world) clean() {
	w.t.Helper()
	for _, err := range Check(w.tx.View) {
		w.t.Error(err)
	}
	w.tx = NewTx(w.tx.View, w.tx.Now.Add(time.Second))
}

func (w *world) addHost(name, cluster string) string {
	w.t.Helper()
	h, err := CreateHost(w.tx, v1.CreateHost{CreateMeta: named(name), ClusterUUID: cluster, LibvirtURI: "qemu+tls://" + name + "/system"})
	h = Copy(must(w, h, err))
	h.Status = v1.Connected
	w.tx.Save(h)
	return h.UUID
}

// addNetwork makes an L2 on an interface, attaches it and puts an L3 on it.
func (w *world) addNetwork(name, nic, category, cidr string) (l2, l3 string) {
	w.t.Helper()
	n, err := CreateL2Network(w.tx, v1.CreateL2Network{CreateMeta: named(name), ZoneUUID: w.zone, PhysicalInterface: nic})
	l2 = must(w, n, err).UUID
	w.ok(AttachL2(w.tx, l2, w.cluster, []v1.Realization{{HostUUID: w.host, Bridge: "br_" + nic}}))
	return l2, w.addL3(name, l2, category, cidr)
}

func (w *world) addL3(name, l2, category, cidr string) string {
	w.t.Helper()
	l3, err := CreateL3Network(w.tx, v1.CreateL3Network{CreateMeta: named(name), L2NetworkUUID: l2, Category: category})
	must(w, l3, err)
	if cidr != "" {
		r, err := AddIPRange(w.tx, l3.UUID, v1.AddIPRange{CreateMeta: named(name), NetworkCIDR: cidr})
		must(w, r, err)
	}
	return l3.UUID
}

func (w *world) services(l3 string, types ...string) {
	w.t.Helper()
	n, err := AttachNetworkServices(w.tx, l3, map[string][]string{v1.ProviderVirtualRouter: types})
	must(w, n, err)
}

func (w *world) offeringRequest(name string) v1.CreateVirtualRouterOffering {
	return v1.CreateVirtualRouterOffering{
		CreateMeta: named(name), ZoneUUID: w.zone, ManagementNetworkUUID: w.management, PublicNetworkUUID: w.public, ImageUUID: w.image,
	}
}

func (w *world) addVM(name string, l3s ...string) *v1.VMInstance {
	w.t.Helper()
	req := v1.CreateVMInstance{CreateMeta: named(name), Hostname: name}
	for _, l3 := range l3s {
		req.Nics = append(req.Nics, v1.CreateVMNic{L3NetworkUUID: l3})
	}
	vm, err := CreateVM(w.tx, req)
	return must(w, vm, err)
}

func (w *world) addVIP(l3, ip string) *v1.VIP {
	w.t.Helper()
	vip, err := CreateVIP(w.tx, v1.CreateVIP{CreateMeta: named("vip"), L3NetworkUUID: l3, IP: ip})
	return must(w, vip, err)
}

func (w *world) addRule(vip, nic string, port int, protocol string) *v1.PortForwardingRule {
	w.t.Helper()
	f, err := CreatePortForwardingRule(w.tx, v1.CreatePortForwardingRule{CreateMeta: named("rule"), VIPUUID: vip, VIPPortStart: port, Protocol: protocol, VMNicUUID: nic})
	return must(w, f, err)
}

func (w *world) start(vm string) *v1.VirtualRouter {
	w.t.Helper()
	m, err := StartVM(w.tx, vm)
	must(w, m, err)
	return RouterOf(w.tx.View, m.Nics[0].L3NetworkUUID)
}

// refused holds a rule to its code, and to having written nothing.
func (w *world) refused(code string, err error) {
	w.t.Helper()
	if v1.Code(err) != code {
		w.t.Fatalf("got %v, want a refusal %s", err, code)
	}
	if w.tx.Changed() {
		w.t.Fatalf("the refusal %s left writes: %v", code, w.tx.order)
	}
	for _, err := range Check(w.tx.View) {
		w.t.Error(err)
	}
}

func (w *world) l3(uuid string) *v1.L3Network { return Get[v1.L3Network](w.tx.View, uuid) }

func (w *world) nicIP(r *v1.VirtualRouter, role string) string {
	nic, _ := r.NicWithRole(role)
	return nic.IP.String()
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }
