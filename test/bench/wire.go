package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// The two ends of the wire: a server's namespace and a client's, a veth pair
// between them.
const (
	serverNS  = "server"
	clientNS  = "client"
	serverMAC = "02:95:00:00:00:01"
	clientMAC = "02:95:00:00:00:02"
)

// serverCPU is the one CPU of each server, as a router has one by default; the
// load comes from another.
const (
	serverCPU = 0
	clientCPU = 1
)

// pinned is a command that runs on one CPU, if the machine has it.
func pinned(cpu int, command ...string) []string {
	if cpu >= runtime.NumCPU() {
		return command
	}
	return append([]string{"taskset", "-c", strconv.Itoa(cpu)}, command...)
}

var (
	serverIP = netip.MustParseAddr("10.95.0.1")
	clientIP = netip.MustParseAddr("10.95.255.2")
	subnet   = netip.MustParsePrefix("10.95.0.0/16")
)

// wired makes the wire, in place of an old one.
func (b *bench) wired(ctx context.Context) (*lab.Lab, error) {
	l := b.wire
	for _, ns := range []string{serverNS, clientNS} {
		if err := l.AddNamespace(ctx, ns); err != nil {
			return nil, err
		}
	}
	server, client := l.Namespace(serverNS), l.Namespace(clientNS)
	for _, args := range [][]string{
		{"link", "add", "eth0", "netns", server, "address", serverMAC, "type", "veth", "peer", "name", "eth0", "address", clientMAC, "netns", client},
		{"-n", server, "addr", "add", netip.PrefixFrom(serverIP, subnet.Bits()).String(), "dev", "eth0"},
		{"-n", client, "addr", "add", netip.PrefixFrom(clientIP, subnet.Bits()).String(), "dev", "eth0"},
		{"-n", server, "link", "set", "eth0", "up"},
		{"-n", client, "link", "set", "eth0", "up"},
	} {
		if _, err := l.Host(ctx, append([]string{"ip"}, args...)...); err != nil {
			return nil, err
		}
	}
	// Checksums left to hardware that is not there are refused by servers that
	// read packets raw.
	for _, ns := range []string{serverNS, clientNS} {
		if _, err := l.In(ctx, ns, "ethtool", "-K", "eth0", "tx", "off"); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// guests are what every server on the wire serves: n fixed addresses with
// names, from 10.95.1.0 on.
func guests(n int) agentv1.Content {
	dhcp := agentv1.DHCPNetwork{
		Interface: serverMAC, ServerID: serverIP, Subnet: subnet, Router: serverIP, DNS: []netip.Addr{serverIP},
		Domain: "bench.internal", MTU: 1500, LeaseSeconds: 86400,
	}
	dns := agentv1.DNSNetwork{Interface: serverMAC, Listen: []netip.Addr{serverIP}, Domain: dhcp.Domain, Subnet: subnet}
	for i := range n {
		name := fmt.Sprintf("guest-%05d", i)
		dhcp.Bindings = append(dhcp.Bindings, agentv1.DHCPBinding{MAC: guestMAC(i).String(), IP: guestIP(i), Hostname: name, IsDefault: true})
		dns.Records = append(dns.Records, agentv1.DNSRecord{Name: name, IP: guestIP(i)})
	}
	return agentv1.Content{
		Hostname: "bench",
		Interfaces: []agentv1.Interface{{
			Name: "eth0", Roles: []agentv1.Role{agentv1.RoleGuest}, MAC: serverMAC,
			Addresses: []netip.Prefix{netip.PrefixFrom(serverIP, subnet.Bits())}, MTU: 1500, L3NetworkUUID: "bench",
		}},
		DHCP: []agentv1.DHCPNetwork{dhcp}, DNS: []agentv1.DNSNetwork{dns},
	}
}

func guestIP(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 95, byte(1 + i>>8), byte(i)})
}

// cpuTime is the user and system time of a process, to the nanosecond: the sum
// that /proc/PID/stat shows in hundredths. The clock of another process is
// named as in glibc's clock_getcpuclockid(3).
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var ts unix.Timespec
	if pid == 0 {
		return 0, errors.New("read CPU time: the server ended")
	}
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, fmt.Errorf("read CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// settling is how long a server has been up before it is measured: the agent
// looks through the kernel's connections in the second after its first spec, and
// the host has a table for them a hundred times as large as a router's.
const settling = 3 * time.Second

// measured runs a server on the wire and returns its CPU time per unit of the
// work that load says was done.
func measured(ctx context.Context, l *lab.Lab, s server, load func(context.Context) (done int, err error)) (time.Duration, error) {
	if err := s.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(s.name, 5*time.Second)
	time.Sleep(settling)
	before, err := cpuTime(l.PID(s.name))
	if err != nil {
		return 0, err
	}
	done, err := load(ctx)
	if err != nil {
		return 0, fmt.Errorf("load on %s: %w; it said: %s", s.name, err, tail(l.Log(s.name)))
	}
	after, err := cpuTime(l.PID(s.name))
	if err != nil || done == 0 {
		return 0, fmt.Errorf("%s served %d: %w; it said: %s", s.name, done, errors.Join(err, errNothing(done)), tail(l.Log(s.name)))
	}
	return (after - before) / time.Duration(done), nil
}

func errNothing(done int) error {
	if done == 0 {
		return errors.New("no answers")
	}
	return nil
}

func tail(s string) string { return s[max(0, len(s)-1000):] }
