package app

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const otherPublicMAC = "02:00:00:00:00:04"

// wired is a content whose head is good, with two public nics and DHCP and DNS.
func wired() agentv1.Content {
	c := content("r")
	c.Interfaces = append(c.Interfaces, agentv1.Interface{Name: "eth3", Roles: []agentv1.Role{agentv1.RolePublic}, MAC: otherPublicMAC, MTU: 1500,
		Addresses: []netip.Prefix{netip.MustParsePrefix("198.18.0.10/24")}})
	guest, _ := c.Interface(guestMAC)
	own, subnet := guest.Addresses[0].Addr(), guest.Addresses[0].Masked()
	c.DHCP = []agentv1.DHCPNetwork{{Interface: guestMAC, ServerID: own, Subnet: subnet, Router: own, MTU: 1500, LeaseSeconds: 3600}}
	c.DNS = []agentv1.DNSNetwork{{Interface: guestMAC, Listen: []netip.Addr{own}, Subnet: subnet, Domain: "lan.test"}}
	return c
}

// drawn adds entries of few values, so that they get in each other's way; some
// are wrong by themselves.
func drawn(t *rapid.T, c agentv1.Content) agentv1.Content {
	guest, _ := c.Interface(guestMAC)
	at := func(label string) netip.Addr { // some are the router's own, or of another network
		a := guest.Addresses[0].Masked().Addr().As4()
		a[3] = byte(rapid.IntRange(1, 30).Draw(t, label))
		if rapid.IntRange(0, 30).Draw(t, label) == 0 {
			a[0]++
		}
		return netip.AddrFrom4(a)
	}
	vip := func() netip.Addr {
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(rapid.IntRange(1, 14).Draw(t, "vip"))})
	}
	public := func() string {
		return rapid.SampledFrom([]string{publicMAC, publicMAC, publicMAC, otherPublicMAC}).Draw(t, "public")
	}
	some := func(label string) []int {
		return rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 4, rapid.ID).Draw(t, label)
	}
	for _, k := range some("eips") {
		c.EIPs = append(c.EIPs, agentv1.EIP{UUID: fmt.Sprint("e", k), Interface: public(), VIP: vip(), GuestInterface: guestMAC, GuestIP: at("guest"), Order: int64(k)})
	}
	for _, k := range some("rules") {
		first := uint16(rapid.IntRange(1, 12).Draw(t, "first"))
		c.PortForwardings = append(c.PortForwardings, agentv1.PortForwarding{UUID: fmt.Sprint("f", k), Interface: public(), VIP: vip(),
			Protocol: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "protocol"), VIPPortStart: first, VIPPortEnd: first + uint16(rapid.IntRange(0, 4).Draw(t, "more")),
			PrivatePortStart: uint16(rapid.IntRange(0, 99).Draw(t, "to")), GuestInterface: guestMAC, GuestIP: at("guest")})
	}
	c.DHCP, c.DNS = append([]agentv1.DHCPNetwork(nil), c.DHCP...), append([]agentv1.DNSNetwork(nil), c.DNS...)
	for _, k := range some("bindings") {
		c.DHCP[0].Bindings = append(c.DHCP[0].Bindings, agentv1.DHCPBinding{MAC: fmt.Sprintf("0a:00:00:00:00:%02x", k), IP: at("binding"), IsDefault: true})
	}
	for _, k := range some("records") {
		c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: rapid.SampledFrom([]string{"web", "db", "web", "db", "web", "db", "web", "a b"}).Draw(t, "name") + fmt.Sprint(k), IP: at("record")})
	}
	c.Sort()
	return c
}

// TestAChangeIsCheckedAsTheWhole: one after the other, changes are refused
// exactly if the content that they lead to would be.
func TestAChangeIsCheckedAsTheWhole(t *testing.T) {
	services := NewServices(slog.New(slog.DiscardHandler))
	defer func() {
		for _, s := range services.Servers {
			_ = s.Close() // they served nothing
		}
	}()
	r := NewRouter(nil, services, false, nil)
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		now := wired()
		k, err := r.Check(now)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			next := drawn(t, wired())
			ch, ok := now.Difference(next)
			if !ok {
				t.Fatal("the heads differ")
			}
			_, whole := r.Check(next)
			part := k.Change(next, ch)
			if (whole == nil) != (part == nil) {
				t.Fatalf("the whole: %v\nthe change: %v\n%+v", whole, part, ch)
			}
			if part == nil {
				now = next
				taken++
			} else {
				refused++
			}
		}
	})
	if t.Logf("%d taken, %d refused", taken, refused); taken < 20 || refused < 20 {
		t.Error("hardly anything was tried")
	}
}
