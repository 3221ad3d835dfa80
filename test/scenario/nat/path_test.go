package nat

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

// Behind the internet's first router there is one more, by a narrower cable.
const (
	beyondIP  = "192.88.99.10"
	narrowMTU = 1300
)

func (w *world) addBeyond() *kerneltest.Namespace {
	beyond := kerneltest.NewNamespace(w.t, "z")
	w.cable(w.internet, "z0", "02:00:00:00:00:1a", beyond, "z0", "192.88.99.10/24")
	w.internet.Run(w.t, "ip addr add 192.88.99.1/24 dev z0")
	w.internet.Run(w.t, fmt.Sprintf("ip link set z0 mtu %d", narrowMTU))
	beyond.Run(w.t, fmt.Sprintf("ip link set z0 mtu %d", narrowMTU))
	w.internet.Run(w.t, "ip link set z0 up")
	w.internet.Run(w.t, "sysctl -qw net.ipv4.ip_forward=1")
	// It would answer at most one error a second to a peer.
	w.internet.Run(w.t, "sysctl -qw net.ipv4.icmp_ratelimit=0")
	beyond.Run(w.t, "ip route add default via 192.88.99.1")
	return beyond
}

// TestPathMTU: large transfers end both ways where a cable on the way is
// narrower than the guests', and errors that say so find whom they concern.
func TestPathMTU(t *testing.T) {
	w := newWorld(t)
	beyond := w.addBeyond()
	c := content()
	c.Interfaces[1].MTU = 1400
	w.internet.Run(t, "ip link set i0 mtu 1400")
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 8080, 8080, bIP, 80)}
	w.apply(c)
	for _, ns := range []*kerneltest.Namespace{w.a, w.b, beyond} {
		store(t, ns, ":80")
	}
	for name, way := range map[string]struct {
		from *kerneltest.Namespace
		to   string
	}{
		"general SNAT": {w.b, beyondIP + ":80"}, "EIP out": {w.a, beyondIP + ":80"},
		"EIP in": {beyond, vipA + ":80"}, "port forwarding": {beyond, vipP + ":8080"}, "hairpin": {w.b, vipA + ":80"},
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := exchange(way.from, way.to); err != nil {
				t.Errorf("of %d bytes each way %d: %v", volume, n, err)
			}
		})
	}
	w.reachesWithin(w.b, beyondIP+":80", 1400) // the router's own cable
	w.reachesWithin(w.a, beyondIP+":80", 1400)
	serve(t, beyond, "beyond", ":9")
	for name, from := range map[string]*kerneltest.Namespace{"SNAT": w.b, "EIP": w.a} {
		t.Run("fragmentation needed beyond, "+name, func(t *testing.T) {
			if mtu := w.learns(from, beyondIP+":9"); mtu != narrowMTU {
				t.Errorf("the guest learns of %d bytes, want %d", mtu, narrowMTU)
			}
		})
	}
	t.Run("fragmentation needed inside", func(t *testing.T) {
		c.Interfaces[2].MTU = 1280
		w.apply(c)
		if mtu := w.learns(w.internet, vipA+":9"); mtu != 1280 {
			t.Errorf("the sender outside learns of %d bytes, want 1280", mtu)
		}
	})
}

// volume is more than any window.
const volume = 4 << 20

// store takes volume bytes and sends as many.
func store(t *testing.T, ns *kerneltest.Namespace, at string) {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp4", at) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, io.LimitReader(c, volume)) // back as it comes
			}()
		}
	}()
}

// exchange sends volume bytes and reads them back; it returns what came.
func exchange(from *kerneltest.Namespace, to string) (int64, error) {
	k, err := dial(from, "tcp", "", to, soon)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	_ = k.SetDeadline(time.Now().Add(10 * soon))
	go func() { _, _ = k.Write(make([]byte, volume)) }()
	n, err := io.Copy(io.Discard, io.LimitReader(k, volume))
	if err == nil && n < volume {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// reachesWithin checks that the peer was told of segments that fit into mtu.
func (w *world) reachesWithin(from *kerneltest.Namespace, to string, mtu int) {
	w.t.Helper()
	k, err := dial(from, "tcp", "", to, soon)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer k.Close()
	size, err := option(k.Conn, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	if err != nil || size > mtu-40 {
		w.t.Errorf("segments of %d bytes (%v), want %d at most", size, err, mtu-40)
	}
}

// learns sends full-sized datagrams that must not be fragmented until the
// sender knows better, and returns the path MTU that it then has; 0: none.
func (w *world) learns(from *kerneltest.Namespace, to string) int {
	w.t.Helper()
	k, err := dial(from, "udp", "", to, soon)
	if err != nil {
		w.t.Fatal(err)
	}
	defer k.Close()
	control(k.Conn, func(fd int) {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		first, _ := option(k.Conn, unix.IPPROTO_IP, unix.IP_MTU)
		if _, err := k.Write(make([]byte, first-28)); errors.Is(err, unix.EMSGSIZE) {
			continue
		}
		time.Sleep(20 * time.Millisecond)
		if now, _ := option(k.Conn, unix.IPPROTO_IP, unix.IP_MTU); now == first {
			return now
		}
	}
	return 0
}

func option(c net.Conn, level, name int) (value int, err error) {
	control(c, func(fd int) { value, err = unix.GetsockoptInt(fd, level, name) })
	return value, err
}

func control(c net.Conn, f func(fd int)) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		panic(err)
	}
}

// TestErrorsFindWhomTheyConcern: ICMP errors about translated packets.
func TestErrorsFindWhomTheyConcern(t *testing.T) {
	w := newWorld(t)
	beyond := w.addBeyond()
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "udp", 500, 510, bIP, 500)}
	w.apply(c)
	for name, way := range map[string]struct {
		from *kerneltest.Namespace
		to   string
	}{
		"SNAT": {w.b, beyondIP + ":99"}, "EIP out": {w.a, beyondIP + ":99"}, "EIP in": {beyond, vipA + ":99"},
		"port forwarding": {beyond, vipP + ":505"}, "hairpin": {w.b, vipA + ":99"},
	} {
		t.Run("port unreachable, "+name, func(t *testing.T) {
			k, err := dial(way.from, "udp", "", way.to, soon)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if _, _, err := k.say("closed?", soon); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("a closed port says %v, want connection refused", err)
			}
		})
	}
	for name, way := range map[string]struct {
		from *kerneltest.Namespace
		to   string
		hops []string
	}{
		"SNAT": {w.b, beyondIP, []string{routerGuest, gatewayIP, beyondIP}},
		"EIP":  {w.a, beyondIP, []string{routerGuest, gatewayIP, beyondIP}},
		// The kernel gives its own errors about what it turned to a guest the
		// address that was asked for (nf_nat_icmp_reply_translation).
		"EIP in": {beyond, vipA, []string{"192.88.99.1", vipA, vipA}},
	} {
		for _, tool := range [][]string{
			{"traceroute", "-n", "-q", "1", "-w", "1", "-m", "5"},
			{"traceroute", "-n", "-I", "-q", "1", "-w", "1", "-m", "5"},
			{"traceroute", "-n", "-T", "-p", "99", "-q", "1", "-w", "1", "-m", "5"},
		} {
			t.Run(name+" by "+tool[2], func(t *testing.T) {
				args := append(append([]string{"netns", "exec", way.from.Name}, tool...), way.to)
				out, err := exec.Command("ip", args...).CombinedOutput()
				if got := hops(string(out)); err != nil || !slices.Equal(got, way.hops) {
					t.Errorf("hops %v (%v), want %v:\n%s", got, err, way.hops, out)
				}
			})
		}
	}
}

// hops are the addresses in the numbered lines of traceroute.
func hops(out string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^\s*\d+\s+(\S+)`).FindAllStringSubmatch(out, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestFragments: datagrams of many packets are put together and translated.
func TestFragments(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "udp", 500, 510, bIP, 500)}
	w.apply(c)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":505")
	large := strings.Repeat("0123456789", 800)
	for name, way := range map[string]struct {
		from          *kerneltest.Namespace
		local, to, by string
	}{
		"SNAT": {w.b, "", farIP + ":7", routerIP}, "EIP out": {w.a, "", farIP + ":7", vipA}, "EIP in": {w.internet, farIP, vipA + ":7", farIP},
		"port forwarding": {w.internet, farIP, vipP + ":505", farIP}, "hairpin": {w.b, "", vipA + ":7", routerGuest},
	} {
		k, err := dial(way.from, "udp", way.local, way.to, soon)
		if err != nil {
			t.Fatal(err)
		}
		if _, saw, err := k.say(large, soon); err != nil || saw.Addr() != addr(way.by) {
			t.Errorf("%s: 8000 bytes from %s: %v, want from %s", name, saw, err, way.by)
		}
		k.Close()
	}
}

// TestMulticastStays where it is: heard by neighbours, and by nobody outside
// under any address.
func TestMulticastStays(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	const group = "239.1.1.1:5000"
	listen := func(ns *kerneltest.Namespace, nic string) *net.UDPConn {
		var p *net.UDPConn
		var err error
		ns.Do(func() {
			var on *net.Interface
			if on, err = net.InterfaceByName(nic); err == nil {
				p, err = net.ListenMulticastUDP("udp4", on, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(group)))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	neighbour, outside := listen(w.b, "b0"), listen(w.internet, "i0")
	for _, from := range []*kerneltest.Namespace{w.a, w.b} {
		k, err := dial(from, "udp", "", group, soon)
		if err != nil {
			t.Fatal(err)
		}
		control(k.Conn, func(fd int) { err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 8) })
		if _, err2 := k.Write([]byte("x")); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		k.Close()
	}
	b := make([]byte, 8)
	_ = neighbour.SetReadDeadline(time.Now().Add(soon))
	if _, from, err := neighbour.ReadFromUDPAddrPort(b); err != nil || from.Addr() != addr(aIP) {
		t.Errorf("the neighbour hears it from %s (%v), want %s", from, err, aIP)
	}
	_ = outside.SetReadDeadline(time.Now().Add(never))
	if _, from, err := outside.ReadFromUDPAddrPort(b); err == nil {
		t.Errorf("it is heard outside, from %s", from)
	}
}

// TestNoHelperOpensPorts: an FTP client that offers a port for the data has
// not opened it.
func TestNoHelperOpensPorts(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.internet, "far", farIP+":21")
	serve(t, w.b, "data", ":5000")
	k := w.open(w.b, "tcp", "", farIP+":21")
	if _, err := fmt.Fprint(k, "PORT 10,0,0,11,19,136\r\n"); err != nil { // b, port 5000
		t.Fatal(err)
	}
	if line, err := k.read.ReadString('\n'); err != nil || !strings.Contains(line, "PORT 10,0,0,11,19,136") {
		t.Errorf("the server was told %q (%v): somebody changed the text", line, err)
	}
	w.isolated(w.internet, "tcp", farIP, routerIP+":5000")
	w.isolated(w.internet, "tcp", farIP, bIP+":5000")
}
