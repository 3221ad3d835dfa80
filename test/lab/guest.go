package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Guest is a namespace that stands for a tenant's VM.
type Guest struct {
	*Lab
	Name string
	MAC  string
}

// AddGuest makes a namespace with one nic on a bridge.
func (l *Lab) AddGuest(ctx context.Context, name, mac, bridge string) (*Guest, error) {
	g := &Guest{Lab: l, Name: name, MAC: mac}
	if err := l.AddNamespace(ctx, name); err != nil {
		return nil, err
	}
	if err := l.Veth(ctx, name, name, "eth0", mac); err != nil {
		return nil, err
	}
	_, err := l.Host(ctx, "ip", "link", "set", l.Link(name), "master", bridge)
	return g, err
}

// leaseScript is what dhclient calls: it writes down what the server said and
// configures the nic, as Debian's own script would, but only inside the
// namespace.
const leaseScript = `#!/bin/sh
case "$reason" in
BOUND|RENEW|REBIND|REBOOT)
	ip addr replace "$new_ip_address/$new_subnet_mask" dev "$interface"
	[ -n "$new_interface_mtu" ] && ip link set "$interface" mtu "$new_interface_mtu"
	for router in $new_routers; do ip route replace default via "$router" dev "$interface"; done
	{ [ -n "$new_domain_name" ] && echo "search $new_domain_name"
	  for server in $new_domain_name_servers; do echo "nameserver $server"; done; } > "$SL_RESOLV"
	env > "$SL_LEASE.new" && mv "$SL_LEASE.new" "$SL_LEASE" # last: whoever waits for it finds the rest done
	;;
EXPIRE|FAIL|RELEASE|STOP) ip addr flush dev "$interface" ;;
esac
exit 0
`

// leaseConfig asks for everything that a router gives.
const leaseConfig = `option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
option ms-classless-static-routes code 249 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search,
	host-name, interface-mtu, dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time,
	rfc3442-classless-static-routes, ms-classless-static-routes, ntp-servers;
timeout 60;
retry 5;
initial-interval 1;
backoff-cutoff 2;
`

// Lease runs Debian's dhclient until it has a lease, leaves it running to
// renew it, and returns what the server said, by dhclient's names (ip_address,
// routers, domain_name_servers, ...).
func (g *Guest) Lease(ctx context.Context) (map[string]string, error) {
	g.Stop("dhclient-"+g.Name, 0)
	lease := filepath.Join(g.Dir, g.Name+".lease")
	_ = os.Remove(lease)
	etc := filepath.Join("/etc/netns", g.Namespace(g.Name))
	script, config := filepath.Join(g.Dir, "dhclient-script"), filepath.Join(g.Dir, "dhclient.conf")
	if err := firstError(
		os.MkdirAll(etc, 0o755),
		os.WriteFile(script, []byte(leaseScript), 0o700),
		os.WriteFile(config, []byte(leaseConfig), 0o600),
		os.WriteFile(filepath.Join(etc, "resolv.conf"), nil, 0o644),
	); err != nil {
		return nil, err
	}
	env := []string{"env", "SL_LEASE=" + lease, "SL_RESOLV=" + filepath.Join(etc, "resolv.conf")}
	flags := []string{
		"-sf", script, "-cf", config, "-lf", filepath.Join(g.Dir, g.Name+".leases"),
		"-pf", filepath.Join(g.Dir, g.Name+".dhclient-pid"),
		"-e", "SL_LEASE=" + lease, "-e", "SL_RESOLV=" + filepath.Join(etc, "resolv.conf"), "-d", "eth0",
	}
	if err := g.Start(ctx, g.Name, "dhclient-"+g.Name, append(append(env, "dhclient"), flags...)...); err != nil {
		return nil, err
	}
	if err := until(ctx, func() bool { _, err := os.Stat(lease); return err == nil }); err != nil {
		return nil, fmt.Errorf("guest %s got no lease: %w; dhclient said: %s", g.Name, err, g.Log("dhclient-"+g.Name))
	}
	return readLease(lease)
}

func readLease(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lease := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && strings.HasPrefix(key, "new_") {
			lease[strings.TrimPrefix(key, "new_")] = value
		}
	}
	return lease, nil
}

// Exec runs a command in the guest.
func (g *Guest) Exec(ctx context.Context, args ...string) (string, error) {
	return g.In(ctx, g.Name, args...)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
