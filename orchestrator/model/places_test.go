package model

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func TestPlacesRefused(t *testing.T) {
	missing := NewUUID()
	tests := []struct {
		name, code string
		rule       func(w *world) error
	}{
		{"zone without name", "invalid-name", func(w *world) error { _, err := CreateZone(w.tx, v1.CreateZone{}); return err }},
		{"zone with bad uuid", "invalid-uuid", func(w *world) error {
			_, err := CreateZone(w.tx, v1.CreateZone{CreateMeta: v1.CreateMeta{Name: "z", UUID: "x"}})
			return err
		}},
		{"zone twice", "already-exists", func(w *world) error {
			_, err := CreateZone(w.tx, v1.CreateZone{CreateMeta: v1.CreateMeta{Name: "z", UUID: w.zone}})
			return err
		}},
		{"zone with children", "zone-in-use", func(w *world) error { return DeleteZone(w.tx, w.zone) }},
		{"cluster of no zone", "not-found", func(w *world) error {
			_, err := CreateCluster(w.tx, v1.CreateCluster{CreateMeta: named("c"), ZoneUUID: missing})
			return err
		}},
		{"cluster of unknown hypervisor", "invalid-value", func(w *world) error {
			_, err := CreateCluster(w.tx, v1.CreateCluster{CreateMeta: named("c"), ZoneUUID: w.zone, HypervisorType: "esx"})
			return err
		}},
		{"cluster with hosts", "cluster-in-use", func(w *world) error { return DeleteCluster(w.tx, w.cluster) }},
		{"host twice", "host-already-exists", func(w *world) error {
			_, err := CreateHost(w.tx, v1.CreateHost{CreateMeta: named("h"), ClusterUUID: w.cluster, LibvirtURI: "qemu+tls://host/system"})
			return err
		}},
		{"host without scheme", "invalid-libvirt-uri", func(w *world) error {
			_, err := CreateHost(w.tx, v1.CreateHost{CreateMeta: named("h"), ClusterUUID: w.cluster, LibvirtURI: "system"})
			return err
		}},
		{"host agent in the clear", "invalid-agent-url", func(w *world) error {
			_, err := CreateHost(w.tx, v1.CreateHost{CreateMeta: named("h"), ClusterUUID: w.cluster, AgentURL: "http://h"})
			return err
		}},
		{"host state", "invalid-value", func(w *world) error { _, err := SetHostState(w.tx, w.host, "Broken"); return err }},
		{"image without files", "image-not-bootable", func(w *world) error {
			_, err := CreateImage(w.tx, &v1.Image{Meta: v1.Meta{Name: "i"}, Source: "/i"})
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

func TestL2Refused(t *testing.T) {
	create := func(change func(*v1.CreateL2Network)) func(w *world) error {
		return func(w *world) error {
			req := v1.CreateL2Network{CreateMeta: named("l2"), ZoneUUID: w.zone, PhysicalInterface: "eth9"}
			change(&req)
			_, err := CreateL2Network(w.tx, req)
			return err
		}
	}
	tests := []struct {
		name, code string
		rule       func(w *world) error
	}{
		{"unknown type", "l2-type-unsupported", create(func(r *v1.CreateL2Network) { r.Type = "L2GreNetwork" })},
		{"vlan without number", "invalid-l2-network", create(func(r *v1.CreateL2Network) { r.Type = v1.L2Vlan })},
		{"vlan below zero", "invalid-l2-network", create(func(r *v1.CreateL2Network) { r.Type, r.Vlan = v1.L2Vlan, -1 })},
		{"vlan 4095", "invalid-l2-network", create(func(r *v1.CreateL2Network) { r.Type, r.Vlan = v1.L2Vlan, 4095 })},
		{"vlan with vni", "invalid-l2-network", create(func(r *v1.CreateL2Network) { r.Type, r.Vlan, r.VNI = v1.L2Vlan, 5, 5 })},
		{"vlan of no zone", "not-found", create(func(r *v1.CreateL2Network) { r.Type, r.Vlan, r.ZoneUUID = v1.L2Vlan, 5, NewUUID() })},
		{"second with the same vlan", "l2-interface-taken", func(w *world) error {
			w.ok(AttachL2(w.tx, w.addVlan("eth2", 10), w.cluster, nil))
			second := w.addVlan("eth2", 10)
			w.clean()
			return AttachL2(w.tx, second, w.cluster, nil)
		}},
		{"vxlan type", "l2-type-unsupported", create(func(r *v1.CreateL2Network) { r.Type = v1.L2Vxlan })},
		{"vlan on novlan", "invalid-l2-network", create(func(r *v1.CreateL2Network) { r.Vlan = 5 })},
		{"interface as path", "invalid-interface", create(func(r *v1.CreateL2Network) { r.PhysicalInterface = "../eth0" })},
		{"interface too long", "invalid-interface", create(func(r *v1.CreateL2Network) { r.PhysicalInterface = "abcdefghijklmnop" })},
		{"second on interface", "l2-interface-taken", func(w *world) error {
			l2, _ := CreateL2Network(w.tx, v1.CreateL2Network{CreateMeta: named("l2"), ZoneUUID: w.zone, PhysicalInterface: "eth2"})
			w.clean()
			return AttachL2(w.tx, l2.UUID, w.cluster, nil)
		}},
		{"other zone's cluster", "other-zone", func(w *world) error {
			zone, _ := CreateZone(w.tx, v1.CreateZone{CreateMeta: named("other")})
			c, _ := CreateCluster(w.tx, v1.CreateCluster{CreateMeta: named("other"), ZoneUUID: zone.UUID})
			w.clean()
			return CheckAttachL2(w.tx.View, w.l2Guest, c.UUID)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.refused(tt.code, tt.rule(w))
		})
	}
}

func (w *world) addVlan(nic string, id int) string {
	w.t.Helper()
	l2, err := CreateL2Network(w.tx, v1.CreateL2Network{CreateMeta: named("vlan"), ZoneUUID: w.zone, Type: v1.L2Vlan, PhysicalInterface: nic, Vlan: id})
	return must(w, l2, err).UUID
}

// An interface carries any number of VLANs beside its untagged network; the
// same VLAN is free on another interface and in another cluster.
func TestVlansShareAnInterface(t *testing.T) {
	w := newWorld(t)
	second, err := CreateCluster(w.tx, v1.CreateCluster{CreateMeta: named("second"), ZoneUUID: w.zone})
	must(w, second, err)
	for _, id := range []int{1, 10, 4094} {
		w.ok(AttachL2(w.tx, w.addVlan("eth2", id), w.cluster, nil))
		w.ok(AttachL2(w.tx, w.addVlan("eth7", id), w.cluster, nil))
		w.ok(AttachL2(w.tx, w.addVlan("eth2", id), second.UUID, nil))
	}
	l2 := w.addVlan("eth2", 20)
	if got := Get[v1.L2Network](w.tx.View, l2); got.Type != v1.L2Vlan || got.Vlan != 20 {
		t.Fatalf("stored %+v", got)
	}
	w.clean()
}

func TestDeletingWhatIsMissingSucceeds(t *testing.T) {
	w := newWorld(t)
	missing := NewUUID()
	for _, drop := range []func(*Tx, string) error{
		DeleteZone, DeleteCluster, DeleteHost, DeleteL2Network, DeleteL3Network, DeleteIPRange, DeleteImage, DeleteOffering,
		DeleteRouter, ForgetRouter, DeleteVM, DeleteNic, DeleteVIP, DeleteEIP, DeletePortForwardingRule,
	} {
		w.ok(drop(w.tx, missing))
	}
	w.ok(DetachL2(w.tx, missing, missing))
	w.ok(RemoveDNS(w.tx, missing, ip("1.1.1.1")))
	w.ok(RemoveSystemTag(w.tx, Offerings, missing, "cleanTraffic"))
	if w.tx.Changed() {
		t.Fatal("deleting what is missing wrote something")
	}
}

// A second attach, and realizing on a host that came later, are idempotent.
func TestAttachL2Twice(t *testing.T) {
	w := newWorld(t)
	w.ok(AttachL2(w.tx, w.l2Guest, w.cluster, []v1.Realization{{HostUUID: w.host, Bridge: "br_eth2"}}))
	w.ok(RealizeL2(w.tx, w.l2Guest, []v1.Realization{{HostUUID: NewUUID(), Bridge: "br_eth2"}}))
	if w.tx.Changed() {
		t.Fatal("attaching again, or realizing on a host of no cluster, wrote something")
	}
	late := w.addHost("late", w.cluster)
	w.ok(RealizeL2(w.tx, w.l2Guest, []v1.Realization{{HostUUID: late, Bridge: "br_eth2"}}))
	if n := len(Get[v1.L2Network](w.tx.View, w.l2Guest).Realizations); n != 2 {
		t.Fatalf("%d realizations, want 2", n)
	}
	w.clean()
	w.ok(DeleteHost(w.tx, late))
	if n := len(Get[v1.L2Network](w.tx.View, w.l2Guest).Realizations); n != 1 {
		t.Fatalf("%d realizations after the host left, want 1", n)
	}
	w.clean()
}

// Without another cluster that has all its networks the router goes; its row
// stays until its domain is gone.
func TestDetachL2DestroysRoutersWithoutAnotherHost(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.addVM("vm", w.guest).UUID)
	r, err := PlaceRouter(w.tx, r.UUID, w.host)
	must(w, r, err)
	w.clean()
	w.ok(DetachL2(w.tx, w.l2Guest, w.cluster))
	if got := Get[v1.VirtualRouter](w.tx.View, r.UUID).WantedState; got != v1.StateDestroyed {
		t.Fatalf("router is wanted %s", got)
	}
	w.ok(ForgetRouter(w.tx, r.UUID))
	w.clean()
}

func TestDeleteL2Cascades(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	r := w.start(vm.UUID)
	w.clean()
	w.ok(DeleteL2Network(w.tx, w.l2Guest))
	if w.l3(w.guest) != nil || Get[v1.VMNic](w.tx.View, vm.Nics[0].UUID) != nil {
		t.Fatal("the L3 network or the guest's nic is still there")
	}
	gone := Get[v1.VirtualRouter](w.tx.View, r.UUID)
	if gone == nil || gone.WantedState != v1.StateDestroyed || len(gone.Nics) != 3 {
		t.Fatalf("router row is %+v, want one to destroy with its nics", gone)
	}
	w.clean()
	w.ok(ForgetRouter(w.tx, r.UUID))
	w.clean()
}
