package dhcp

import (
	"os/exec"
	"strings"
	"testing"
)

// dhcpcd gives the command; its state goes to a file system of its own.
func (w *world) dhcpcd(args ...string) *exec.Cmd {
	conf := w.file("dhcpcd.conf", `clientid
timeout 10
option subnet_mask, broadcast_address, routers, domain_name_servers, domain_name, domain_search, host_name, interface_mtu, classless_static_routes
noipv6rs
nodev
noarp
`)
	hook := w.hook("nothing) ;;")
	script := "mount -t tmpfs none /run && mkdir -p /run/dhcpcd && mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -4 -d -f " + conf + " -c " + hook + " " + strings.Join(args, " ")
	return w.in(w.guest, "unshare", "-m", "sh", "-c", script)
}

// watch runs dhcpcd on nics until the test ends.
func (w *world) watch(links ...string) {
	w.t.Helper()
	w.background(w.dhcpcd(append([]string{"-B"}, links...)...))
}

// TestDhcpcd runs the client of BSDs, Raspberry Pis and others.
func TestDhcpcd(t *testing.T) {
	needs(t, "dhcpcd", "dhcpcd-base")
	w := newWorld(t)
	w.apply(network())
	out, err := w.dhcpcd("-1", "-B", "eth0").CombinedOutput()
	if err != nil {
		t.Fatalf("dhcpcd: %v\n%s", err, out)
	}
	w.expect("BOUND", map[string]string{
		"new_ip_address": guestIP, "new_subnet_mask": "255.255.255.0", "new_subnet_cidr": "24", "new_broadcast_address": "10.7.0.255",
		"new_routers": "10.7.0.1", "new_domain_name_servers": "10.7.0.1 9.9.9.9", "new_domain_name": "guest.example",
		"new_domain_search": "guest.example", "new_host_name": "web-1", "new_interface_mtu": "1420", "new_dhcp_lease_time": "3600",
	})
}

// TestNmap reads the offer with a parser that is nobody's client.
func TestNmap(t *testing.T) {
	needs(t, "nmap", "nmap")
	w := newWorld(t)
	w.apply(network())
	w.run("ip", "-n", w.guest, "addr", "add", "169.254.7.7/16", "dev", "eth0") // nmap overlooks nics without an address
	out, err := w.in(w.guest, "nmap", "-e", "eth0", "--script", "broadcast-dhcp-discover", "--script-args", "broadcast-dhcp-discover.mac="+guestMAC+",broadcast-dhcp-discover.timeout=3").CombinedOutput()
	if err != nil {
		t.Fatalf("nmap: %v\n%s", err, out)
	}
	for _, want := range []string{
		"DHCP Message Type: DHCPOFFER", "IP Offered: " + guestIP, "Server Identifier: 10.7.0.1", "Subnet Mask: 255.255.255.0",
		"Router: 10.7.0.1", "Domain Name Server: 10.7.0.1, 9.9.9.9", "Domain Name: guest.example", "IP Address Lease Time: 1h00m00s",
		"Renewal Time Value: 30m00s", "Rebinding Time Value: 52m30s", "Interface MTU: 1420", "Broadcast Address: 10.7.0.255",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nmap does not say %q:\n%s", want, out)
		}
	}
}
