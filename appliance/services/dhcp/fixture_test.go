package dhcp

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// The network that most tests are about: a default nic, one that is not, and
// one with options of its own.
const (
	routerMAC = "02:00:00:00:00:01"
	webMAC    = "02:00:00:00:00:0a"
	sideMAC   = "02:00:00:00:00:0b"
	pxeMAC    = "02:00:00:00:00:0c"
	strayMAC  = "02:00:00:00:00:ee"
)

var (
	serverIP = netip.MustParseAddr("10.1.0.1")
	webIP    = netip.MustParseAddr("10.1.0.10")
	sideIP   = netip.MustParseAddr("10.1.0.11")
	pxeIP    = netip.MustParseAddr("10.1.0.12")
	testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func guestNetwork() agentv1.DHCPNetwork {
	return agentv1.DHCPNetwork{
		Interface: routerMAC, ServerID: serverIP, Subnet: netip.MustParsePrefix("10.1.0.0/24"), Router: serverIP,
		DNS:    []netip.Addr{serverIP, netip.MustParseAddr("1.1.1.1")},
		Domain: "guest.example", MTU: 1450, LeaseSeconds: 3600,
		Routes: []agentv1.Route{{Prefix: netip.MustParsePrefix("192.168.50.0/24"), NextHop: netip.MustParseAddr("10.1.0.254")}},
		Bindings: []agentv1.DHCPBinding{
			{MAC: webMAC, IP: webIP, Hostname: "web", IsDefault: true},
			{MAC: sideMAC, IP: sideIP, Hostname: "web"},
			{MAC: pxeMAC, IP: pxeIP, IsDefault: true, Options: map[uint8]string{
				66: hex.EncodeToString([]byte("10.1.0.5")), 67: hex.EncodeToString([]byte("pxelinux.0")), 42: "0a010007", 6: "09090909",
			}},
		},
	}
}

func prepared(t testing.TB, n agentv1.DHCPNetwork) *Config {
	t.Helper()
	c, err := Prepare(nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// desk is a responder with its memory, and frames built by the oracle's codec.
type desk struct {
	t      testing.TB
	config *Config
	responder
	seen chan agentv1.Event
	now  time.Time
	last target // where the last answer went
}

func newDesk(t testing.TB, n agentv1.DHCPNetwork) *desk {
	d := &desk{t: t, config: prepared(t, n), seen: make(chan agentv1.Event, 8), now: testTime}
	d.responder = responder{memory: newMemory(), counters: &counters{}, events: d.seen}
	return d
}

// ask sends a message broadcast from the client's own MAC.
func (d *desk) ask(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	d.t.Helper()
	return d.askFrom(m, m.ClientHWAddr, netip.MustParseAddr("255.255.255.255"))
}

func (d *desk) askFrom(m *dhcpv4.DHCPv4, src net.HardwareAddr, dst netip.Addr) *dhcpv4.DHCPv4 {
	d.t.Helper()
	return d.askBytes(m.ToBytes(), src, dst)
}

func (d *desk) askBytes(msg []byte, src net.HardwareAddr, dst netip.Addr) *dhcpv4.DHCPv4 {
	d.t.Helper()
	out := make([]byte, maxFrame)
	n := d.answer(d.config, requestFrame(msg, src, dst), false, d.now, out)
	if n == 0 {
		return nil
	}
	var got []byte
	got, d.last = openReply(d.t, out[:n])
	reply, err := dhcpv4.FromBytes(got)
	if err != nil {
		d.t.Fatalf("the answer does not parse: %v", err)
	}
	return reply
}

// count gives a reason's counter.
func (d *desk) count(r reason) uint64 { return d.counters.by[r].Load() }

// requestFrame wraps a message in Ethernet, IP and UDP, with checksums by the
// naive algorithm, so that ours is checked against another.
func requestFrame(msg []byte, src net.HardwareAddr, dst netip.Addr) []byte {
	f := make([]byte, payload, payload+len(msg))
	f = append(f, msg...)
	copy(f, everyone[:])
	copy(f[6:], src)
	f[12], f[13] = 8, 0
	ip, udp := f[14:], f[34:]
	copy(ip, []byte{0x45, 0, byte(len(ip) >> 8), byte(len(ip)), 0, 0, 0, 0, 64, 17})
	a := dst.As4()
	copy(ip[16:], a[:])
	put16(ip[10:], ^naiveSum(ip[:20]))
	put16(udp, clientPort)
	put16(udp[2:], serverPort)
	put16(udp[4:], uint16(len(udp)))
	put16(udp[6:], udpSum(ip, udp))
	return f
}

func udpSum(ip, udp []byte) uint16 {
	pseudo := append([]byte{}, ip[12:20]...)
	pseudo = append(pseudo, 0, 17, byte(len(udp)>>8), byte(len(udp)))
	pseudo = append(pseudo, udp...)
	return ^naiveSum(pseudo)
}

func put16(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }

func naiveSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// openReply checks an answer's headers and gives the message and its target.
func openReply(t testing.TB, f []byte) ([]byte, target) {
	t.Helper()
	ip, udp := f[14:], f[34:]
	router, _ := parseMAC(routerMAC)
	if hw(f[6:12]) != router {
		t.Fatalf("answer comes from %x", f[6:12])
	}
	if got := int(ip[2])<<8 | int(ip[3]); got != len(ip) {
		t.Fatalf("IP length %d, frame has %d", got, len(ip))
	}
	if naiveSum(ip[:20]) != 0xffff {
		t.Fatal("wrong IP checksum")
	}
	if got := int(udp[4])<<8 | int(udp[5]); got != len(udp) {
		t.Fatalf("UDP length %d, packet has %d", got, len(udp))
	}
	want := udp[6:8]
	sum := [2]byte(want)
	want[0], want[1] = 0, 0
	if s := udpSum(ip, udp); sum != [2]byte{byte(s >> 8), byte(s)} && (s != 0 || sum != [2]byte{255, 255}) {
		t.Fatalf("UDP checksum %x, want %04x", sum, s)
	}
	if ip4(ip[12:16]) != serverIP.As4() || udp[0] != 0 || udp[1] != serverPort {
		t.Fatalf("answer comes from %v port %d", ip[12:16], udp[1])
	}
	return udp[8:], target{hw(f[:6]), ip4(ip[16:20]), uint16(udp[2])<<8 | uint16(udp[3])}
}

func mac(s string) net.HardwareAddr {
	h, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return h
}

// message builds a client's message with the oracle's codec.
func message(t testing.TB, from string, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	mods = append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(mac(from)), dhcpv4.WithMessageType(kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
	}, mods...)
	m, err := dhcpv4.New(mods...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ip(a netip.Addr) net.IP { return a.AsSlice() }

func withWanted(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip(a)))
}

func withServer(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(a)))
}

func asking(codes ...uint8) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, codes)
}
