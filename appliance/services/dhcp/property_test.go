package dhcp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// anyNetwork draws a network with a few bindings.
func anyNetwork(t *rapid.T) agentv1.DHCPNetwork {
	n := guestNetwork()
	n.MTU = rapid.IntRange(576, 9216).Draw(t, "mtu")
	n.LeaseSeconds = rapid.Uint32Range(1, 1<<32-1).Draw(t, "lease")
	n.Domain = rapid.SampledFrom([]string{"", "a", "guest.example"}).Draw(t, "domain")
	n.DNS = n.DNS[:rapid.IntRange(0, 2).Draw(t, "dns")]
	n.Bindings = nil
	for i := range rapid.IntRange(1, 6).Draw(t, "bindings") {
		b := agentv1.DHCPBinding{
			MAC: fmt.Sprintf("02:00:00:00:00:%02x", 10+i), IP: netip.AddrFrom4([4]byte{10, 1, 0, byte(10 + i)}),
			IsDefault: rapid.Bool().Draw(t, "default"), Hostname: rapid.SampledFrom([]string{"", "web"}).Draw(t, "hostname"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "extras") {
			if b.Options == nil {
				b.Options = map[uint8]string{}
			}
			code := rapid.SampledFrom([]uint8{1, 3, 6, 12, 26, 43, 66, 67, 121, 150, 224}).Draw(t, "code")
			b.Options[code] = fmt.Sprintf("%x", rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "value"))
		}
		n.Bindings = append(n.Bindings, b)
	}
	return n
}

// anyMessage draws what some client, honest or not, might send.
func anyMessage(t *rapid.T) *dhcpv4.DHCPv4 {
	addr := rapid.Custom(func(t *rapid.T) net.IP {
		return net.IP{10, 1, rapid.Byte().Draw(t, "net") & 1, rapid.ByteRange(1, 20).Draw(t, "host")}
	})
	mods := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, rapid.ByteRange(8, 18).Draw(t, "mac")}),
		dhcpv4.WithMessageType(dhcpv4.MessageType(rapid.ByteRange(0, 9).Draw(t, "type"))),
		dhcpv4.WithBroadcast(rapid.Bool().Draw(t, "broadcast")),
		dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "asked")),
	}
	maybe := func(name string, m func() dhcpv4.Modifier) {
		if rapid.Bool().Draw(t, name) {
			mods = append(mods, m())
		}
	}
	maybe("ciaddr", func() dhcpv4.Modifier { return dhcpv4.WithClientIP(addr.Draw(t, "ciaddr")) })
	maybe("wanted", func() dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(addr.Draw(t, "wanted"))) })
	maybe("server", func() dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(addr.Draw(t, "server"))) })
	maybe("size", func() dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(rapid.Uint16().Draw(t, "size")))
	})
	maybe("id", func() dhcpv4.Modifier {
		return dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, rapid.SliceOfN(rapid.Byte(), 1, 600).Draw(t, "id"))
	})
	maybe("relay", func() dhcpv4.Modifier {
		return dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "relay"))
	})
	maybe("giaddr", func() dhcpv4.Modifier {
		return dhcpv4.WithRelay(net.IP{10, 9, 0, rapid.ByteRange(1, 2).Draw(t, "giaddr")})
	})
	m, err := dhcpv4.New(mods...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAnswersHold checks what has to be true of every answer whatsoever.
func TestAnswersHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := anyNetwork(rt)
		n.Relays = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
		d := newDesk(t, n)
		own := map[string]netip.Addr{}
		for _, b := range n.Bindings {
			own[b.MAC] = b.IP
		}
		for range rapid.IntRange(1, 8).Draw(rt, "messages") {
			m := anyMessage(rt)
			dst := rapid.SampledFrom([]netip.Addr{everywhere, serverIP}).Draw(rt, "dst")
			r := d.askFrom(m, m.ClientHWAddr, dst)
			if d.count(panicked) != 0 {
				rt.Fatalf("panic on %v", m)
			}
			if r == nil {
				continue
			}
			mine, known := own[m.ClientHWAddr.String()]
			if !known {
				rt.Fatalf("an unknown MAC is answered: %v", r)
			}
			checkAnswer(rt, m, r, mine)
		}
	})
}

func checkAnswer(t *rapid.T, m, r *dhcpv4.DHCPv4, mine netip.Addr) {
	if r.OpCode != dhcpv4.OpcodeBootReply || r.TransactionID != m.TransactionID || !bytes.Equal(r.ClientHWAddr, m.ClientHWAddr) || !r.GatewayIPAddr.Equal(m.GatewayIPAddr) {
		t.Fatalf("not an answer to this client: %v to %v", r, m)
	}
	if got := r.Options[54]; !bytes.Equal(got, serverIP.AsSlice()) {
		t.Fatalf("server id is %x", got)
	}
	limit := max(int(beUint16(m.Options[57])), minDatagram)
	if size := len(r.ToBytes()); size+ipHeader+udpHeader > max(limit, minMessage+28) {
		t.Fatalf("%d bytes for a client that takes %d", size, limit)
	}
	if id := m.Options[61]; len(id) < 100 && !bytes.Equal(r.Options[61], id) {
		t.Fatalf("client id is %x, not %x", r.Options[61], id)
	}
	yours, _ := netip.AddrFromSlice(r.YourIPAddr.To4())
	asked, _ := netip.AddrFromSlice(m.Options[50])
	client, _ := netip.AddrFromSlice(m.ClientIPAddr.To4())
	switch r.MessageType() {
	case dhcpv4.MessageTypeOffer:
		if m.MessageType() != dhcpv4.MessageTypeDiscover || yours != mine {
			t.Fatalf("offers %v to %v", yours, mine)
		}
	case dhcpv4.MessageTypeAck:
		inform := m.MessageType() == dhcpv4.MessageTypeInform
		if inform && (yours != netip.IPv4Unspecified() || r.Options[51] != nil) || !inform && (yours != mine || r.Options[51] == nil) {
			t.Fatalf("acknowledges %v to %v, lease %x", yours, mine, r.Options[51])
		}
	case dhcpv4.MessageTypeNak:
		if m.MessageType() != dhcpv4.MessageTypeRequest || yours != netip.IPv4Unspecified() {
			t.Fatalf("NAK with %v for %v", yours, m.MessageType())
		}
		if (asked == mine || !asked.IsValid()) && (client == mine || client.IsUnspecified()) {
			t.Fatal("NAK for the client's own address")
		}
	default:
		t.Fatalf("answer of type %v", r.MessageType())
	}
}

func beUint16(b []byte) uint16 {
	if len(b) != 2 {
		return 0
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

// FuzzReply goes from the bytes of a frame to the bytes of an answer.
func FuzzReply(f *testing.F) {
	n := guestNetwork()
	n.Relays = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	for _, from := range []string{webMAC, sideMAC, pxeMAC, strayMAC} {
		for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeDecline} {
			m := message(f, from, kind, withWanted(webIP), asking(allCodes()...))
			f.Add(requestFrame(m.ToBytes(), mac(from), everywhere))
		}
	}
	d := newDesk(f, n)
	f.Fuzz(func(t *testing.T, frame []byte) {
		out := make([]byte, maxFrame)
		size := d.answer(d.config, frame, true, testTime, out)
		if d.count(panicked) != 0 {
			t.Fatal("panic")
		}
		if size == 0 {
			return
		}
		msg, _ := openReply(t, out[:size])
		r, err := dhcpv4.FromBytes(msg)
		if err != nil {
			t.Fatalf("the answer does not parse: %v", err)
		}
		chaddr := hw(r.ClientHWAddr)
		b := d.config.bindings.find(chaddr)
		if b == nil {
			t.Fatalf("an answer for a stranger: %v", r)
		}
		if !r.YourIPAddr.IsUnspecified() && !r.YourIPAddr.Equal(b.ip[:]) {
			t.Fatalf("another guest's address: %v", r)
		}
		if stranger(d.config, frame) {
			t.Fatal("the quick look takes a guest for a stranger")
		}
	})
}
