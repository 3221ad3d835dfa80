package model

import (
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func vr(types ...string) map[string][]string {
	return map[string][]string{v1.ProviderVirtualRouter: types}
}

func TestServicesRefused(t *testing.T) {
	attach := func(services map[string][]string) func(w *world) error {
		return func(w *world) error {
			_, l3 := w.addNetwork("bare", "eth5", v1.Private, "172.16.0.0/24")
			w.clean()
			_, err := AttachNetworkServices(w.tx, l3, services)
			return err
		}
	}
	tests := []struct {
		name, code string
		rule       func(w *world) error
	}{
		{"nothing", "no-services", attach(nil)},
		{"empty list", "no-services", attach(vr())},
		{"unknown provider", "provider-unknown", attach(map[string][]string{"SecurityGroup": {"SecurityGroup"}})},
		{"not offered", "service-not-offered", attach(vr("Telepathy"))},
		{"EIP without SNAT", "snat-required", attach(vr(v1.DHCP, v1.EIPService))},
		{"PortForwarding without SNAT", "snat-required", attach(vr(v1.PortForwarding))},
		{"SNAT on an offering's network", "public-network-is-guest", func(w *world) error {
			_, err := AttachNetworkServices(w.tx, w.public, vr(v1.SNAT))
			return err
		}},
		{"SNAT goes while EIP stays", "snat-required", func(w *world) error {
			_, err := DetachNetworkServices(w.tx, w.guest, vr(v1.SNAT), false)
			return err
		}},
		{"EIP in use", "service-in-use", func(w *world) error {
			vm, vip := w.addVM("vm", w.guest), w.addVIP(w.public, "")
			e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("e"), VIPUUID: vip.UUID, VMNicUUID: vm.Nics[0].UUID})
			must(w, e, err)
			w.clean()
			_, err = DetachNetworkServices(w.tx, w.guest, vr(v1.EIPService), false)
			return err
		}},
		{"missing network", "not-found", func(w *world) error {
			_, err := AttachNetworkServices(w.tx, NewUUID(), vr(v1.DHCP))
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.refused(tt.code, tt.rule(w))
		})
	}
}

func TestServicesByProviderUUIDAndTwice(t *testing.T) {
	w := newWorld(t)
	_, l3 := w.addNetwork("bare", "eth5", v1.Private, "172.16.0.0/24")
	n, err := AttachNetworkServices(w.tx, l3, map[string][]string{w.tx.Catalog.Providers()[0].UUID: {v1.DHCP, v1.SNAT}})
	if must(w, n, err); !slices.Equal(n.NetworkServices[v1.ProviderVirtualRouter], []string{v1.DHCP, v1.SNAT}) {
		t.Errorf("services %v", n.NetworkServices)
	}
	w.clean()
	w.services(l3, v1.DHCP)
	n, err = DetachNetworkServices(w.tx, l3, vr(v1.EIPService), false)
	if must(w, n, err); w.tx.Changed() {
		t.Error("attaching what is there, or detaching what is not, wrote something")
	}
}

func TestDetachServicesCascades(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	nic := vm.Nics[0].UUID
	vip := w.addVIP(w.public, "")
	e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("e"), VIPUUID: vip.UUID, VMNicUUID: nic})
	must(w, e, err)
	f := w.addRule(w.addVIP(w.public, "").UUID, nic, 80, "TCP")
	w.clean()
	n, err := DetachNetworkServices(w.tx, w.guest, vr(v1.SNAT), true)
	if must(w, n, err); n.HasService(v1.SNAT) || n.HasService(v1.EIPService) || !n.HasService(v1.DHCP) {
		t.Errorf("services left %v", n.NetworkServices)
	}
	if Get[v1.EIP](w.tx.View, e.UUID) != nil || Get[v1.PortForwardingRule](w.tx.View, f.UUID) != nil {
		t.Error("EIP or rule is still there")
	}
	if got := Get[v1.VIP](w.tx.View, vip.UUID).UseFor; len(got) != 0 {
		t.Errorf("VIP is used for %v", got)
	}
	w.clean()
}

func TestOfferingsRefused(t *testing.T) {
	tests := []struct {
		name, code string
		change     func(w *world, r *v1.CreateVirtualRouterOffering)
	}{
		{"no management", "missing-uuid", func(w *world, r *v1.CreateVirtualRouterOffering) { r.ManagementNetworkUUID = "" }},
		{"missing public", "not-found", func(w *world, r *v1.CreateVirtualRouterOffering) { r.PublicNetworkUUID = NewUUID() }},
		{"network with SNAT", "offering-network-has-snat", func(w *world, r *v1.CreateVirtualRouterOffering) { r.PublicNetworkUUID = w.guest }},
		{"network without range", "no-ip-range", func(w *world, r *v1.CreateVirtualRouterOffering) {
			_, r.PublicNetworkUUID = w.addNetwork("empty", "eth6", v1.Public, "")
		}},
		{"overlapping", "subnets-overlap", func(w *world, r *v1.CreateVirtualRouterOffering) {
			_, r.PublicNetworkUUID = w.addNetwork("wide", "eth6", v1.Public, "10.0.0.0/16")
		}},
		{"other zone", "other-zone", func(w *world, r *v1.CreateVirtualRouterOffering) {
			z, err := CreateZone(w.tx, v1.CreateZone{CreateMeta: named("other")})
			r.ZoneUUID = must(w, z, err).UUID
		}},
		{"missing image", "image-missing", func(w *world, r *v1.CreateVirtualRouterOffering) { r.ImageUUID = NewUUID() }},
		{"too small", "invalid-size", func(w *world, r *v1.CreateVirtualRouterOffering) { r.MemorySize = 16 }},
		{"negative", "invalid-size", func(w *world, r *v1.CreateVirtualRouterOffering) { r.CPUNum = -1 }},
		{"unknown tag", "unknown-tag", func(w *world, r *v1.CreateVirtualRouterOffering) { r.SystemTags = []string{"colour::red"} }},
		{"tag of a VM", "tag-not-for-kind", func(w *world, r *v1.CreateVirtualRouterOffering) { r.SystemTags = []string{"cleanTraffic"} }},
		{"tag for nothing", "not-found", func(w *world, r *v1.CreateVirtualRouterOffering) {
			r.SystemTags = []string{"guestL3Network::" + NewUUID()}
		}},
		{"tag twice", "duplicate-tag", func(w *world, r *v1.CreateVirtualRouterOffering) {
			r.SystemTags = []string{"commandsParallelismDegree::5", "commandsParallelismDegree::5"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			req := w.offeringRequest("o")
			tt.change(w, &req)
			w.clean()
			_, err := CreateOffering(w.tx, req)
			w.refused(tt.code, err)
		})
	}
}

func TestDefaultOffering(t *testing.T) {
	w := newWorld(t)
	isDefault := func(uuid string) bool { return Get[v1.VirtualRouterOffering](w.tx.View, uuid).IsDefault }
	if !isDefault(w.offering) {
		t.Fatal("the first offering is not the default")
	}
	second, err := CreateOffering(w.tx, w.offeringRequest("second"))
	if must(w, second, err); second.IsDefault {
		t.Error("the second offering is default unasked")
	}
	req := w.offeringRequest("third")
	req.IsDefault = true
	third, err := CreateOffering(w.tx, req)
	if must(w, third, err); isDefault(w.offering) || !isDefault(third.UUID) {
		t.Error("the third offering did not become the default")
	}
	w.clean()
	o, err := MakeDefault(w.tx, second.UUID)
	if must(w, o, err); isDefault(third.UUID) || !isDefault(second.UUID) {
		t.Error("the second offering did not become the default")
	}
	w.clean()
	w.ok(DeleteOffering(w.tx, second.UUID))
	if !isDefault(w.offering) {
		t.Error("the oldest that is left is not the default")
	}
	w.clean()
}

// A network that several offerings use takes them along; the zone keeps one
// default among those that are left.
func TestDeleteL3TakesOfferingsAlong(t *testing.T) {
	w := newWorld(t)
	req := w.offeringRequest("private")
	req.PublicNetworkUUID = ""
	for range 2 {
		o, err := CreateOffering(w.tx, w.offeringRequest("public"))
		must(w, o, err)
	}
	o, err := CreateOffering(w.tx, req)
	must(w, o, err)
	w.clean()
	w.ok(DeleteL3Network(w.tx, w.public))
	if w.tx.Len(Offerings) != 1 || !Get[v1.VirtualRouterOffering](w.tx.View, o.UUID).IsDefault {
		t.Errorf("%d offerings left", w.tx.Len(Offerings))
	}
	w.clean()
}

func TestTagsComeAndGo(t *testing.T) {
	w := newWorld(t)
	tag := "guestL3Network::" + w.guest
	w.ok(AddSystemTag(w.tx, Offerings, w.offering, tag))
	w.clean()
	w.ok(AddSystemTag(w.tx, Offerings, w.offering, tag))
	if w.tx.Changed() {
		t.Error("the same tag again wrote something")
	}
	vm := w.addVM("vm", w.guest)
	w.clean()
	w.refused("tag-on-create-only", AddSystemTag(w.tx, VMs, vm.UUID, "hostname::x"))
	w.refused("not-found", AddSystemTag(w.tx, VMs, NewUUID(), "cleanTraffic"))
	w.ok(DeleteL3Network(w.tx, w.guest))
	if tags := Get[v1.VirtualRouterOffering](w.tx.View, w.offering).SystemTags; len(tags) != 0 {
		t.Errorf("tags of what is gone: %v", tags)
	}
	w.clean()
}
