package nat

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

// flood sends packets of a protocol to one port from as many source ports (and
// then source addresses, counting on from one) as it takes.
func flood(t *testing.T, ns *kerneltest.Namespace, protocol byte, from, to string, n int) {
	t.Helper()
	var err error
	ns.Do(func() { err = sendRaw(protocol, addr(from), addrPort(to), n) })
	if err != nil {
		t.Fatal(err)
	}
}

func sendRaw(protocol byte, from netip.Addr, to netip.AddrPort, n int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i := range n {
		if i > 0 && i%60000 == 0 {
			from = from.Next()
		}
		p := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0} // the kernel fills in lengths and sum
		p = append(append(p, from.AsSlice()...), to.Addr().AsSlice()...)
		p = binary.BigEndian.AppendUint16(p, uint16(2000+i%60000))
		p = binary.BigEndian.AppendUint16(p, to.Port())
		p = append(p, segment(protocol)...)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		if protocol == unix.IPPROTO_TCP {
			binary.BigEndian.PutUint16(p[36:], checksum(p[12:20], p[20:], protocol))
		}
		if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
			return err
		}
	}
	return nil
}

// segment is what follows the ports: a SYN, or an empty datagram.
func segment(protocol byte) []byte {
	if protocol == unix.IPPROTO_TCP {
		return []byte{0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0}
	}
	return []byte{0, 8, 0, 0}
}

// checksum is TCP's (RFC 9293 section 3.1), over the pseudo header too.
func checksum(addresses, segment []byte, protocol byte) uint16 {
	sum := uint32(protocol) + uint32(len(segment))
	for _, part := range [][]byte{addresses, segment} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 > 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (w *world) table() (t dataplane.Table) {
	w.t.Helper()
	var err error
	w.router.Do(func() { t, err = w.kernel.Table() })
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// TestOneGuestDoesNotTakeTheTable: a guest that opens connections as fast as it
// can is paced, found and held, keeps what it has, and others go on opening.
func TestOneGuestDoesNotTakeTheTable(t *testing.T) {
	w := newWorld(t)
	c := content()
	w.apply(c)
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.a, "a", ":7")
	before := w.open(w.a, "tcp", "", farIP+":7")
	began := w.table()
	flood(t, w.a, unix.IPPROTO_UDP, aIP, farIP+":9", 40000)
	full := w.table()
	if full.Entries < 5000 {
		t.Fatalf("%d connections: that was no flood", full.Entries)
	}
	w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
	// As if the table were as small as this: who has more than a quarter?
	small := dataplane.Table{Entries: full.Entries, Max: full.Entries}
	var greedy []dataplane.Holder
	var err error
	w.router.Do(func() {
		if greedy, err = w.plane.Greedy(t.Context(), small); err == nil && len(greedy) > 0 {
			err = w.kernel.Hold([]netip.Addr{greedy[0].Guest})
		}
	})
	if err != nil || len(greedy) != 1 || greedy[0].Guest != addr(aIP) || !small.Pressed() || began.Pressed() {
		t.Fatalf("greedy are %v (%v), want %s alone", greedy, err, aIP)
	}
	for _, network := range []string{"tcp", "udp"} {
		w.isolated(w.a, network, "", farIP+":7")
		w.reaches(w.b, network, "", farIP+":7", "far", routerIP)
	}
	w.goesOn("a connection that the held guest had", before)
	if r := w.applyOnce(c); r.Writes != 0 {
		t.Errorf("holding a guest made an apply write %v", r.Steps)
	}
}

// TestSynFloodAtAForwardedPort: half-open connections from everywhere to one
// port; other ports, other guests and running connections go on.
func TestSynFloodAtAForwardedPort(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 80, 80, aIP, 7), forward(vipP, "tcp", 81, 81, bIP, 7)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	serve(t, w.internet, "far", farIP+":7")
	running := w.open(w.internet, "tcp", farIP, vipP+":81")
	flood(t, w.internet, unix.IPPROTO_TCP, "198.18.0.1", vipP+":80", 30000)
	if n := w.table().Entries; n < 10000 {
		t.Fatalf("%d connections: that was no flood", n)
	}
	w.goesOn("a connection at another port", running)
	w.reaches(w.internet, "tcp", farIP, vipP+":81", "b", farIP)
	w.reaches(w.b, "tcp", "", farIP+":7", "far", routerIP)
	w.reaches(w.internet, "tcp", farIP, vipP+":80", "a", farIP) // SYN cookies of the guest's
}

// TestPortsThatRunOutAreCounted: two guests want more ports of one address at
// one peer than there are.
func TestPortsThatRunOutAreCounted(t *testing.T) {
	w := newWorld(t)
	c := content()
	w.apply(c)
	w.router.Run(t, "nft flush chain ip sluice arriving") // unpaced, or it takes long
	before := w.table()
	flood(t, w.a, unix.IPPROTO_UDP, aIP, farIP+":9", 30000)
	if now := w.table(); now.NoPort != before.NoPort {
		t.Errorf("%d connections were refused while there were ports", now.NoPort-before.NoPort)
	}
	flood(t, w.b, unix.IPPROTO_UDP, bIP, farIP+":9", 40000)
	if now := w.table(); now.NoPort-before.NoPort < 1000 {
		t.Errorf("70,000 connections by one address: %d were counted as refused", now.NoPort-before.NoPort)
	}
}

// TestAStreamIsNoFlood: what one connection sends is not paced, though nobody
// answers and tracking calls all of its packets new.
func TestAStreamIsNoFlood(t *testing.T) {
	w := newWorld(t)
	w.apply(content())
	catch(t, w.internet, farIP+":9") // a closed port would answer
	left := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(w.router.Run(t, "cat /sys/class/net/pub0/statistics/tx_packets")))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	k, err := dial(w.a, "udp", "", farIP+":9", soon)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	const sent = 40000
	before := left()
	for range sent {
		if _, err := k.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := left() - before; n < sent*99/100 {
		t.Errorf("%d datagrams of %d of one connection left the router", n, sent)
	}
}
