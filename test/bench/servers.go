package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// server is a program on the wire that serves a content.
type server struct {
	name    string
	command []string
	files   map[string]string // written into the lab's directory first
	ready   []string          // command that succeeds, in the client's namespace, once the server does
}

// start waits until the server is ready.
func (s server) start(ctx context.Context, l *lab.Lab) error {
	if _, err := exec.LookPath(s.command[0]); err != nil {
		return fmt.Errorf("%w; hack/setup.sh bench installs it", err)
	}
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(l.Dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := l.Start(ctx, serverNS, s.name, pinned(serverCPU, s.command...)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for l.Running(s.name) {
		if _, err := l.In(ctx, clientNS, s.ready...); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer within 30 s: %s", s.name, tail(l.Log(s.name)))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s ended: %s", s.name, tail(l.Log(s.name)))
}

// leases is a probe that a DHCP server is ready: the first guest's exchange.
func (b *bench) leases() []string {
	return []string{b.self, "dhcp-load", "-guests", "1", "-rate", "20", "-seconds", "0.1", "-patience", "200ms"}
}

// resolves is a probe that a DNS server is ready.
func resolves() []string {
	return []string{"dig", "+short", "+time=1", "+tries=1", "@" + serverIP.String(), "guest-00000.bench.internal", "A"}
}

// ours is the agent itself, as a router has it, without a router around it.
func (b *bench) ours(l *lab.Lab, c agentv1.Content, ready []string) (server, error) {
	spec, err := json.Marshal(agentv1.RouterSpec{Version: agentv1.SpecVersion, RouterUUID: "bench", Content: c})
	if err != nil {
		return server{}, err
	}
	return server{
		name: "sluice", files: map[string]string{"spec.json": string(spec)}, ready: ready,
		command: []string{filepath.Join(b.bin, "sluice-agent"), "run", "--spec", filepath.Join(l.Dir, "spec.json"), "--state", filepath.Join(l.Dir, "state")},
	}, nil
}

// dnsmasq serves a content's bindings and names; leases are not written to disk
// (ours are not either), and addresses are not probed before they are offered.
func dnsmasq(l *lab.Lab, c agentv1.Content, ready []string) server {
	var conf, hosts strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	line("keep-in-foreground\nuser=root\nbind-interfaces\ninterface=eth0\nno-resolv\nno-hosts\nno-ping\nlog-facility=-\nquiet-dhcp")
	line("dhcp-leasefile=%s\nleasefile-ro", filepath.Join(l.Dir, "dnsmasq.leases"))
	line("pid-file=\ndhcp-authoritative\ndhcp-lease-max=20000")
	for _, n := range c.DHCP {
		line("dhcp-range=%s,static,%s,%d", n.Subnet.Masked().Addr(), "255.255.0.0", n.LeaseSeconds)
		line("domain=%s\ndhcp-option=option:mtu,%d", n.Domain, n.MTU)
		for _, b := range n.Bindings {
			line("dhcp-host=%s,%s,%s", b.MAC, b.IP, b.Hostname)
		}
	}
	for _, n := range c.DNS {
		line("local=/%s/\naddn-hosts=%s", n.Domain, filepath.Join(l.Dir, "dnsmasq.hosts"))
		for _, r := range n.Records {
			fmt.Fprintf(&hosts, "%s %s.%s %s\n", r.IP, r.Name, n.Domain, r.Name)
		}
	}
	return server{
		name: "dnsmasq", command: []string{"dnsmasq", "--conf-file=" + filepath.Join(l.Dir, "dnsmasq.conf")}, ready: ready,
		files: map[string]string{"dnsmasq.conf": conf.String(), "dnsmasq.hosts": hosts.String()},
	}
}

// kea serves the bindings as reservations; its leases stay in memory, as ours.
func kea(l *lab.Lab, c agentv1.Content, ready []string) (server, error) {
	type object = map[string]any
	option := func(name, data string) object { return object{"name": name, "data": data} }
	n := c.DHCP[0]
	var reserved []object
	for _, b := range n.Bindings {
		reserved = append(reserved, object{"hw-address": b.MAC, "ip-address": b.IP, "hostname": b.Hostname})
	}
	conf, err := json.Marshal(object{"Dhcp4": object{
		"interfaces-config": object{"interfaces": []string{"eth0"}, "dhcp-socket-type": "raw"},
		"lease-database":    object{"type": "memfile", "persist": false},
		"valid-lifetime":    n.LeaseSeconds,
		"subnet4": []object{{
			"id": 1, "subnet": n.Subnet, "reservations": reserved,
			"reservations-in-subnet": true, "reservations-out-of-pool": true, "reservations-global": false,
			"option-data": []object{
				option("routers", n.Router.String()), option("domain-name-servers", n.DNS[0].String()),
				option("domain-name", n.Domain), option("interface-mtu", fmt.Sprint(n.MTU)),
			},
		}},
		"loggers": []object{{"name": "kea-dhcp4", "severity": "ERROR", "output_options": []object{{"output": "stdout"}}}},
	}})
	if err != nil {
		return server{}, err
	}
	return server{
		name: "kea", files: map[string]string{"kea.json": string(conf)}, ready: ready,
		// Pid and lock file go where the lab is removed with them.
		command: []string{"env", "KEA_PIDFILE_DIR=" + l.Dir, "KEA_LOCKFILE_DIR=" + l.Dir, "kea-dhcp4", "-c", filepath.Join(l.Dir, "kea.json")},
	}, nil
}

// unbound has the names as local data.
func unbound(l *lab.Lab, c agentv1.Content, ready []string) server {
	var conf strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	line("server:\n do-daemonize: no\n use-syslog: no\n logfile: \"\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"")
	line(" directory: %q\n interface: %s\n access-control: %s allow\n module-config: iterator\n incoming-num-tcp: 200", l.Dir, serverIP, subnet)
	n := c.DNS[0]
	line(" local-zone: \"%s.\" static", n.Domain)
	for _, r := range n.Records {
		line(" local-data: \"%s.%s. 60 IN A %s\"", r.Name, n.Domain, r.IP)
	}
	line("remote-control:\n control-enable: no")
	return server{
		name: "unbound", command: []string{"unbound", "-d", "-c", filepath.Join(l.Dir, "unbound.conf")}, ready: ready,
		files: map[string]string{"unbound.conf": conf.String()},
	}
}
