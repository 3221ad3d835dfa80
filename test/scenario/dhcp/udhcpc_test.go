package dhcp

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const ifconfigBusybox = `bound|renew) ip addr replace "$ip/24" dev "$interface" ;;
deconfig) ip addr flush dev "$interface"; ip link set "$interface" up ;;`

// udhcpc gives the command; it asks for what it does not by itself, too.
func (w *world) udhcpc(args ...string) *exec.Cmd {
	all := []string{"udhcpc", "-f", "-i", "eth0", "-s", w.hook(ifconfigBusybox), "-t", "4", "-T", "1", "-O", "search", "-O", "mtu", "-O", "staticroutes", "-O", "domain", "-O", "lease"}
	return w.in(w.guest, append(all, args...)...)
}

// background starts a client and stops it with the test.
func (w *world) background(cmd *exec.Cmd) *exec.Cmd {
	w.t.Helper()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	return cmd
}

func TestUdhcpc(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	w.expect("bound", map[string]string{
		"ip": guestIP, "mask": "24", "subnet": "255.255.255.0", "router": "10.7.0.1", "dns": "10.7.0.1 9.9.9.9", "domain": "guest.example",
		"search": "guest.example", "mtu": "1420", "hostname": "web-1", "lease": "3600", "serverid": "10.7.0.1",
	})
}

func TestUdhcpcRoutesOfANic(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(ownRoutes())
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	w.expect("bound", map[string]string{
		"staticroutes": "198.51.100.0/24 10.7.0.9 192.0.2.0/24 10.7.0.9 172.20.0.0/14 10.7.0.200 0.0.0.0/0 10.7.0.1",
	})
}

// renew has a client in the background renew now: udhcpc takes no lease under
// two minutes for what it is.
func (w *world) renew() {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "udhcpc.pid"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.run("kill", "-USR1", strings.TrimSpace(string(b)))
}

func (w *world) bound(args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := w.background(w.udhcpc(append(args, "-p", filepath.Join(w.dir, "udhcpc.pid"))...))
	w.eventually("bound", 8*time.Second, func() bool { return w.told("bound") != nil })
	return cmd
}

// TestRenew: the client renews by unicast from a kernel socket over veth, so
// its UDP checksum is never completed. Nobody tells it "port unreachable".
func TestRenew(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	w.bound()
	w.renew()
	w.eventually("renewed", 8*time.Second, func() bool { return w.told("renew") != nil })
	w.expect("renew", map[string]string{"ip": guestIP, "lease": "3600"})
	w.expectCounter("dhcp_ack_renewing_total", 1)
	w.expectCounter("dhcp_malformed_checksum_total", 0)
	if l := w.report().Leases; len(l) != 1 || !l[0].LastRenewed.After(l[0].FirstSeen) {
		t.Errorf("leases are %v", l)
	}
	if got := w.unreachables(); got != "0" {
		t.Errorf("the router's kernel sent %s destination unreachable", got)
	}
}

// unreachables is how many the router's kernel sent.
func (w *world) unreachables() string {
	var names []string
	for line := range strings.Lines(w.run("ip", "netns", "exec", w.router, "cat", "/proc/net/snmp")) {
		fields := strings.Fields(line)
		if fields[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "OutDestUnreachs" {
				return fields[i]
			}
		}
	}
	w.t.Fatal("no ICMP counters")
	return ""
}

// TestRenewMovedAddress: a guest that is up learns of its new address when it
// renews, and not by waiting for its lease to end.
func TestRenewMovedAddress(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	w.bound()
	w.forget("bound")
	moved := network()
	moved.Bindings[0].IP = moved.Bindings[0].IP.Next()
	w.apply(moved)
	w.renew()
	w.eventually("bound to the new address", 16*time.Second, func() bool { return w.told("bound")["ip"] == "10.7.0.17" })
	w.expectCounter("dhcp_nak_renewing_total", 1)
}

// TestLinkReplaced: the nic is taken out and put back under the server, and
// nobody tells the server.
func TestLinkReplaced(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	before := w.run("ip", "-n", w.router, "-o", "link", "show", "guest0")
	w.run("ip", "-n", w.router, "link", "del", "guest0")
	w.eventually("the loss is reported", 5*time.Second, func() bool { return !w.report().Status.Ready })
	if e := w.report().Status.Error; !strings.Contains(e, routerMAC) {
		t.Errorf("the error does not name the nic: %s", e)
	}
	w.plug(w.router, "guest0", routerMAC)
	if after := w.run("ip", "-n", w.router, "-o", "link", "show", "guest0"); before[:4] == after[:4] {
		t.Logf("the same index again: %s", after)
	}
	w.eventually("it is served again", 5*time.Second, func() bool { return w.report().Status.Ready })
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil { // the new nic has no address at all
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	w.expect("bound", map[string]string{"ip": guestIP})
}

// TestLinkDownAndRenamed: down and up, another name, other addresses: served
// all the same.
func TestLinkDownAndRenamed(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	w.run("ip", "-n", w.router, "link", "set", "guest0", "down")
	w.run("ip", "-n", w.router, "link", "set", "guest0", "name", "eth7")
	w.run("ip", "-n", w.router, "addr", "flush", "dev", "eth7")
	w.run("ip", "-n", w.router, "addr", "add", "192.0.2.1/24", "dev", "eth7")
	w.eventually("the loss is reported", 5*time.Second, func() bool { return !w.report().Status.Ready })
	w.run("ip", "-n", w.router, "link", "set", "eth7", "up")
	w.eventually("it is served again", 5*time.Second, func() bool { return w.report().Status.Ready })
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	w.expect("bound", map[string]string{"ip": guestIP, "serverid": "10.7.0.1"})
}

// TestConflict: another station has the guest's address. The guest declines it
// (-a: it asks by ARP first), and whoever watches the router is told.
func TestConflict(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	w.run("ip", "-n", w.wires, "addr", "add", guestIP+"/24", "dev", "br0")
	if out, err := w.udhcpc("-n", "-q", "-a", "-A", "1").CombinedOutput(); err == nil {
		t.Fatalf("udhcpc took an address in use:\n%s", out)
	}
	r := w.report()
	if len(r.Events) != 1 || r.Events[0].Type != "address-conflict" || !strings.Contains(r.Events[0].Detail, guestMAC) {
		t.Errorf("events are %v", r.Events)
	}
	if len(r.Leases) != 0 || r.Status.Counters["dhcp_decline_total"] == 0 {
		t.Errorf("leases %v, counters %v", r.Leases, r.Status.Counters)
	}
}

// TestClientReleases when it ends.
func TestClientReleases(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	cmd := w.bound("-R")
	if l := w.report().Leases; len(l) != 1 {
		t.Fatalf("leases are %v", l)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.eventually("released", 5*time.Second, func() bool { return len(w.report().Leases) == 0 })
}
