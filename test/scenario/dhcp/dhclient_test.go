package dhcp

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const ifconfigISC = `BOUND|RENEW|REBIND|REBOOT) ip addr replace "$new_ip_address/24" dev "$interface" ;;
PREINIT) ip link set "$interface" up ;;
EXPIRE|FAIL|RELEASE|STOP) ip addr flush dev "$interface" ;;`

// dhclient runs ISC dhclient once: with no lease in its file it discovers,
// with one it comes back from a reboot.
func (w *world) dhclient(args ...string) (string, error) {
	conf := w.file("dhclient.conf", `timeout 8; retry 1; initial-interval 1; reboot 4;
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search,
 host-name, interface-mtu, rfc3442-classless-static-routes, dhcp-lease-time;
send dhcp-client-identifier = "guest one";`)
	pid := filepath.Join(w.dir, "dhclient.pid")
	args = append([]string{"dhclient", "-4", "-1", "-v", "-cf", conf, "-lf", filepath.Join(w.dir, "leases"), "-pf", pid, "-sf", w.hook(ifconfigISC)}, args...)
	out, err := w.in(w.guest, append(args, "eth0")...).CombinedOutput()
	w.empty(w.guest) // it stays in the background, and may not have written its pid yet
	return string(out), err
}

func TestDhclient(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	w.apply(network())
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{
		"new_ip_address": guestIP, "new_subnet_mask": "255.255.255.0", "new_broadcast_address": "10.7.0.255",
		"new_routers": "10.7.0.1", "new_domain_name_servers": "10.7.0.1 9.9.9.9", "new_domain_name": "guest.example",
		"new_domain_search": "guest.example.", "new_host_name": "web-1", "new_interface_mtu": "1420",
		"new_dhcp_lease_time": "3600", "new_dhcp_renewal_time": "1800", "new_dhcp_rebinding_time": "3150",
		"new_dhcp_server_identifier": "10.7.0.1",
	})
	lease, err := os.ReadFile(filepath.Join(w.dir, "leases"))
	if err != nil || !strings.Contains(string(lease), "fixed-address "+guestIP+";") || !strings.Contains(string(lease), "option dhcp-lease-time 3600;") {
		t.Errorf("lease file (%v):\n%s", err, lease)
	}
	if l := w.report().Leases; len(l) != 1 || l[0].MAC != guestMAC || l[0].IP != guestIP || time.Since(l[0].FirstSeen) > time.Minute {
		t.Errorf("leases are %v", l)
	}
}

// TestRebootAfterServerReplaced: a rebuilt router knows nothing of leases, and
// every guest goes on as if nothing had been.
func TestRebootAfterServerReplaced(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	w.apply(network())
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.start()
	w.apply(network())
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("REBOOT", map[string]string{"new_ip_address": guestIP, "new_dhcp_server_identifier": "10.7.0.1"})
	w.expectCounter("dhcp_ack_init_reboot_total", 1)
	w.expectCounter("dhcp_offer_total", 0)
}

// TestMovedAddress: the guest comes back for the address it had; it is told no
// at once, and has the new one.
func TestMovedAddress(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	w.apply(network())
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	n := network()
	n.Bindings[0].IP = netip.MustParseAddr("10.7.0.99")
	w.apply(n)
	w.forget("BOUND")
	out, err := w.dhclient()
	if err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{"new_ip_address": "10.7.0.99"})
	if !strings.Contains(out, "DHCPNAK") {
		t.Errorf("the client saw no NAK:\n%s", out)
	}
	w.expectCounter("dhcp_nak_init_reboot_total", 1)
	if l := w.report().Leases; len(l) != 1 || l[0].IP != "10.7.0.99" {
		t.Errorf("leases are %v", l)
	}
}

func TestRoutesAndRelease(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	n := network()
	n.Routes = []agentv1.Route{{Prefix: netip.MustParsePrefix("172.20.0.0/14"), NextHop: netip.MustParseAddr("10.7.0.200")}}
	w.apply(n)
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{"new_rfc3442_classless_static_routes": "14 172 20 10 7 0 200 0 10 7 0 1", "new_routers": ""})
	if out, err := w.dhclient("-r"); err != nil {
		t.Fatalf("dhclient -r: %v\n%s", err, out)
	}
	w.expectCounter("dhcp_release_total", 1)
	if l := w.report().Leases; len(l) != 0 {
		t.Errorf("leases after the release: %v", l)
	}
}

// ownRoutes is a network with a route, of which the guest has two routes of its
// own: one more, and another way to the same destination.
func ownRoutes() agentv1.DHCPNetwork {
	route := func(p, via string) agentv1.Route {
		return agentv1.Route{Prefix: netip.MustParsePrefix(p), NextHop: netip.MustParseAddr(via)}
	}
	n := network()
	n.Routes = []agentv1.Route{route("172.20.0.0/14", "10.7.0.200"), route("192.0.2.0/24", "10.7.0.200")}
	n.Bindings[0].Routes = []agentv1.Route{route("198.51.100.0/24", "10.7.0.9"), route("192.0.2.0/24", "10.7.0.9")}
	return n
}

func TestRoutesOfANic(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	w.apply(ownRoutes())
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{
		"new_rfc3442_classless_static_routes": "24 198 51 100 10 7 0 9 24 192 0 2 10 7 0 9 14 172 20 10 7 0 200 0 10 7 0 1",
	})
}

// TestNotTheDefaultNic gets no way out and no resolvers.
func TestNotTheDefaultNic(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	n := network()
	n.Bindings[0].IsDefault = false
	w.apply(n)
	if out, err := w.dhclient(); err != nil {
		t.Fatalf("dhclient: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{
		"new_ip_address": guestIP, "new_subnet_mask": "255.255.255.0", "new_interface_mtu": "1420",
		"new_routers": "", "new_domain_name_servers": "", "new_domain_name": "", "new_domain_search": "",
	})
}

// TestUnknownMAC: silence, not a NAK.
func TestUnknownMAC(t *testing.T) {
	needs(t, "dhclient", "isc-dhcp-client")
	w := newWorld(t)
	n := network()
	n.Bindings[0].MAC = "02:07:00:00:00:77"
	w.apply(n)
	if out, err := w.dhclient(); err == nil {
		t.Fatalf("an unknown MAC got a lease:\n%s", out)
	}
	if w.counter("dhcp_ignored_unknown_mac_total") == 0 {
		t.Error("the client's messages did not arrive")
	}
	w.expectCounter("dhcp_sent_total", 0)
}
