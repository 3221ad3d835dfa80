package nat

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// ping asks for an ICMP echo.
func ping(ns *kerneltest.Namespace, to string, patience time.Duration) error {
	return pingFrom(ns, "0.0.0.0", to, patience)
}

func pingFrom(ns *kerneltest.Namespace, source, to string, patience time.Duration) error {
	var c *icmp.PacketConn
	var err error
	ns.Do(func() { c, err = icmp.ListenPacket("ip4:icmp", source) })
	if err != nil {
		return err
	}
	defer c.Close()
	id := os.Getpid() & 0xffff
	b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: 1, Data: []byte("sluice")}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b = make([]byte, 1500) // the IP header comes in, too
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return fmt.Errorf("ping %s: %w", to, err)
		}
		m, err := icmp.ParseMessage(ipv4.ICMPTypeEcho.Protocol(), b[:n])
		if err != nil {
			return err
		}
		if e, ok := m.Body.(*icmp.Echo); ok && m.Type == ipv4.ICMPTypeEchoReply && e.ID == id && from.String() == to {
			return nil
		}
	}
}

func TestEcho(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	w.internet.Run(t, "ip route add 192.0.2.0/24 via "+routerIP)
	for name, p := range map[string]struct {
		from *kerneltest.Namespace
		to   string
	}{
		"guest to the world": {w.b, farIP}, "guest with an eip to the world": {w.a, farIP}, "world to an eip": {w.internet, vipA},
		"world to the router": {w.internet, routerIP}, "guest to its gateway": {w.b, routerGuest}, "guest to the router's public side": {w.b, routerIP},
		"guest to an eip": {w.b, vipA}, "guest to its own eip": {w.a, vipA}, "management to the router": {w.management, routerMgmt},
	} {
		if err := ping(p.from, p.to, soon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string]struct {
		from *kerneltest.Namespace
		to   string
	}{
		"guest to management": {w.b, managementIP}, "guest to the router's management side": {w.b, routerMgmt},
		"world to a guest": {w.internet, bIP}, "world to the router's guest side": {w.internet, routerGuest},
		"world to the router's management side": {w.internet, routerMgmt}, "management to a guest": {w.management, aIP},
		"management to the router's guest side": {w.management, routerGuest}, "management to an eip": {w.management, vipA},
	} {
		if err := ping(p.from, p.to, never); err == nil {
			t.Errorf("%s is answered", name)
		}
	}
}
