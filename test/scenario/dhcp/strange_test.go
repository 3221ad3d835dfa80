package dhcp

import (
	"encoding/json"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

type fields = map[string]any

const (
	secondMAC = "02:07:00:00:00:11"
	secondIP  = "10.7.0.250" // another range of the same network
)

// TestStrange: what no client sends when it is asked to, made by scapy.
func TestStrange(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which has Debian's scapy
	needs(t, python, "python3")
	if out, err := exec.Command(python, "-c", "import scapy").CombinedOutput(); err != nil {
		t.Skipf("needs scapy (Debian package python3-scapy): %v: %s", err, out)
	}
	w := newWorld(t)
	n := network()
	n.Relays = []netip.Addr{netip.MustParseAddr("10.7.0.2")}
	n.Bindings = append(n.Bindings, agentv1.DHCPBinding{MAC: secondMAC, IP: netip.MustParseAddr(secondIP), IsDefault: true})
	w.apply(n)
	const everybody = "ether=ff:ff:ff:ff:ff:ff ip=255.255.255.255"
	toGuest := "ether=" + guestMAC + " ip=" + guestIP
	cases := []struct {
		name string
		ask  fields
		want string
	}{
		{"unicast to a guest without an address", fields{"type": "discover"}, "offer yiaddr=" + guestIP + " " + toGuest},
		{"broadcast flag", fields{"type": "discover", "broadcast": true}, "offer yiaddr=" + guestIP + " " + everybody},
		{"the second range", fields{"type": "discover", "mac": secondMAC}, "offer yiaddr=" + secondIP + " ether=" + secondMAC + " ip=" + secondIP},
		{"stranger", fields{"type": "discover", "mac": "02:07:00:00:00:99", "wait": 0.4}, "silence"},
		{"INFORM", fields{"type": "inform", "ciaddr": guestIP, "param": []int{6}, "show": []string{"name_server", "lease_time"}}, "ack yiaddr=0.0.0.0 " + toGuest + " name_server=10.7.0.1 lease_time=None"},
		{"INIT-REBOOT", fields{"type": "request", "requested_addr": guestIP}, "ack yiaddr=" + guestIP + " " + toGuest},
		{"INIT-REBOOT on another network", fields{"type": "request", "requested_addr": "192.168.1.5"}, "nak yiaddr=0.0.0.0 " + everybody},
		{"REBINDING", fields{"type": "request", "ciaddr": guestIP}, "ack yiaddr=" + guestIP + " " + toGuest},
		{"RENEWING another's address", fields{"type": "request", "ciaddr": secondIP, "dst": "10.7.0.1", "to": routerMAC}, "nak yiaddr=0.0.0.0 " + everybody},
		{"RENEWING", fields{"type": "request", "ciaddr": guestIP, "dst": "10.7.0.1", "to": routerMAC}, "ack yiaddr=" + guestIP + " " + toGuest},
		{"SELECTING another server", fields{"type": "request", "requested_addr": guestIP, "server_id": "10.7.0.77", "wait": 0.4}, "silence"},
		{"RELEASE in another's name", fields{"type": "release", "ciaddr": guestIP, "server_id": "10.7.0.1", "src": secondMAC, "dst": "10.7.0.1", "to": routerMAC, "wait": 0.4}, "silence"},
		{"relay with option 82", fields{"type": "discover", "giaddr": "10.7.0.2", "src": "02:07:00:00:00:02", "dst": "10.7.0.1", "to": routerMAC, "option82": "010465746837", "show": []string{"82", "relay_agent_information"}}, "offer yiaddr=" + guestIP + " ether=02:07:00:00:00:02 ip=10.7.0.2"},
		{"relay that nobody configured", fields{"type": "discover", "giaddr": "10.7.0.3", "wait": 0.4}, "silence"},
		{"DECLINE", fields{"type": "decline", "requested_addr": guestIP, "server_id": "10.7.0.1", "wait": 0.4}, "silence"},
		{"in quarantine", fields{"type": "discover", "wait": 0.4}, "silence"},
		{"the neighbour of one in quarantine", fields{"type": "discover", "mac": secondMAC}, "offer yiaddr=" + secondIP + " ether=" + secondMAC + " ip=" + secondIP},
	}
	var in strings.Builder
	for _, c := range cases {
		if c.ask["mac"] == nil {
			c.ask["mac"] = guestMAC
		}
		line, err := json.Marshal(c.ask)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := w.in(w.guest, python, "testdata/strange.py")
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(cases) {
		t.Fatalf("scapy: %v\n%s", err, out)
	}
	for i, c := range cases {
		if !strings.HasPrefix(lines[i], c.want) {
			t.Errorf("%s: %s, want %s", c.name, lines[i], c.want)
		}
		if c.name == "relay with option 82" && !strings.Contains(lines[i], "010465746837") {
			t.Errorf("option 82 did not come back: %s", lines[i])
		}
	}
	r := w.report()
	if len(r.Events) != 1 || r.Events[0].Type != "address-conflict" {
		t.Errorf("events are %v", r.Events)
	}
	for counter, want := range map[string]uint64{"dhcp_ignored_spoofed_total": 1, "dhcp_release_total": 0, "dhcp_ignored_relay_total": 1, "dhcp_decline_total": 1, "dhcp_ack_inform_total": 1} {
		w.expectCounter(counter, want)
	}
}

// TestRelay: guests on a link of their own, behind somebody else's relay that
// adds option 82 and wants it back.
func TestRelay(t *testing.T) {
	needs(t, "dhcrelay", "isc-dhcp-relay")
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	relay, remote := w.namespace("relay"), w.namespace("remote")
	w.plug(relay, "up0", "02:07:00:00:00:02")
	w.run("ip", "-n", relay, "addr", "add", "10.7.0.2/24", "dev", "up0")
	w.run("ip", "-n", remote, "link", "add", "eth0", "address", secondMAC, "type", "veth", "peer", "name", "down0", "netns", relay)
	w.run("ip", "-n", relay, "addr", "add", "10.7.9.1/24", "dev", "down0")
	w.run("ip", "-n", relay, "link", "set", "down0", "up")
	w.run("ip", "-n", remote, "link", "set", "eth0", "up")
	n := network()
	n.Relays = []netip.Addr{netip.MustParseAddr("10.7.9.1")}
	n.Bindings = append(n.Bindings, agentv1.DHCPBinding{MAC: secondMAC, IP: netip.MustParseAddr(secondIP), IsDefault: true})
	w.apply(n)
	w.background(w.in(relay, "dhcrelay", "-4", "-d", "--no-pid", "-a", "-D", "-m", "discard", "-iu", "up0", "-id", "down0", "10.7.0.1"))
	w.guest = remote
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil {
		t.Fatalf("udhcpc: %v\n%s\n%v", err, out, w.report().Status.Counters)
	}
	w.expect("bound", map[string]string{"ip": secondIP, "serverid": "10.7.0.1", "dns": "10.7.0.1 9.9.9.9"})
	if w.counter("dhcp_ack_selecting_total") != 1 {
		t.Error("bound by somebody else")
	}
}

// TestRebind: the router that gave the lease is gone, and another serves the
// network from another address. Nobody answers at half of the lease; at seven
// eighths the client asks everybody.
func TestRebind(t *testing.T) {
	needs(t, "dhcpcd", "dhcpcd-base")
	w := newWorld(t)
	n := network()
	n.LeaseSeconds = 8
	w.apply(n)
	w.watch("eth0")
	w.eventually("bound", 8*1e9, func() bool { return w.told("BOUND") != nil })
	w.start()
	w.run("ip", "-n", w.router, "addr", "flush", "dev", "guest0")
	w.run("ip", "-n", w.router, "addr", "add", "10.7.0.254/24", "dev", "guest0")
	n.ServerID, n.Router = netip.MustParseAddr("10.7.0.254"), netip.MustParseAddr("10.7.0.254")
	n.LeaseSeconds = 3600
	w.apply(n)
	w.eventually("rebound", 12*1e9, func() bool { return w.told("REBIND") != nil })
	w.expect("REBIND", map[string]string{"new_ip_address": guestIP, "new_routers": "10.7.0.254", "new_dhcp_lease_time": "3600"})
	w.expectCounter("dhcp_ack_rebinding_total", 1)
	w.expectCounter("dhcp_offer_total", 0)
}

// TestTwoNics: a guest with nics on two networks of the router has one way out,
// whatever comes first.
func TestTwoNics(t *testing.T) {
	needs(t, "dhcpcd", "dhcpcd-base")
	w := newWorld(t)
	const side = "02:07:00:00:01:01"
	w.plug(w.router, "guest1", side)
	w.plug(w.guest, "eth1", secondMAC)
	// eth1 and guest1 go on a bridge of their own, or each nic would see both.
	w.run("ip", "-n", w.wires, "link", "add", "br1", "type", "bridge")
	w.run("ip", "-n", w.wires, "link", "set", "br1", "up")
	for _, port := range []string{"p00000101", "p00000011"} {
		w.run("ip", "-n", w.wires, "link", "set", port, "master", "br1")
	}
	second := network()
	second.Interface, second.Subnet = side, netip.MustParsePrefix("10.8.0.0/24")
	second.ServerID, second.Router = netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("10.8.0.1")
	second.Bindings = []agentv1.DHCPBinding{{MAC: secondMAC, IP: netip.MustParseAddr("10.8.0.17")}}
	w.apply(network(), second)
	w.watch("eth0", "eth1")
	w.eventually("both nics have an address", 8*1e9, func() bool {
		out := w.run("ip", "-n", w.guest, "-4", "-o", "addr")
		return strings.Contains(out, guestIP) && strings.Contains(out, "10.8.0.17")
	})
	if got := strings.TrimSpace(w.run("ip", "-n", w.guest, "route", "show", "default")); !strings.HasPrefix(got, "default via 10.7.0.1 dev eth0") || strings.Contains(got, "\n") {
		t.Errorf("default routes: %s", got)
	}
}
