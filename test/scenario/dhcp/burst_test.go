package dhcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// burstVariable makes the test binary many guests that boot at once.
const burstVariable = "SLUICE_TEST_DHCP_BURST"

// guests in the burst, and how many wait for an answer at a time: with more,
// the guests' own socket (208 KiB) is too small for the answers.
const (
	burstGuests = 20000
	burstWindow = 128
)

type burstResult struct {
	Offers  int
	Wrong   int
	Dropped int // by the guests' own socket
	Seconds float64
}

func burstMAC(i int) net.HardwareAddr {
	return net.HardwareAddr{2, 8, 0, byte(i >> 16), byte(i >> 8), byte(i)}
}

func burstIP(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 8, byte((i + 256) >> 8), byte(i)})
}

// TestBurst: 20,000 guests boot at once. Each is offered its own address, with
// checksums that are right; nothing is lost, and the rate is told.
func TestBurst(t *testing.T) {
	w := newWorld(t)
	n := network()
	n.ServerID, n.Router, n.Subnet = netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("10.8.0.1"), netip.MustParsePrefix("10.8.0.0/16")
	n.Bindings = nil
	for i := range burstGuests {
		n.Bindings = append(n.Bindings, agentv1.DHCPBinding{MAC: burstMAC(i).String(), IP: burstIP(i), IsDefault: true})
	}
	w.apply(n)
	cmd := w.in(w.guest, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), burstVariable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("burst: %v\n%s", err, out)
	}
	var r burstResult
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d offers in %.2f s: %.0f/s with client and server on this machine", r.Offers, r.Seconds, float64(r.Offers)/r.Seconds)
	if r.Offers != burstGuests || r.Wrong != 0 {
		t.Errorf("%d right offers, %d wrong, %d dropped by the guests' socket, for %d guests; server: %v", r.Offers, r.Wrong, r.Dropped, burstGuests, w.report().Status.Counters)
	}
	w.expectCounter("dhcp_offer_total", burstGuests)
	w.expectCounter("dhcp_dropped_late_total", 0)
}

// burst is the guests' side, in its own process.
func burst() error {
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	conn, err := packet.Listen(ifi, packet.Raw, 0x0800, nil)
	if err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	defer conn.Close()
	frames, err := burstFrames()
	if err != nil {
		return err
	}
	result, start := burstResult{}, time.Now()
	seen, sent, buf := make([]bool, burstGuests), 0, make([]byte, 1600)
	for result.Offers < burstGuests {
		for ; sent < burstGuests && sent-result.Offers < burstWindow; sent++ {
			if _, err := conn.WriteTo(frames[sent], &packet.Addr{HardwareAddr: net.HardwareAddr{255, 255, 255, 255, 255, 255}}); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		switch i := offerOf(buf[:n]); {
		case i >= 0 && !seen[i]:
			seen[i] = true
			result.Offers++
		case i != -2:
			result.Wrong++
		}
	}
	result.Seconds = time.Since(start).Seconds()
	stats, err := conn.Stats()
	if err != nil {
		return fmt.Errorf("read statistics: %w", err)
	}
	result.Dropped = int(stats.Drops)
	return json.NewEncoder(os.Stdout).Encode(result)
}

func burstFrames() ([][]byte, error) {
	var frames [][]byte
	for i := range burstGuests {
		m, err := dhcpv4.NewDiscovery(burstMAC(i), dhcpv4.WithTransactionID(dhcpv4.TransactionID{7, byte(i >> 16), byte(i >> 8), byte(i)}),
			dhcpv4.WithRequestedOptions(dhcpv4.OptionInterfaceMTU, dhcpv4.OptionDNSDomainSearchList))
		if err != nil {
			return nil, err
		}
		frames = append(frames, frameOf(m.ToBytes(), burstMAC(i)))
	}
	return frames, nil
}

func frameOf(msg []byte, src net.HardwareAddr) []byte {
	f := append(make([]byte, 42, 42+len(msg)), msg...)
	copy(f, []byte{255, 255, 255, 255, 255, 255})
	copy(f[6:], src)
	copy(f[12:], []byte{8, 0, 0x45, 0, byte((len(f) - 14) >> 8), byte(len(f) - 14), 0, 0, 0, 0, 64, 17})
	copy(f[30:], []byte{255, 255, 255, 255, 0, 68, 0, 67, byte((len(f) - 34) >> 8), byte(len(f) - 34)})
	sum := ^onesComplement(f[14:34])
	f[24], f[25] = byte(sum>>8), byte(sum)
	return f // without a UDP checksum, which is allowed (RFC 768)
}

func onesComplement(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// offerOf gives the guest whose right offer this is, -1 for a wrong one, -2 for
// another packet.
func offerOf(f []byte) int {
	if len(f) < 282 || f[23] != 17 || f[36] != 0 || f[37] != 68 {
		return -2
	}
	pseudo := append(append([]byte{}, f[26:34]...), 0, 17, f[38], f[39])
	if onesComplement(f[14:34]) != 0xffff || onesComplement(append(pseudo, f[34:]...)) != 0xffff {
		return -1
	}
	m, err := dhcpv4.FromBytes(f[42:])
	if err != nil || m.MessageType() != dhcpv4.MessageTypeOffer {
		return -1
	}
	x := m.TransactionID
	i := int(x[1])<<16 | int(x[2])<<8 | int(x[3])
	if m.ClientHWAddr.String() != burstMAC(i).String() || !m.YourIPAddr.Equal(burstIP(i).AsSlice()) || net.HardwareAddr(f[:6]).String() != burstMAC(i).String() {
		return -1
	}
	return i
}
