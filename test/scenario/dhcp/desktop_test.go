package dhcp

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// private makes what these clients write somebody else's: file systems of their
// own, and a read-only /sys, which says that there is no udev to wait for.
const private = `set -e
for d in %s; do mkdir -p $d; mount -t tmpfs none $d; done
mount --bind /sys /sys
mount -o remount,bind,ro /sys
`

// alone runs a shell script in the guest with private directories.
func (w *world) alone(directories, script string) {
	w.t.Helper()
	out, err := w.in(w.guest, "unshare", "-m", "sh", "-c", strings.Replace(private, "%s", directories, 1)+script).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

// settings reads lines NAME=value that a client left behind.
func (w *world) settings(file string) map[string]string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			all[k] = v
		}
	}
	return all
}

func (w *world) same(got, want map[string]string) {
	w.t.Helper()
	for k, v := range want {
		if got[k] != v {
			w.t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
}

// furnished is the network with all that can be told.
func furnished() agentv1.DHCPNetwork {
	n := network()
	n.Routes = []agentv1.Route{{Prefix: netip.MustParsePrefix("172.20.0.0/14"), NextHop: netip.MustParseAddr("10.7.0.200")}}
	n.Bindings[0].Options = map[uint8]string{}
	for code, v := range map[uint8]string{
		42: "\x0a\x07\x00\xc8", 66: "10.7.0.200", 67: "pxelinux.0", 101: "Europe/Berlin",
		224: "\x00\xff\x10", // anything, for the site's own
	} {
		n.Bindings[0].Options[code] = hex.EncodeToString([]byte(v))
	}
	return n
}

// TestNetworkd runs systemd's client without systemd: it needs neither its
// process 1 nor a bus for DHCP.
func TestNetworkd(t *testing.T) {
	const networkd = "/lib/systemd/systemd-networkd"
	needs(t, networkd, "systemd")
	w := newWorld(t)
	w.apply(furnished())
	w.alone("/run", `
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/network
chown -R systemd-network /run/systemd/netif
cat > /run/systemd/network/eth0.network <<-E
	[Match]
	Name=eth0
	[Network]
	DHCP=ipv4
	LinkLocalAddressing=no
	IPv6AcceptRA=no
	[DHCPv4]
	UseMTU=yes
	UseDomains=yes
	UseTimezone=yes
	RequestOptions=101
	E
`+networkd+` &
for i in $(seq 80); do grep -qs ADMIN_STATE=configured /run/systemd/netif/links/* && break; sleep 0.1; done
cat /run/systemd/netif/leases/* > `+w.dir+`/lease
{ ip -o addr show eth0; ip route; ip -o link show eth0; } > `+w.dir+`/kernel
kill $!; wait $!
`)
	w.same(w.settings("lease"), map[string]string{
		"ADDRESS": guestIP, "NETMASK": "255.255.255.0", "ROUTER": "", "SERVER_ADDRESS": "10.7.0.1", "MTU": "1420",
		"T1": "1800", "T2": "3150", "LIFETIME": "3600", "DNS": "10.7.0.1 9.9.9.9", "NTP": "10.7.0.200", "DOMAINNAME": "guest.example",
		"DOMAIN_SEARCH_LIST": "guest.example", "HOSTNAME": "web-1", "TIMEZONE": "Europe/Berlin",
	})
	w.kernelHas("mtu 1420", "inet "+guestIP+"/24", "default via 10.7.0.1", "172.20.0.0/14 via 10.7.0.200")
	w.expectCounter("dhcp_release_total", 1) // its last word
}

// kernelHas looks for what a client did with what it was told.
func (w *world) kernelHas(wants ...string) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "kernel"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, want := range wants {
		if !strings.Contains(string(b), want) {
			w.t.Errorf("the guest's kernel has no %q:\n%s", want, b)
		}
	}
}

// networkManager is where hack/setup.sh unpacks it.
const networkManager = "/var/cache/sluice/network-manager/usr/sbin/NetworkManager"

// TestNetworkManager runs its internal client the way an initial RAM disk does,
// without a bus.
func TestNetworkManager(t *testing.T) {
	needs(t, networkManager, "network-manager, unpacked by hack/setup.sh")
	w := newWorld(t)
	w.apply(furnished())
	w.alone("/run /var/lib", `
mkdir -p /var/lib/NetworkManager /run/NetworkManager/system-connections
printf '[main]\nplugins=keyfile\ndhcp=internal\nrc-manager=unmanaged\n' > /run/NetworkManager.conf
cat > /run/NetworkManager/system-connections/eth0.nmconnection <<-E
	[connection]
	id=eth0
	type=ethernet
	interface-name=eth0
	[ipv4]
	method=auto
	[ipv6]
	method=disabled
	E
chmod 600 /run/NetworkManager/system-connections/*
`+networkManager+` --config=/run/NetworkManager.conf --config-dir=/run/none --configure-and-quit=initrd --no-daemon
grep -h ^dhcp4 /run/NetworkManager/devices/* > `+w.dir+`/lease
{ ip -o addr show eth0; ip route; ip -o link show eth0; } > `+w.dir+`/kernel
`)
	w.same(w.settings("lease"), map[string]string{
		"dhcp4.ip_address": guestIP, "dhcp4.subnet_mask": "255.255.255.0", "dhcp4.dhcp_server_identifier": "10.7.0.1",
		"dhcp4.dhcp_lease_time": "3600", "dhcp4.domain_name": "guest.example", "dhcp4.domain_search": "guest.example",
		"dhcp4.domain_name_servers": "10.7.0.1 9.9.9.9", "dhcp4.interface_mtu": "1420", "dhcp4.host_name": "web-1",
		"dhcp4.broadcast_address": "10.7.0.255", "dhcp4.ntp_servers": "10.7.0.200", "dhcp4.routers": "",
		"dhcp4.rfc3442_classless_static_routes": "172.20.0.0/14 10.7.0.200 0.0.0.0/0 10.7.0.1",
	})
	w.kernelHas("mtu 1420", "inet "+guestIP+"/24", "default via 10.7.0.1", "172.20.0.0/14 via 10.7.0.200")
}

// TestExtraOptions: what a nic is given besides reaches its guest under its
// number, asked for or not.
func TestExtraOptions(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(furnished())
	if out, err := w.udhcpc("-n", "-q", "-O", "ntpsrv", "-O", "tftp", "-O", "bootfile").CombinedOutput(); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	w.expect("bound", map[string]string{
		"ntpsrv": "10.7.0.200", "tftp": "10.7.0.200", "bootfile": "pxelinux.0", "siaddr": "10.7.0.200", "boot_file": "pxelinux.0",
		"opt224": "00ff10", "staticroutes": "172.20.0.0/14 10.7.0.200 0.0.0.0/0 10.7.0.1",
	})
}
