package model

import (
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func (w *world) eip(vip, nic string) (*v1.EIP, error) {
	return CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("eip"), VIPUUID: vip, VMNicUUID: nic})
}

func (w *world) forward(vip, nic string, change func(*v1.CreatePortForwardingRule)) error {
	req := v1.CreatePortForwardingRule{CreateMeta: named("rule"), VIPUUID: vip, VIPPortStart: 80, Protocol: "TCP", VMNicUUID: nic}
	if change != nil {
		change(&req)
	}
	_, err := CreatePortForwardingRule(w.tx, req)
	return err
}

// mapped is a world with a guest, two VIPs, and the router's own.
type mapped struct {
	*world
	vm               *v1.VMInstance
	nic              string
	vip, vip2        string
	system           string
	otherL3, otherVM string // a second guest network, its VM's nic
	otherNic         string
}

func newMapped(t *testing.T) mapped {
	w := newWorld(t)
	m := mapped{world: w, vm: w.addVM("vm", w.guest)}
	m.nic = m.vm.Nics[0].UUID
	m.vip, m.vip2 = w.addVIP(w.public, "").UUID, w.addVIP(w.public, "").UUID
	m.system = First[v1.VIP](w.tx.View, VIPsOfRouter, w.start(m.vm.UUID).UUID).UUID
	_, m.otherL3 = w.addNetwork("other", "eth5", v1.Private, "172.16.0.0/24")
	w.services(m.otherL3, v1.SNAT, v1.EIPService, v1.PortForwarding)
	other := w.addVM("other", m.otherL3)
	m.otherVM, m.otherNic = other.UUID, other.Nics[0].UUID
	w.clean()
	return m
}

func TestVIPsRefused(t *testing.T) {
	vip := func(l3 func(w mapped) string, ip string) func(m mapped) error {
		return func(m mapped) error {
			_, err := CreateVIP(m.tx, v1.CreateVIP{CreateMeta: named("v"), L3NetworkUUID: l3(m), IP: ip})
			return err
		}
	}
	public := func(m mapped) string { return m.public }
	tests := []struct {
		name, code string
		rule       func(m mapped) error
	}{
		{"private network", "l3-not-public", vip(func(m mapped) string { return m.guest }, "")},
		{"gateway", "address-outside-ranges", vip(public, "203.0.113.1")},
		{"router's address", "address-in-use", func(m mapped) error {
			return vip(public, Get[v1.VIP](m.tx.View, m.system).IP.String())(m)
		}},
		{"deleting the system VIP", "vip-is-system", func(m mapped) error { return DeleteVIP(m.tx, m.system) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMapped(t)
			m.refused(tt.code, tt.rule(m))
		})
	}
}

func TestEIPsRefused(t *testing.T) {
	tests := []struct {
		name, code string
		rule       func(m mapped) error
	}{
		{"system VIP", "vip-is-system", func(m mapped) error { _, err := m.eip(m.system, m.nic); return err }},
		{"disabled VIP", "vip-disabled", func(m mapped) error {
			m.disable(VIPs, m.vip)
			m.clean()
			_, err := m.eip(m.vip, "")
			return err
		}},
		{"VIP of another EIP", "vip-in-use", func(m mapped) error {
			e, err := m.eip(m.vip, "")
			must(m.world, e, err)
			m.clean()
			_, err = m.eip(m.vip, m.nic)
			return err
		}},
		{"VIP of a rule", "vip-in-use", func(m mapped) error {
			m.ok(m.forward(m.vip, "", nil))
			m.clean()
			_, err := m.eip(m.vip, "")
			return err
		}},
		{"missing nic", "not-found", func(m mapped) error { _, err := m.eip(m.vip, NewUUID()); return err }},
		{"no EIP service", "service-not-attached", func(m mapped) error {
			n, err := DetachNetworkServices(m.tx, m.guest, vr(v1.EIPService), false)
			must(m.world, n, err)
			m.clean()
			_, err = m.eip(m.vip, m.nic)
			return err
		}},
		{"VM has a nic on the VIP's network", "vip-on-guest-network", func(m mapped) error {
			vm := m.addVM("both", m.guest, m.public)
			m.clean()
			_, err := m.eip(m.vip, vm.Nics[0].UUID)
			return err
		}},
		{"VIP in the guest subnet", "vip-in-guest-subnet", func(m mapped) error {
			_, l3 := m.addNetwork("shadow", "eth6", v1.Private, "203.0.113.0/24")
			m.services(l3, v1.SNAT, v1.EIPService)
			vm := m.addVM("shadow", l3)
			m.clean()
			_, err := m.eip(m.vip, vm.Nics[0].UUID)
			return err
		}},
		{"VIP of a network that the router is not on", "vip-not-on-router", func(m mapped) error {
			_, l3 := m.addNetwork("second public", "eth6", v1.Public, "198.51.100.0/24")
			vip := m.addVIP(l3, "")
			m.clean()
			_, err := m.eip(vip.UUID, m.nic)
			return err
		}},
		{"nic has a restricted rule", "nic-has-restricted-rule", func(m mapped) error {
			m.ok(m.forward(m.vip2, m.nic, func(r *v1.CreatePortForwardingRule) { r.AllowedCIDR = "198.51.100.0/24" }))
			m.clean()
			_, err := m.eip(m.vip, m.nic)
			return err
		}},
		{"attached elsewhere", "eip-already-attached", func(m mapped) error {
			e, err := m.eip(m.vip, m.nic)
			must(m.world, e, err)
			m.clean()
			_, err = AttachEIP(m.tx, e.UUID, m.otherNic)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMapped(t)
			m.refused(tt.code, tt.rule(m))
		})
	}
}

func TestRulesRefused(t *testing.T) {
	ports := func(vipStart, vipEnd, start, end int) func(*v1.CreatePortForwardingRule) {
		return func(r *v1.CreatePortForwardingRule) {
			r.VIPPortStart, r.VIPPortEnd, r.PrivatePortStart, r.PrivatePortEnd = vipStart, vipEnd, start, end
		}
	}
	on := func(change func(*v1.CreatePortForwardingRule)) func(m mapped) error {
		return func(m mapped) error { return m.forward(m.vip, m.nic, change) }
	}
	tests := []struct {
		name, code string
		rule       func(m mapped) error
	}{
		{"port 0", "invalid-port", on(ports(0, 0, 80, 80))},
		{"port 65536", "invalid-port", on(ports(65536, 0, 80, 80))},
		{"private end over 65535", "invalid-port", on(ports(80, 90, 65530, 0))},
		{"negative", "invalid-port", on(ports(-1, 5, 80, 80))},
		{"reversed", "ports-reversed", on(ports(90, 80, 90, 80))},
		{"sizes differ", "port-ranges-differ", on(ports(80, 90, 8080, 8085))},
		{"protocol", "invalid-value", on(func(r *v1.CreatePortForwardingRule) { r.Protocol = "SCTP" })},
		{"allowedCidr with host bits", "invalid-cidr", on(func(r *v1.CreatePortForwardingRule) { r.AllowedCIDR = "198.51.100.7/24" })},
		{"allowedCidr with a comma", "invalid-cidr", on(func(r *v1.CreatePortForwardingRule) { r.AllowedCIDR = "198.51.100.0/24 -j ACCEPT" })},
		{"VIP of an EIP", "vip-in-use", func(m mapped) error {
			e, err := m.eip(m.vip, "")
			must(m.world, e, err)
			m.clean()
			return m.forward(m.vip, m.nic, nil)
		}},
		{"ports taken", "ports-taken", func(m mapped) error {
			m.ok(m.forward(m.vip, m.nic, ports(80, 90, 80, 90)))
			m.clean()
			return m.forward(m.vip, "", ports(90, 95, 190, 195))
		}},
		{"nic is on another VIP", "nic-on-other-vip", func(m mapped) error {
			m.ok(m.forward(m.vip, m.nic, nil))
			m.clean()
			return m.forward(m.vip2, m.nic, ports(81, 0, 0, 0))
		}},
		{"VIP is on another router", "vip-on-other-router", func(m mapped) error {
			m.ok(m.forward(m.vip, m.nic, nil))
			m.clean()
			return m.forward(m.vip, m.otherNic, ports(81, 0, 0, 0))
		}},
		{"system VIP of another router", "vip-of-other-router", func(m mapped) error { return m.forward(m.system, m.otherNic, nil) }},
		{"nic has an EIP and the rule is restricted", "nic-has-eip", func(m mapped) error {
			e, err := m.eip(m.vip2, m.nic)
			must(m.world, e, err)
			m.clean()
			return m.forward(m.vip, m.nic, func(r *v1.CreatePortForwardingRule) { r.AllowedCIDR = "198.51.100.0/24" })
		}},
		{"no service", "service-not-attached", func(m mapped) error {
			n, err := DetachNetworkServices(m.tx, m.guest, vr(v1.PortForwarding), false)
			must(m.world, n, err)
			m.clean()
			return m.forward(m.vip, m.nic, nil)
		}},
		{"VM has a nic on the VIP's network", "vip-on-guest-network", func(m mapped) error {
			vm := m.addVM("both", m.guest, m.public)
			m.clean()
			return m.forward(m.vip, vm.Nics[0].UUID, nil)
		}},
		{"attached elsewhere", "rule-already-attached", func(m mapped) error {
			f := m.addRule(m.vip, m.nic, 80, "TCP")
			m.clean()
			_, err := AttachPortForwardingRule(m.tx, f.UUID, m.otherNic)
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMapped(t)
			m.refused(tt.code, tt.rule(m))
		})
	}
}

func TestRulesThatHold(t *testing.T) {
	m := newMapped(t)
	tcp := m.addRule(m.system, m.nic, 53, "TCP") // on the router's own address
	udp := m.addRule(m.system, m.nic, 53, "UDP") // same number, other protocol
	if tcp.PrivatePortStart != 53 || tcp.PrivatePortEnd != 53 || tcp.GuestIP != m.vm.Nics[0].IP {
		t.Errorf("rule %+v", tcp)
	}
	if uses := Get[v1.VIP](m.tx.View, m.system).UseFor; !slices.Equal(uses, []string{v1.PortForwarding, v1.SNAT}) {
		t.Errorf("system VIP is used for %v", uses)
	}
	m.clean()
	same, err := AttachPortForwardingRule(m.tx, tcp.UUID, m.nic)
	if must(m.world, same, err); m.tx.Changed() {
		t.Error("attaching where it is wrote something")
	}
	d, err := DetachPortForwardingRule(m.tx, udp.UUID)
	if must(m.world, d, err); d.VMNicUUID != "" || d.GuestIP.IsValid() {
		t.Errorf("detached rule %+v", d)
	}
	m.ok(DeletePortForwardingRule(m.tx, tcp.UUID))
	m.ok(DeletePortForwardingRule(m.tx, udp.UUID))
	if uses := Get[v1.VIP](m.tx.View, m.system).UseFor; !slices.Equal(uses, []string{v1.SNAT}) {
		t.Errorf("system VIP is used for %v", uses)
	}
	m.clean()
}

func TestDeleteVIPCascades(t *testing.T) {
	m := newMapped(t)
	e, err := m.eip(m.vip, m.nic)
	must(m.world, e, err)
	f := m.addRule(m.vip2, "", 80, "TCP")
	m.clean()
	m.ok(DeleteVIP(m.tx, m.vip))
	m.ok(DeleteVIP(m.tx, m.vip2))
	if Get[v1.EIP](m.tx.View, e.UUID) != nil || Get[v1.PortForwardingRule](m.tx.View, f.UUID) != nil {
		t.Error("EIP or rule is still there")
	}
	m.clean()
}

// Candidates are exactly the nics that attach accepts.
func TestCandidates(t *testing.T) {
	m := newMapped(t)
	both := m.addVM("both", m.guest, m.public)
	e, err := m.eip(m.vip, "")
	must(m.world, e, err)
	f := m.addRule(m.system, "", 80, "TCP")
	m.clean()
	nics, err := EIPCandidates(m.tx.View, e.UUID)
	must(m.world, nics, err)
	if got := uuidsOf(slices.Values(nics)); !slices.Equal(got, []string{m.nic, m.otherNic}) {
		t.Errorf("EIP candidates %v, want %s and %s, not those of %s", got, m.nic, m.otherNic, both.UUID)
	}
	nics, err = PortForwardingCandidates(m.tx.View, f.UUID)
	must(m.world, nics, err)
	if got := uuidsOf(slices.Values(nics)); !slices.Equal(got, []string{m.nic}) {
		t.Errorf("candidates of the router's own address %v", got)
	}
}

// A router made after its guests' EIPs must be public where those are.
func TestRouterReachesItsGuestsVIPs(t *testing.T) {
	m := newMapped(t)
	e, err := m.eip(m.vip, m.otherNic)
	must(m.world, e, err)
	req := m.offeringRequest("elsewhere")
	_, req.PublicNetworkUUID = m.addNetwork("second public", "eth6", v1.Public, "198.51.100.0/24")
	req.IsDefault = true
	o, err := CreateOffering(m.tx, req)
	must(m.world, o, err)
	m.clean()
	_, err = StartVM(m.tx, m.otherVM)
	m.refused("vip-not-on-router", err)
	m.ok(AddSystemTag(m.tx, Offerings, m.offering, "guestL3Network::"+m.otherL3))
	if r := m.start(m.otherVM); r.OfferingUUID != m.offering {
		t.Errorf("router of offering %s", r.OfferingUUID)
	}
	m.clean()
}
