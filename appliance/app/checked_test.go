package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
)

const otherPublicMAC = "02:00:00:00:00:04"

// wired is a content whose head is good, with two public nics, of which the
// agent is reached by the second, and DHCP and DNS.
func wired() agentv1.Content {
	c := content("r")
	c.Interfaces = append(c.Interfaces, agentv1.Interface{Name: "eth3", Roles: []agentv1.Role{agentv1.RolePublic, agentv1.RoleManagement}, MAC: otherPublicMAC, MTU: 1500,
		Addresses: []netip.Prefix{netip.MustParsePrefix("198.18.0.10/24")}})
	guest, _ := c.Interface(guestMAC)
	own, subnet := guest.Addresses[0].Addr(), guest.Addresses[0].Masked()
	c.DHCP = []agentv1.DHCPNetwork{{Interface: guestMAC, ServerID: own, Subnet: subnet, Router: own, MTU: 1500, LeaseSeconds: 3600}}
	c.DNS = []agentv1.DNSNetwork{{Interface: guestMAC, Listen: []netip.Addr{own}, Subnet: subnet, Domain: "lan.test"}}
	return c
}

// drawn leaves some entries as they are, and has others of few values, so that
// they get in each other's way; some are wrong by themselves.
func drawn(t *rapid.T, c agentv1.Content) agentv1.Content {
	guest, _ := c.Interface(guestMAC)
	seldom := func(label string) bool { return rapid.IntRange(0, 40).Draw(t, label) == 23 } // small ones are drawn often
	at := func(label string, most int) netip.Addr {                                         // some are the router's own, or of another network
		a := guest.Addresses[0].Masked().Addr().As4()
		a[3] = byte(rapid.IntRange(2, most).Draw(t, label))
		if seldom("strange") {
			a[rapid.SampledFrom([]int{0, 3}).Draw(t, "byte")] = 1
		}
		return netip.AddrFrom4(a)
	}
	vip := func() netip.Addr {
		if seldom("own") {
			return rapid.SampledFrom(c.Interfaces).Draw(t, "of").Addresses[0].Addr()
		}
		return netip.AddrFrom4([4]byte{198, 51, 100, byte(rapid.IntRange(1, 8).Draw(t, "vip"))})
	}
	on := func(vip netip.Addr) string { // mostly the nic that has it
		if i := slices.IndexFunc(c.Interfaces, func(n agentv1.Interface) bool { return n.Addresses[0].Addr() == vip }); i >= 0 {
			return c.Interfaces[i].MAC
		}
		if (vip.As4()[3]%4 == 0) != seldom("astray") {
			return otherPublicMAC
		}
		return publicMAC
	}
	some := func(label string, kept int) []int {
		return rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 4-min(kept, 4), rapid.ID).Draw(t, label)
	}
	c.EIPs, c.PortForwardings = kept(t, c.EIPs), kept(t, c.PortForwardings)
	for _, k := range some("eips", len(c.EIPs)) {
		vip := vip()
		c.EIPs = append(c.EIPs, agentv1.EIP{UUID: fmt.Sprint("e", k), Interface: on(vip), VIP: vip, GuestInterface: guestMAC, GuestIP: at("guest", 4), Order: int64(k)})
	}
	for _, k := range some("rules", len(c.PortForwardings)) {
		first := rapid.SampledFrom([]uint16{1, 3, 5, 7, 9, 11, agentv1.AgentPort - 1}).Draw(t, "first")
		vip := vip()
		f := agentv1.PortForwarding{UUID: fmt.Sprint("f", k), Interface: on(vip), VIP: vip,
			Protocol: rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "protocol"), VIPPortStart: first, VIPPortEnd: first + uint16(rapid.IntRange(0, 4).Draw(t, "more")),
			PrivatePortStart: rapid.SampledFrom([]uint16{first, first, 1, 2}).Draw(t, "to"), GuestInterface: guestMAC, GuestIP: at("guest", 4)}
		if seldom("port 0") {
			f.PrivatePortStart = 0
		}
		nic, there := c.Interface(f.Interface)
		f.VIPIsRouter = there && nic.Addresses[0].Addr() == f.VIP && !seldom("untold")
		if rapid.Bool().Draw(t, "limited") {
			f.AllowedCIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(k)}), rapid.IntRange(24, 32).Draw(t, "bits"))
		}
		c.PortForwardings = append(c.PortForwardings, f)
	}
	c.DHCP, c.DNS = slices.Clone(c.DHCP), slices.Clone(c.DNS)
	c.DHCP[0].Bindings, c.DNS[0].Records = kept(t, c.DHCP[0].Bindings), kept(t, c.DNS[0].Records)
	for _, k := range some("bindings", len(c.DHCP[0].Bindings)) {
		c.DHCP[0].Bindings = append(c.DHCP[0].Bindings, agentv1.DHCPBinding{MAC: fmt.Sprintf("0a:00:00:00:00:%02x", k), IP: at("binding", 60), IsDefault: true})
	}
	for _, k := range some("records", len(c.DNS[0].Records)) {
		name := rapid.SampledFrom([]string{"web", "db"}).Draw(t, "name")
		if seldom("bad name") {
			name = "a b"
		}
		c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: name + fmt.Sprint(k), IP: at("record", 60)})
	}
	c.Sort()
	c.EIPs = slices.CompactFunc(c.EIPs, func(a, b agentv1.EIP) bool { return a.UUID == b.UUID })
	c.PortForwardings = slices.CompactFunc(c.PortForwardings, func(a, b agentv1.PortForwarding) bool { return a.UUID == b.UUID })
	c.DHCP[0].Bindings = slices.CompactFunc(c.DHCP[0].Bindings, func(a, b agentv1.DHCPBinding) bool { return a.MAC == b.MAC })
	c.DNS[0].Records = slices.Compact(c.DNS[0].Records)
	return c
}

func kept[T any](t *rapid.T, list []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(T) bool { return rapid.Bool().Draw(t, "gone") })
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
			next := drawn(t, now)
			ch, ok := now.Difference(next)
			if !ok {
				t.Fatal("the heads differ")
			}
			_, whole := r.Check(next)
			part := k.Change(next, ch)
			if (whole == nil) != (part == nil) {
				t.Fatalf("the whole: %v\nthe change: %v\n%+v", whole, part, ch)
			}
			var invalid *agent.InvalidError
			switch {
			case part == nil:
				now = next
				taken++
			case !errors.As(part, &invalid) || !strings.HasPrefix(invalid.Field, "/change/") && !strings.HasPrefix(invalid.Field, "/content/dns/"):
				t.Fatalf("refused without naming what of the change: %v", part)
			default:
				refused++
			}
		}
	})
	if t.Logf("%d taken, %d refused", taken, refused); taken < 20 || refused < 20 {
		t.Error("hardly anything was tried")
	}
}
