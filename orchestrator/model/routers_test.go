package model

import (
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func TestEnsureRouterPlansEverything(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	r := w.start(vm.UUID)
	var got []string
	for _, n := range r.Nics {
		got = append(got, n.Name+" "+n.Roles[0]+" "+n.IP.String()+" "+n.Prefix.String()+" "+n.Gateway.String())
		if mac, err := v1.ParseMAC(n.MAC); err != nil || mac != n.MAC {
			t.Errorf("nic %s has MAC %q: %v", n.Name, n.MAC, err)
		}
	}
	want := []string{
		"eth0 management 10.0.0.2 10.0.0.0/24 10.0.0.1",
		"eth1 public 203.0.113.2 203.0.113.0/24 203.0.113.1",
		"eth2 guest 192.168.10.1 192.168.10.0/24 192.168.10.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("nics\n%v\nwant\n%v", got, want)
	}
	vip := First[v1.VIP](w.tx.View, VIPsOfRouter, r.UUID)
	if vip == nil || !vip.System || vip.IP != ip("203.0.113.2") || !slices.Equal(vip.UseFor, []string{v1.SNAT}) {
		t.Errorf("system VIP %+v", vip)
	}
	if r.WantedState != v1.StateRunning || r.HostUUID != "" || r.OfferingUUID != w.offering || r.ImageUUID != w.image || r.MemorySize != DefaultMemory {
		t.Errorf("router %+v", r)
	}
	w.clean()

	again, err := EnsureRouter(w.tx, w.guest)
	if must(w, again, err); again.UUID != r.UUID || w.tx.Changed() {
		t.Error("a second EnsureRouter made or changed something")
	}
}

func TestRouterNicsByKindOfNetwork(t *testing.T) {
	nics := func(w *world, l3 string) []string {
		r, err := EnsureRouter(w.tx, l3)
		must(w, r, err)
		var all []string
		for _, n := range r.Nics {
			s := n.IP.String()
			for _, role := range n.Roles {
				s += " " + role
			}
			all = append(all, s)
		}
		w.clean()
		return all
	}
	tests := []struct {
		name  string
		setup func(w *world) (l3 string)
		want  []string
	}{
		{"without NAT the router is one more host", func(w *world) string {
			_, l3 := w.addNetwork("flat", "eth5", v1.Private, "172.16.0.0/24")
			w.services(l3, v1.DHCP)
			return l3
		}, []string{"10.0.0.2 management", "203.0.113.2 public", "172.16.0.2 guest"}},
		{"management and public may be one", func(w *world) string {
			req := w.offeringRequest("one")
			req.PublicNetworkUUID, req.IsDefault = "", true
			o, err := CreateOffering(w.tx, req)
			must(w, o, err)
			return w.guest
		}, []string{"10.0.0.2 management public", "192.168.10.1 guest"}},
		{"public may be the guest network without NAT", func(w *world) string {
			w.services(w.public, v1.DHCP)
			return w.public
		}, []string{"10.0.0.2 management", "203.0.113.2 public guest"}},
		{"routerInterfaceIp instead of the gateway", func(w *world) string {
			_, l3 := w.addNetwork("fixed", "eth5", v1.Private, "")
			r, err := AddIPRange(w.tx, l3, bounds("172.16.0.10", "172.16.0.20", "255.255.255.0", "172.16.0.1"))
			must(w, r, err)
			w.services(l3, v1.SNAT)
			n, err := SetRouterInterfaceIP(w.tx, l3, ip("172.16.0.254"))
			must(w, n, err)
			return l3
		}, []string{"10.0.0.2 management", "203.0.113.2 public", "172.16.0.254 guest"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if got := nics(w, tt.setup(w)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEnsureRouterRefused(t *testing.T) {
	tests := []struct {
		name, code string
		setup      func(w *world) (l3 string)
	}{
		{"no service", "no-router-service", func(w *world) string {
			_, l3 := w.addNetwork("bare", "eth5", v1.Private, "172.16.0.0/24")
			return l3
		}},
		{"no offering", "no-default-offering", func(w *world) string { w.ok(DeleteOffering(w.tx, w.offering)); return w.guest }},
		{"disabled offering", "no-default-offering", func(w *world) string { w.disable(Offerings, w.offering); return w.guest }},
		{"no image", "image-missing", func(w *world) string { w.ok(DeleteImage(w.tx, w.image)); return w.guest }},
		{"disabled image", "image-not-bootable", func(w *world) string { w.disable(Images, w.image); return w.guest }},
		{"no range", "no-ip-range", func(w *world) string {
			_, l3 := w.addNetwork("empty", "eth5", v1.Private, "")
			w.services(l3, v1.DHCP)
			return l3
		}},
		{"disabled public network", "l3-disabled", func(w *world) string { w.disable(L3Networks, w.public); return w.guest }},
		{"management network is guest", "management-network-is-guest", func(w *world) string { w.services(w.management, v1.DHCP); return w.management }},
		{"overlap", "subnets-overlap", func(w *world) string {
			_, l3 := w.addNetwork("overlap", "eth5", v1.Private, "203.0.0.0/16")
			w.services(l3, v1.SNAT)
			return l3
		}},
		{"public network is used up", "no-free-address", func(w *world) string {
			for i := range First[v1.IPRange](w.tx.View, RangesOfL3, w.public).EndIP.As4()[3] - 1 {
				_ = i
				w.addVIP(w.public, "")
			}
			return w.guest
		}},
		{"no cluster has all", "no-host", func(w *world) string { w.ok(DetachL2(w.tx, w.l2Public, w.cluster)); return w.guest }},
		{"no host is connected", "no-host", func(w *world) string {
			h := Copy(Get[v1.Host](w.tx.View, w.host))
			h.Status = v1.Disconnected
			w.tx.Save(h)
			return w.guest
		}},
		{"host in maintenance", "no-host", func(w *world) string {
			h, err := SetHostState(w.tx, w.host, v1.Maintenance)
			must(w, h, err)
			return w.guest
		}},
		{"gateway taken by another router on the wire", "address-in-use", func(w *world) string {
			l3 := w.addL3("twin", w.l2Guest, v1.Private, "")
			w.ok(DeleteIPRange(w.tx, First[v1.IPRange](w.tx.View, RangesOfL3, w.guest).UUID))
			for l3, start := range map[string]string{w.guest: "192.168.10.10", l3: "192.168.10.60"} {
				r, err := AddIPRange(w.tx, l3, bounds(start, start[:len(start)-1]+"9", "255.255.255.0", "192.168.10.1"))
				must(w, r, err)
			}
			w.services(l3, v1.SNAT)
			r, err := EnsureRouter(w.tx, l3)
			must(w, r, err)
			return w.guest
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			l3 := tt.setup(w)
			w.clean()
			_, err := EnsureRouter(w.tx, l3)
			w.refused(tt.code, err)
		})
	}
}

func (w *world) disable(kind Kind, uuid string) {
	w.t.Helper()
	w.ok(w.patch(kind, uuid, `{"state":"Disabled"}`))
}

func TestStartVMRefusedStaysStopped(t *testing.T) {
	w := newWorld(t)
	_, second := w.addNetwork("second", "eth5", v1.Private, "203.0.0.0/16")
	w.services(second, v1.SNAT)
	vm := w.addVM("vm", w.guest, second)
	w.clean()
	_, err := StartVM(w.tx, vm.UUID)
	w.refused("subnets-overlap", err) // the second nic's router; the first one's was not made either
	if RouterOf(w.tx.View, w.guest) != nil {
		t.Error("a router was made all the same")
	}
}

func TestRouterLife(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	r := w.start(vm.UUID)
	nics := r.Nics
	act := func(action string) *v1.VirtualRouter {
		t.Helper()
		r, err := RouterAction(w.tx, r.UUID, action)
		return must(w, r, err)
	}
	w.clean()
	if _, err := RouterAction(w.tx, r.UUID, "explode"); true {
		w.refused("unknown-action", err)
	}
	if r := act("stop"); r.WantedState != v1.StateStopped || r.Epoch != 1 {
		t.Errorf("after stop: %s at epoch %d", r.WantedState, r.Epoch)
	}
	if r := w.start(vm.UUID); r.WantedState != v1.StateRunning || r.Epoch != 1 {
		t.Errorf("a guest's start left the router %s at epoch %d", r.WantedState, r.Epoch)
	}
	for i, action := range []string{"reboot", "rebuild"} {
		if r := act(action); r.WantedState != v1.StateRunning || r.Epoch != int64(i+2) || r.State != v1.StateCreating {
			t.Errorf("after %s: %s %s at epoch %d", action, r.WantedState, r.State, r.Epoch)
		}
	}
	if r := act("reconnect"); r.Epoch != 3 || r.AppliedHash != "" || r.Status != v1.Connecting {
		t.Errorf("after reconnect: %+v", r)
	}
	w.clean()
	w.ok(ifCode(ForgetRouter(w.tx, r.UUID), "router-wanted"))
	w.ok(DeleteRouter(w.tx, r.UUID))
	w.clean()
	if _, err := RouterAction(w.tx, r.UUID, "start"); true {
		w.refused("router-being-destroyed", err)
	}
	if back := w.start(vm.UUID); back.UUID != r.UUID || back.Epoch != 4 || !slices.EqualFunc(back.Nics, nics, func(a, b v1.RouterNic) bool { return a.MAC == b.MAC && a.IP == b.IP }) {
		t.Errorf("a router wanted back is %+v, was %+v", back, nics)
	}
	w.ok(DeleteRouter(w.tx, r.UUID))
	w.ok(ForgetRouter(w.tx, r.UUID))
	if Get[v1.VirtualRouter](w.tx.View, r.UUID) != nil || w.tx.AddressOwner(w.public, ip("203.0.113.2")) != "" {
		t.Error("a forgotten router left its row or an address")
	}
	w.clean()
}

func ifCode(err error, code string) error {
	if v1.Code(err) == code {
		return nil
	}
	return v1.Refused("test", "got %v, want %s", err, code)
}

// Services that come or go later move the router's guest address, and its MACs
// stay.
func TestServicesMoveTheRouter(t *testing.T) {
	w := newWorld(t)
	_, l3 := w.addNetwork("flat", "eth5", v1.Private, "172.16.0.0/24")
	w.services(l3, v1.DHCP, v1.DNS)
	r := w.start(w.addVM("vm", l3).UUID)
	if got := w.nicIP(r, RoleGuest); got != "172.16.0.3" { // the guest has the first
		t.Fatalf("without SNAT the router has %s", got)
	}
	w.clean()
	w.services(l3, v1.SNAT)
	natted := RouterOf(w.tx.View, l3)
	if got := w.nicIP(natted, RoleGuest); got != "172.16.0.1" || natted.Epoch != 2 || natted.Nics[2].MAC != r.Nics[2].MAC {
		t.Errorf("with SNAT the router has %s at epoch %d", got, natted.Epoch)
	}
	if vip := First[v1.VIP](w.tx.View, VIPsOfRouter, r.UUID); !slices.Equal(vip.UseFor, []string{v1.SNAT}) {
		t.Errorf("system VIP is used for %v", vip.UseFor)
	}
	w.clean()
	n, err := DetachNetworkServices(w.tx, l3, map[string][]string{v1.ProviderVirtualRouter: {v1.DHCP, v1.DNS, v1.SNAT}}, false)
	must(w, n, err)
	if got := RouterOf(w.tx.View, l3).WantedState; got != v1.StateDestroyed {
		t.Errorf("a router without any service is wanted %s", got)
	}
	w.clean()
}

func TestDeletingItsNetworksDestroysARouter(t *testing.T) {
	for _, role := range []string{RoleManagement, RolePublic, RoleGuest} {
		t.Run(role, func(t *testing.T) {
			w := newWorld(t)
			vm := w.addVM("vm", w.guest)
			r := w.start(vm.UUID)
			nic, _ := r.NicWithRole(role)
			w.ok(DeleteL3Network(w.tx, nic.L3NetworkUUID))
			if got := Get[v1.VirtualRouter](w.tx.View, r.UUID).WantedState; got != v1.StateDestroyed {
				t.Errorf("router is wanted %s", got)
			}
			w.clean()
			if role != RoleGuest {
				_, err := StartVM(w.tx, vm.UUID)
				w.refused("router-being-destroyed", err)
			}
			w.ok(ForgetRouter(w.tx, r.UUID))
			w.clean()
		})
	}
}

func TestPlaceRouter(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.addVM("vm", w.guest).UUID)
	placed, err := PlaceRouter(w.tx, r.UUID, w.host)
	if must(w, placed, err); placed.HostUUID != w.host || placed.ClusterUUID != w.cluster {
		t.Errorf("placed %+v", placed)
	}
	w.clean()
	w.refused("host-in-use", DeleteHost(w.tx, w.host))
	w.disable(Hosts, w.host)
	w.clean()
	_, err = PlaceRouter(w.tx, r.UUID, w.host)
	w.refused("no-host", err)
}
