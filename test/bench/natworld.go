package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// rack is a machine outside and one inside, and routers side by side between
// them: each router has a namespace, and two networks that it shares with
// nobody. Router k's are
//
//	10.97.k.0/24        public; .1 is the router, .2 the machine outside
//	10.(110+k).0.0/16   its public addresses, which outside finds through .1
//	10.(120+k).0.0/16   guests; .0.1 is the router
type rack struct {
	*lab.Lab
	routers []string // names of their namespaces; the first is router 1
}

const (
	outsideNS = "outside"
	insideNS  = "inside"
	// echoPort is where the machine inside listens on all of its addresses.
	echoPort = 7
	// rackDir is where a killed run left what has to be removed.
	rackDir = "/run/" + instance + "-nat"
	// stateDir has the agents' ledgers, on a tmpfs as in a router.
	stateDir = "/dev/shm/" + instance + "-nat"
)

// newRack makes routers that do nothing yet; close removes all.
func (b *bench) newRack(ctx context.Context, routers ...string) (*rack, error) {
	s := &rack{Lab: &lab.Lab{Prefix: prefix, Dir: rackDir}, routers: routers}
	if err := s.close(); err != nil {
		return nil, fmt.Errorf("remove an earlier run: %w", err)
	}
	err := s.build(ctx)
	if err != nil {
		err = errors.Join(err, s.close())
	}
	return s, err
}

func (s *rack) close() error {
	return errors.Join(s.Down(context.Background()), os.RemoveAll(stateDir))
}

func (s *rack) build(ctx context.Context) error {
	for _, ns := range append([]string{outsideNS, insideNS}, s.routers...) {
		if err := s.AddNamespace(ctx, ns); err != nil {
			return err
		}
		// Forwards only once its router says so.
		if _, err := s.In(ctx, ns, "sysctl", "-qw", "net.ipv4.ip_forward=0"); err != nil {
			return err
		}
	}
	for _, name := range s.routers {
		if err := s.join(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// join puts a router between the two machines; its own ends are as a new
// machine's, down and without addresses.
func (s *rack) join(ctx context.Context, name string) error {
	k := s.number(name)
	outside, inside, router := s.Namespace(outsideNS), s.Namespace(insideNS), s.Namespace(name)
	for _, line := range []string{
		fmt.Sprintf("link add public address %s netns %s type veth peer name %s netns %s", publicMAC(k), router, name, outside),
		fmt.Sprintf("link add guest address %s netns %s type veth peer name %s netns %s", privateMAC(k), router, name, inside),
		fmt.Sprintf("-n %s addr add 10.97.%d.2/24 dev %s", outside, k, name),
		fmt.Sprintf("-n %s link set %s up", outside, name),
		fmt.Sprintf("-n %s route add 10.%d.0.0/16 via %s", outside, 110+k, routerOf(k)),
		fmt.Sprintf("-n %s link set %s up", inside, name),
	} {
		if _, err := s.Host(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return s.house(ctx, name, guestOf(k, 0))
}

// house gives the machine inside a guest's address behind a router.
func (s *rack) house(ctx context.Context, name string, guest netip.Addr) error {
	k, inside := s.number(name), s.Namespace(insideNS)
	for _, line := range []string{
		fmt.Sprintf("-n %s addr add %s/16 dev %s", inside, guest, name),
		fmt.Sprintf("-n %s route replace 10.97.%d.0/24 via 10.%d.0.1 src %s", inside, k, 120+k, guest),
	} {
		if _, err := s.Host(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *rack) number(name string) int {
	for i, r := range s.routers {
		if r == name {
			return i + 1
		}
	}
	panic("no router " + name)
}

func publicMAC(k int) string  { return fmt.Sprintf("02:97:00:00:%02x:01", k) }
func privateMAC(k int) string { return fmt.Sprintf("02:97:00:00:%02x:02", k) }

// routerOf is router k's own public address.
func routerOf(k int) netip.Addr { return netip.AddrFrom4([4]byte{10, 97, byte(k), 1}) }

// guestOf and vipOf are those of mapping i of router k; up to 60,000.
func guestOf(k, i int) netip.Addr { return address(120+k, i) }
func vipOf(k, i int) netip.Addr   { return address(110+k, i) }

func address(second, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(second), byte(1 + i>>8), byte(i)})
}

// sharedVIP is the public address whose ports are forwarded.
func sharedVIP(k int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(110 + k), 0, 9}) }

// forwardedPort is the public port of forwarding i; up to 60,000.
func forwardedPort(i int) uint16 { return uint16(1024 + i) }

// mapped is a router's content with so many EIPs and forwarded ports, each of
// another guest, and general source NAT for all.
func mapped(k, eips, forwards int) agentv1.Content {
	prefix := netip.MustParsePrefix
	guests := prefix(fmt.Sprintf("10.%d.0.0/16", 120+k))
	router := routerOf(k)
	c := agentv1.Content{
		Hostname: "bench",
		Interfaces: []agentv1.Interface{
			{Name: "public", Roles: []agentv1.Role{agentv1.RolePublic}, MAC: publicMAC(k), MTU: 1500, L3NetworkUUID: "public",
				Addresses: []netip.Prefix{netip.PrefixFrom(router, 24)}, Gateway: router.Next()},
			{Name: "guest", Roles: []agentv1.Role{agentv1.RoleGuest}, MAC: privateMAC(k), MTU: 1500, L3NetworkUUID: "guest",
				Addresses: []netip.Prefix{netip.PrefixFrom(guests.Addr().Next(), 16)}},
		},
		SNAT: []agentv1.SNAT{{Source: guests, Interface: publicMAC(k), Address: router}},
	}
	for i := range eips {
		c.EIPs = append(c.EIPs, eip(k, i))
	}
	for i := range forwards {
		c.PortForwardings = append(c.PortForwardings, agentv1.PortForwarding{
			UUID: fmt.Sprintf("0199b2a4-0000-7000-9000-%012d", i), Interface: publicMAC(k), GuestInterface: privateMAC(k),
			VIP: sharedVIP(k), Protocol: "tcp", VIPPortStart: forwardedPort(i), VIPPortEnd: forwardedPort(i),
			GuestIP: guestOf(k, i), PrivatePortStart: echoPort,
		})
	}
	return c
}

func eip(k, i int) agentv1.EIP {
	return agentv1.EIP{
		UUID: fmt.Sprintf("0199b2a4-0000-7000-8000-%012d", i), Interface: publicMAC(k), GuestInterface: privateMAC(k),
		VIP: vipOf(k, i), GuestIP: guestOf(k, i), Order: int64(i),
	}
}

// ours starts the agent as a router, and waits until the content is applied.
func (s *rack) ours(ctx context.Context, b *bench, name string, c agentv1.Content) error {
	dir := filepath.Join(s.Dir, name)
	agent, err := b.ours(&lab.Lab{Prefix: s.Prefix, Dir: dir}, c, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for file, text := range agent.files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := s.Start(ctx, name, name, agent.command...); err != nil {
		return err
	}
	return s.await(ctx, name, "sluice-agent: ready", "spec applied")
}

// await waits until a program has said all of these.
func (s *rack) await(ctx context.Context, name string, texts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		log, missing := s.Log(name), ""
		for _, text := range texts {
			if !strings.Contains(log, text) {
				missing = text
			}
		}
		if missing == "" {
			return nil
		}
		if !s.Running(name) {
			return fmt.Errorf("%s ended: %s", name, tail(s.Log(name)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not say %q: %s", name, missing, tail(log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// restore adds rules of iptables to a router.
func (s *rack) restore(ctx context.Context, name, rules string) error {
	file := filepath.Join(s.Dir, name+".rules")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	_, err := s.In(ctx, name, "iptables-nft-restore", "--noflush", file)
	return err
}
