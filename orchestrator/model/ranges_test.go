package model

import (
	"net/netip"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func bounds(start, end, mask, gateway string) v1.AddIPRange {
	return v1.AddIPRange{CreateMeta: named("r"), StartIP: start, EndIP: end, Netmask: mask, Gateway: gateway}
}

func byCIDR(cidr, gateway string) v1.AddIPRange {
	return v1.AddIPRange{CreateMeta: named("r"), NetworkCIDR: cidr, Gateway: gateway}
}

func TestAddIPRangeRefused(t *testing.T) {
	const mask = "255.255.255.0"
	tests := []struct {
		name, code string
		req        v1.AddIPRange
	}{
		{"nothing", "invalid-address", v1.AddIPRange{CreateMeta: named("r")}},
		{"both forms", "invalid-ip-range", v1.AddIPRange{CreateMeta: named("r"), NetworkCIDR: "10.9.0.0/24", StartIP: "10.9.0.2"}},
		{"leading zero", "invalid-address", bounds("010.9.0.2", "10.9.0.9", mask, "10.9.0.1")},
		{"mapped", "invalid-address", bounds("::ffff:10.9.0.2", "10.9.0.9", mask, "10.9.0.1")},
		{"ipv6", "ipv6-unsupported", byCIDR("fd00::/64", "")},
		{"holes in mask", "invalid-netmask", bounds("10.9.0.2", "10.9.0.9", "255.0.255.0", "10.9.0.1")},
		{"zero mask", "invalid-netmask", bounds("10.9.0.2", "10.9.0.9", "0.0.0.0", "10.9.0.1")},
		{"reversed", "range-reversed", bounds("10.9.0.9", "10.9.0.2", mask, "10.9.0.1")},
		{"end elsewhere", "range-outside-network", bounds("10.9.0.2", "10.9.1.9", mask, "10.9.0.1")},
		{"network address", "range-has-network-address", bounds("10.9.0.0", "10.9.0.9", mask, "10.9.0.20")},
		{"broadcast address", "range-has-broadcast-address", bounds("10.9.0.2", "10.9.0.255", mask, "10.9.0.1")},
		{"gateway inside", "gateway-in-range", bounds("10.9.0.2", "10.9.0.9", mask, "10.9.0.5")},
		{"gateway elsewhere", "gateway-outside-network", bounds("10.9.0.2", "10.9.0.9", mask, "10.9.1.1")},
		{"gateway is network", "gateway-outside-network", byCIDR("10.9.0.0/24", "10.9.0.0")},
		{"gateway is broadcast", "gateway-outside-network", byCIDR("10.9.0.0/24", "10.9.0.255")},
		{"gateway outside cidr", "gateway-outside-network", byCIDR("10.9.0.0/24", "10.8.0.1")},
		{"host bits", "invalid-cidr", byCIDR("10.9.0.5/24", "")},
		{"leading zero cidr", "invalid-cidr", byCIDR("010.9.0.0/24", "")},
		{"whole internet", "invalid-cidr", byCIDR("0.0.0.0/0", "")},
		{"zero net", "cidr-not-unicast", byCIDR("0.0.0.0/8", "")},
		{"loopback", "cidr-not-unicast", byCIDR("127.0.1.0/24", "")},
		{"holds loopback", "cidr-not-unicast", byCIDR("124.0.0.0/6", "")},
		{"link local", "cidr-not-unicast", byCIDR("169.254.8.0/24", "")},
		{"class D", "cidr-not-unicast", byCIDR("224.1.0.0/24", "")},
		{"class E", "cidr-not-unicast", byCIDR("240.1.0.0/24", "")},
		{"class D bounds", "address-not-unicast", bounds("224.0.0.2", "224.0.0.9", mask, "224.0.0.1")},
		{"no hosts /31", "cidr-without-hosts", byCIDR("10.9.0.0/31", "")},
		{"no hosts /32", "cidr-without-hosts", byCIDR("10.9.0.1/32", "")},
		{"other subnet of the L3", "range-other-subnet", byCIDR("10.9.0.0/24", "")},
		{"other gateway of the L3", "range-other-subnet", bounds("192.168.10.10", "192.168.10.20", mask, "192.168.10.254")},
		{"overlap", "range-overlaps", bounds("192.168.10.10", "192.168.10.20", mask, "192.168.10.1")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := AddIPRange(w.tx, w.guest, tt.req)
			w.refused(tt.code, err)
		})
	}
}

func TestAddIPRangeByCIDR(t *testing.T) {
	tests := []struct {
		cidr, gateway, wantGateway string
		want                       []string // start-end
	}{
		{"10.9.0.0/24", "", "10.9.0.1", []string{"10.9.0.2-10.9.0.254"}},
		{"10.9.0.0/24", "10.9.0.254", "10.9.0.254", []string{"10.9.0.1-10.9.0.253"}},
		{"10.9.0.0/24", "10.9.0.100", "10.9.0.100", []string{"10.9.0.1-10.9.0.99", "10.9.0.101-10.9.0.254"}},
		{"10.9.0.0/30", "", "10.9.0.1", []string{"10.9.0.2-10.9.0.2"}},
		{"10.0.0.0/8", "", "10.0.0.1", []string{"10.0.0.2-10.255.255.254"}},
	}
	for _, tt := range tests {
		t.Run(tt.cidr+" "+tt.gateway, func(t *testing.T) {
			w := newWorld(t)
			_, l3 := w.addNetwork("more", "eth7", v1.Private, "")
			ranges, err := AddIPRange(w.tx, l3, byCIDR(tt.cidr, tt.gateway))
			must(w, ranges, err)
			if len(ranges) != len(tt.want) {
				t.Fatalf("%d ranges, want %v", len(ranges), tt.want)
			}
			for i, r := range ranges {
				if got := r.StartIP.String() + "-" + r.EndIP.String(); got != tt.want[i] || r.Gateway != ip(tt.wantGateway) || r.NetworkCIDR.String() != tt.cidr {
					t.Errorf("range %d is %s by %s of %s, want %s by %s", i, got, r.Gateway, r.NetworkCIDR, tt.want[i], tt.wantGateway)
				}
			}
			w.clean()
		})
	}
}

// L3 networks of one L2 share a wire: ranges, gateways and router addresses
// stay out of each other's way.
func TestNeighbours(t *testing.T) {
	const mask = "255.255.255.0"
	tests := []struct {
		name, code string
		req        v1.AddIPRange
	}{
		{"range on range", "range-overlaps", bounds("10.9.0.20", "10.9.0.40", mask, "10.9.0.1")},
		{"range on gateway", "gateway-in-range", bounds("10.9.0.1", "10.9.0.5", mask, "10.9.0.254")},
		{"gateway in range", "gateway-in-range", bounds("10.9.0.60", "10.9.0.90", mask, "10.9.0.15")},
		{"range on router", "router-ip-in-range", bounds("10.9.0.60", "10.9.0.90", mask, "10.9.0.1")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			l2, first := w.addNetwork("first", "eth7", v1.Private, "")
			r, err := AddIPRange(w.tx, first, bounds("10.9.0.10", "10.9.0.30", mask, "10.9.0.1"))
			must(w, r, err)
			n, err := SetRouterInterfaceIP(w.tx, first, ip("10.9.0.77"))
			must(w, n, err)
			second := w.addL3("second", l2, v1.Private, "")
			w.clean()
			_, err = AddIPRange(w.tx, second, tt.req)
			w.refused(tt.code, err)
			ok, err := AddIPRange(w.tx, second, bounds("10.9.0.31", "10.9.0.50", mask, "10.9.0.1"))
			must(w, ok, err)
			w.clean()
		})
	}
}

func TestRangeOverlapsNetworkOfOffering(t *testing.T) {
	w := newWorld(t)
	w.ok(DeleteIPRange(w.tx, First[v1.IPRange](w.tx.View, RangesOfL3, w.public).UUID))
	w.clean()
	_, err := AddIPRange(w.tx, w.public, byCIDR("10.0.0.0/16", ""))
	w.refused("subnets-overlap", err)
}

func TestDeleteIPRange(t *testing.T) {
	const mask = "255.255.255.0"
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	r := w.start(vm.UUID)
	vip := w.addVIP(w.public, "203.0.113.50")
	e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("e"), VIPUUID: vip.UUID, VMNicUUID: vm.Nics[0].UUID})
	must(w, e, err)
	system := First[v1.VIP](w.tx.View, VIPsOfRouter, r.UUID)
	f := w.addRule(system.UUID, vm.Nics[0].UUID, 22, "TCP")
	w.clean()

	t.Run("of the public network takes its VIPs and moves the router", func(t *testing.T) {
		old := First[v1.IPRange](w.tx.View, RangesOfL3, w.public)
		w.ok(DeleteIPRange(w.tx, old.UUID))
		if Get[v1.VIP](w.tx.View, vip.UUID) != nil || Get[v1.EIP](w.tx.View, e.UUID) != nil {
			t.Error("VIP or EIP of the range is still there")
		}
		if got := Get[v1.VirtualRouter](w.tx.View, r.UUID).WantedState; got != v1.StateDestroyed {
			t.Errorf("router without an address is wanted %s", got)
		}
		w.clean()
		parts, err := AddIPRange(w.tx, w.public, bounds("203.0.113.100", "203.0.113.110", mask, "203.0.113.1"))
		must(w, parts, err)
		back := w.start(vm.UUID)
		if back.UUID != r.UUID || w.nicIP(back, RolePublic) != "203.0.113.100" || back.Epoch <= r.Epoch {
			t.Errorf("router came back as %s with %s at epoch %d", back.UUID, w.nicIP(back, RolePublic), back.Epoch)
		}
		if got := Get[v1.PortForwardingRule](w.tx.View, f.UUID); got == nil || got.VIPIP != ip("203.0.113.100") {
			t.Errorf("rule on the router's own address is %+v", got)
		}
		w.clean()
	})
	t.Run("half of the public network moves the router to the rest", func(t *testing.T) {
		more, err := AddIPRange(w.tx, w.public, bounds("203.0.113.20", "203.0.113.21", mask, "203.0.113.1"))
		must(w, more, err)
		before := Get[v1.VirtualRouter](w.tx.View, r.UUID)
		for x := range Related[v1.IPRange](w.tx.View, RangesOfL3, w.public) {
			if x.StartIP == ip("203.0.113.100") {
				w.ok(DeleteIPRange(w.tx, x.UUID))
				break
			}
		}
		after := Get[v1.VirtualRouter](w.tx.View, r.UUID)
		if w.nicIP(after, RolePublic) != "203.0.113.20" || after.Epoch != before.Epoch+1 || after.WantedState != v1.StateRunning {
			t.Errorf("router has %s at epoch %d, wanted %s", w.nicIP(after, RolePublic), after.Epoch, after.WantedState)
		}
		if after.Nics[0].MAC != before.Nics[0].MAC || after.Nics[1].MAC != before.Nics[1].MAC {
			t.Error("the router changed its MACs")
		}
		w.clean()
	})
	t.Run("of the guest network detaches nics", func(t *testing.T) {
		w.ok(DeleteIPRange(w.tx, First[v1.IPRange](w.tx.View, RangesOfL3, w.guest).UUID))
		if n := len(WithNics(w.tx.View, Get[v1.VMInstance](w.tx.View, vm.UUID)).Nics); n != 0 {
			t.Errorf("%d nics left", n)
		}
		if got := Get[v1.PortForwardingRule](w.tx.View, f.UUID); got.VMNicUUID != "" || got.GuestIP.IsValid() {
			t.Errorf("rule is still attached: %+v", got)
		}
		w.clean()
	})
}

func TestCapacityAndReserved(t *testing.T) {
	w := newWorld(t)
	capacity := func() v1.Capacity {
		c, err := CapacityOf(w.tx.View, w.guest)
		return must(w, c, err)
	}
	if c := capacity(); c != (v1.Capacity{Total: 253, Used: 0, Free: 253}) {
		t.Fatalf("capacity %+v", c)
	}
	reserve := func(start, end string) error {
		_, err := SetReservedRanges(w.tx, w.guest, []v1.AddressRange{{StartIP: ip(start), EndIP: ip(end)}})
		return err
	}
	w.refused("range-outside-network", reserve("192.168.11.1", "192.168.11.2"))
	w.refused("range-reversed", reserve("192.168.10.9", "192.168.10.2"))
	w.ok(reserve("192.168.10.2", "192.168.10.9"))
	vm := w.addVM("vm", w.guest)
	if got := vm.Nics[0].IP; got != ip("192.168.10.10") {
		t.Errorf("the first address is %s, inside the reserved range", got)
	}
	if c := capacity(); c != (v1.Capacity{Total: 245, Used: 1, Free: 244}) {
		t.Errorf("capacity %+v", c)
	}
	w.clean()
	w.refused("address-in-use", reserve("192.168.10.2", "192.168.10.10"))
	_, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: named("vm"), Nics: []v1.CreateVMNic{{L3NetworkUUID: w.guest, IP: "192.168.10.5"}}})
	w.refused("address-reserved", err)
	free, err := FreeIPs(w.tx.View, w.guest, 2)
	if must(w, free, err); len(free) != 2 || free[0] != ip("192.168.10.11") || free[1] != ip("192.168.10.12") {
		t.Errorf("free %v", free)
	}
}

func TestL3SettingsRefused(t *testing.T) {
	l3 := func(change func(*v1.CreateL3Network)) func(w *world) error {
		return func(w *world) error {
			req := v1.CreateL3Network{CreateMeta: named("l3"), L2NetworkUUID: w.l2Guest}
			change(&req)
			_, err := CreateL3Network(w.tx, req)
			return err
		}
	}
	prefix := netip.MustParsePrefix
	tests := []struct {
		name, code string
		rule       func(w *world) error
	}{
		{"category", "invalid-value", l3(func(r *v1.CreateL3Network) { r.Category = "Secret" })},
		{"domain", "invalid-dns-name", l3(func(r *v1.CreateL3Network) { r.DNSDomain = "a b" })},
		{"domain like an address", "invalid-dns-name", l3(func(r *v1.CreateL3Network) { r.DNSDomain = "10.0.0.1" })},
		{"mtu low", "invalid-mtu", l3(func(r *v1.CreateL3Network) { r.MTU = 500 })},
		{"mtu over the L2's", "invalid-mtu", func(w *world) error { _, err := SetMTU(w.tx, w.guest, 1501); return err }},
		{"dns twice", "duplicate-dns", func(w *world) error {
			_, err := SetDNS(w.tx, w.guest, []netip.Addr{ip("1.1.1.1"), ip("1.1.1.1")})
			return err
		}},
		{"dns empty", "invalid-address", func(w *world) error { _, err := AddDNS(w.tx, w.guest, netip.Addr{}); return err }},
		{"dns mapped", "invalid-address", func(w *world) error { _, err := AddDNS(w.tx, w.guest, ip("::ffff:1.1.1.1")); return err }},
		{"dns loopback", "address-not-unicast", func(w *world) error { _, err := AddDNS(w.tx, w.guest, ip("127.0.0.53")); return err }},
		{"tls name", "invalid-dns-name", func(w *world) error { _, err := SetDNSTLS(w.tx, w.guest, v1.DNSOverTLS{DNSTLSName: "a b"}); return err }},
		{"tls certificates of nobody", "invalid-dns-tls", func(w *world) error {
			_, err := SetDNSTLS(w.tx, w.guest, v1.DNSOverTLS{DNSTLSCA: "-----BEGIN"})
			return err
		}},
		{"tls certificates", "invalid-dns-tls", l3(func(r *v1.CreateL3Network) {
			r.DNSOverTLS = v1.DNSOverTLS{DNSTLSName: "dns.example", DNSTLSCA: "no PEM"}
		})},
		{"tls certificates without end", "dns-tls-ca-too-long", func(w *world) error {
			_, err := SetDNSTLS(w.tx, w.guest, v1.DNSOverTLS{DNSTLSName: "dns.example", DNSTLSCA: strings.Repeat("x", MaxDNSTLSCA+1)})
			return err
		}},
		{"route with host bits", "invalid-cidr", func(w *world) error {
			_, err := SetHostRoutes(w.tx, w.guest, []v1.HostRoute{{Prefix: prefix("10.1.1.1/24"), NextHop: ip("192.168.10.9")}})
			return err
		}},
		{"route twice", "duplicate-host-route", func(w *world) error {
			r := v1.HostRoute{Prefix: prefix("10.1.1.0/24"), NextHop: ip("192.168.10.9")}
			_, err := SetHostRoutes(w.tx, w.guest, []v1.HostRoute{r, r})
			return err
		}},
		{"router ip in range", "router-ip-in-range", func(w *world) error {
			_, err := SetRouterInterfaceIP(w.tx, w.guest, ip("192.168.10.50"))
			return err
		}},
		{"router ip outside", "router-ip-outside-network", func(w *world) error {
			_, err := SetRouterInterfaceIP(w.tx, w.guest, ip("192.168.11.50"))
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

func TestDNSKeepsItsOrder(t *testing.T) {
	w := newWorld(t)
	for _, s := range []string{"9.9.9.9", "1.1.1.1", "8.8.8.8"} {
		n, err := AddDNS(w.tx, w.guest, ip(s))
		must(w, n, err)
	}
	w.ok(RemoveDNS(w.tx, w.guest, ip("1.1.1.1")))
	w.ok(RemoveDNS(w.tx, w.guest, ip("1.1.1.1")))
	if got := w.l3(w.guest).DNS; len(got) != 2 || got[0] != ip("9.9.9.9") || got[1] != ip("8.8.8.8") {
		t.Errorf("dns %v", got)
	}
}
