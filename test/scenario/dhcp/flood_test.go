package dhcp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

const (
	// floodVariable makes the test binary a hostile guest: "starve" or "mutate",
	// and how many packets.
	floodVariable = "SLUICE_TEST_DHCP_FLOOD"
	// wireVariable is how many mutated packets TestMutatedOnTheWire sends;
	// hack/fuzz.sh sends more.
	wireVariable = "SLUICE_WIRE_PACKETS"

	floodRate  = 10_000 // packets a second
	floodBatch = 64     // packets a system call
)

// attack starts a hostile guest, with a nic of its own.
func (w *world) attack(kind string, packets int) *exec.Cmd {
	w.t.Helper()
	ns := w.namespace("hostile")
	w.plug(ns, "eth0", "02:07:00:00:00:66")
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", floodVariable, kind, packets))
	cmd.Stderr = os.Stderr
	return w.background(cmd)
}

// openFrames opens a socket for whole IPv4 frames on the guest's nic.
func openFrames() (*packet.Conn, error) {
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(ifi, packet.Raw, 0x0800, nil)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	return conn, nil
}

// flood is the hostile guest's side, in its own process.
func flood(order string) error {
	kind, count, _ := strings.Cut(order, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	conn, err := openFrames()
	if err != nil {
		return err
	}
	defer conn.Close()
	next, rate := starve, float64(floodRate)
	if kind == "mutate" {
		next, rate = mutated, 1e9
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	out, began := mmsg.Sending(raw, floodBatch), time.Now()
	for sent := 0; sent < n; {
		if early := time.Duration(float64(sent)/rate*1e9) - time.Since(began); early > time.Millisecond {
			time.Sleep(early)
		}
		size := min(floodBatch, n-sent)
		for i := range size {
			f, err := next(sent + i)
			if err != nil {
				return err
			}
			out.Set(i, f)
		}
		moved, err := out.Move(size, true) // what was not moved is made again
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		sent += moved
	}
	return nil
}

// starve asks under a new name each time, and every other time under that of
// the guest who is known: for an address, or for the guest's to be taken away.
func starve(i int) ([]byte, error) {
	self := net.HardwareAddr{2, 7, 0, 0, 0, 0x66}
	who := net.HardwareAddr{2, 0x66, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	if i%2 == 0 {
		who, _ = net.ParseMAC(guestMAC)
	}
	kinds := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeRelease}
	ip := net.ParseIP(guestIP)
	m, err := dhcpv4.New(dhcpv4.WithHwAddr(who), dhcpv4.WithMessageType(kinds[i/2%4]), dhcpv4.WithClientIP(ip),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 7, 0, 1})))
	if err != nil {
		return nil, err
	}
	return frameOf(m.ToBytes(), self), nil
}

// whole is a request of the guest's.
var whole = sync.OnceValues(func() ([]byte, error) {
	who, err := net.ParseMAC(guestMAC)
	if err != nil {
		return nil, err
	}
	m, err := dhcpv4.NewDiscovery(who, dhcpv4.WithRequestedOptions(dhcpv4.OptionInterfaceMTU), dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, []byte{1, 2, 3}))
	if err != nil {
		return nil, err
	}
	return frameOf(m.ToBytes(), who), nil
})

// mutated is a request of the guest's with a few bytes that are not.
func mutated(i int) ([]byte, error) {
	f, err := whole()
	if err != nil {
		return nil, err
	}
	f = slices.Clone(f)
	copy(f[6:], []byte{2, 0x67, 0, byte(i >> 16), byte(i >> 8), byte(i)}) // or it would be limited
	for range 1 + rand.IntN(5) {
		at := 42
		if rand.IntN(2) == 0 {
			at += 240
		}
		at += rand.IntN(len(f) - at)
		f[at] = byte(rand.Uint32())
	}
	if rand.IntN(8) == 0 {
		f = f[:14+rand.IntN(len(f)-14)]
	}
	return f, nil
}

// TestStarvation: one guest asks 10,000 times a second, in thousands of names
// and in its neighbour's. The neighbour renews, and comes anew.
func TestStarvation(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	w := newWorld(t)
	w.apply(network())
	w.bound()
	w.attack("starve", 4*floodRate)
	w.eventually("the flood arrives", 10*time.Second, func() bool { return w.counter("dhcp_received_total") > floodRate/4 })
	for range 3 {
		w.forget("renew")
		w.renew()
		w.eventually("renewed", 8*time.Second, func() bool { return w.told("renew") != nil })
	}
	if out, err := w.lease(3); err != nil { // a busy machine lets the ring overflow, with his packets in it
		t.Errorf("nobody gets an address now: %v\n%s", err, out)
	}
	w.eventually("all of the flood is there", 20*time.Second, func() bool { return w.counter("dhcp_received_total") >= 4*floodRate })
	r := w.report()
	if len(r.Leases) != 1 || r.Leases[0].MAC != guestMAC || len(r.Events) != 0 || !r.Status.Ready {
		t.Errorf("leases %v, events %v, %v", r.Leases, r.Events, r.Status)
	}
	c := r.Status.Counters
	if c["dhcp_decline_total"]+c["dhcp_release_total"]+c["dhcp_sockets_reopened_total"] != 0 || c["dhcp_dropped_limited_total"] == 0 || c["dhcp_ignored_unknown_mac_total"] < floodRate {
		t.Errorf("counters %v", c)
	}
}

// lease has a client try so often to get an address.
func (w *world) lease(tries int) (out []byte, err error) {
	w.t.Helper()
	for range tries {
		if out, err = w.udhcpc("-n", "-q").CombinedOutput(); err == nil {
			break
		}
	}
	return out, err
}

// TestMutatedOnTheWire: broken packets as fast as they can be sent. The server
// is the same process afterwards, no larger, and serves.
func TestMutatedOnTheWire(t *testing.T) {
	needs(t, "udhcpc", "udhcpc")
	packets := 60_000
	if v := os.Getenv(wireVariable); v != "" {
		var err error
		if packets, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", wireVariable, err)
		}
	}
	w := newWorld(t)
	w.apply(network())
	before := w.resident()
	if err := w.attack("mutate", packets).Wait(); err != nil {
		t.Fatal(err)
	}
	c := w.report().Status.Counters
	t.Logf("%d packets: %v", packets, c)
	if got := c["dhcp_received_total"] + c["dhcp_dropped_overflow_total"]; got < uint64(packets)/2 || c["dhcp_panic_total"] != 0 {
		t.Errorf("%d of %d packets arrived, %d panics", got, packets, c["dhcp_panic_total"])
	}
	if grown := w.resident() - before; grown > 16<<10 {
		t.Errorf("the server grew by %d KiB", grown)
	}
	if out, err := w.udhcpc("-n", "-q").CombinedOutput(); err != nil {
		t.Errorf("not served any more: %v\n%s", err, out)
	}
}

// resident memory of the server, KiB.
func (w *world) resident() int {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.server.Process.Pid)) // "ip netns exec" became the server
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return kib
}
