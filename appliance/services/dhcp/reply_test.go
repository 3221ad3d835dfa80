package dhcp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// everything a client could ask for.
func allCodes() []uint8 {
	var out []uint8
	for c := 1; c < 255; c++ {
		out = append(out, uint8(c))
	}
	return out
}

func hexOptions(r *dhcpv4.DHCPv4) map[uint8]string {
	out := map[uint8]string{}
	for c, v := range r.Options {
		out[c] = hex.EncodeToString(v)
	}
	return out
}

// TestOptions compares whole sets of options, byte by byte, with what the RFCs
// say; the values are written out by hand.
func TestOptions(t *testing.T) {
	const (
		subnet, router = "ffffff00", "0a010001"
		dns, domain    = "0a01000101010101", "67756573742e6578616d706c65"
		search         = "056775657374076578616d706c6500"
		lease, t1, t2  = "00000e10", "00000708", "00000c4e"
		viaGateway     = "18c0a8320a0100fe" + "000a010001" // 3442: the default route too
		noGateway      = "18c0a8320a0100fe"
		classC         = "c0a832000a0100fe"
		hostname       = "776562"
	)
	for _, tc := range []struct {
		name string
		m    *dhcpv4.DHCPv4
		want map[uint8]string
	}{
		{"all, default nic: 121 drives out 3 and 33", message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(allCodes()...)), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 6: dns, 12: hostname, 15: domain, 26: "05aa",
			28: "0a0100ff", 119: search, 121: viaGateway, 249: viaGateway,
		}},
		{"all, not the default nic", message(t, sideMAC, dhcpv4.MessageTypeDiscover, asking(allCodes()...)), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 12: hostname, 26: "05aa", 28: "0a0100ff",
			121: noGateway, 249: noGateway,
		}},
		{"router and static routes for who does not know 121", message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3, 33)), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 3: router, 33: classC, 26: "05aa",
		}},
		{"asked for nothing in particular", message(t, webMAC, dhcpv4.MessageTypeDiscover), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 3: router, 6: dns, 12: hostname, 15: domain, 26: "05aa", 28: "0a0100ff",
		}},
		{"asked for domain only; the MTU is not the usual one", message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(15)), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 15: domain, 26: "05aa",
		}},
		{"extra options come unasked and win", message(t, pxeMAC, dhcpv4.MessageTypeDiscover, asking(6)), map[uint8]string{
			53: "02", 54: router, 51: lease, 58: t1, 59: t2, 1: subnet, 26: "05aa", 6: "09090909", 42: "0a010007",
			66: hex.EncodeToString([]byte("10.1.0.5")), 67: hex.EncodeToString([]byte("pxelinux.0")),
		}},
		{"inform: neither lease nor times", message(t, webMAC, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip(webIP)), asking(6, 15, 51, 58)), map[uint8]string{
			53: "05", 54: router, 1: subnet, 6: dns, 15: domain, 26: "05aa",
		}},
		{"nak: nothing but the reason", message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(sideIP), asking(allCodes()...)), map[uint8]string{
			53: "06", 54: router, 56: hex.EncodeToString([]byte("the address is not this client's")),
		}},
		{"client id goes back, in a NAK too (RFC 6842)", message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(sideIP), dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, []byte{255, 1, 2})), map[uint8]string{
			53: "06", 54: router, 56: hex.EncodeToString([]byte("the address is not this client's")), 61: "ff0102",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newDesk(t, guestNetwork()).ask(tc.m)
			if r == nil {
				t.Fatal("no answer")
			}
			got := hexOptions(r)
			for c, v := range tc.want {
				if got[c] != v {
					t.Errorf("option %d is %q, want %q", c, got[c], v)
				}
			}
			for c, v := range got {
				if _, ok := tc.want[c]; !ok {
					t.Errorf("option %d (%s) was not to be given", c, v)
				}
			}
		})
	}
}

// TestHeader is table 3 of RFC 2131.
func TestHeader(t *testing.T) {
	d := newDesk(t, guestNetwork())
	offer := d.ask(message(t, pxeMAC, dhcpv4.MessageTypeDiscover))
	if got := fmt.Sprint(offer.OpCode, offer.HWType, offer.HopCount, offer.NumSeconds, offer.TransactionID, offer.ClientHWAddr, offer.ClientIPAddr, offer.YourIPAddr); got != "BootReply Ethernet 0 0 0x01020304 "+pxeMAC+" 0.0.0.0 10.1.0.12" {
		t.Errorf("header of the offer: %s", got)
	}
	if !offer.ServerIPAddr.Equal(ip(netip.MustParseAddr("10.1.0.5"))) || offer.BootFileName != "pxelinux.0" || offer.ServerHostName != "10.1.0.5" {
		t.Errorf("boot fields: %v %q %q", offer.ServerIPAddr, offer.BootFileName, offer.ServerHostName)
	}
	renewed := d.askFrom(message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip(webIP))), mac(webMAC), serverIP)
	if !renewed.ClientIPAddr.Equal(ip(webIP)) || !renewed.YourIPAddr.Equal(ip(webIP)) {
		t.Errorf("renewed: ciaddr %v, yiaddr %v", renewed.ClientIPAddr, renewed.YourIPAddr)
	}
	informed := d.ask(message(t, webMAC, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip(webIP))))
	if !informed.YourIPAddr.IsUnspecified() || !informed.ClientIPAddr.Equal(ip(webIP)) {
		t.Errorf("informed: ciaddr %v, yiaddr %v", informed.ClientIPAddr, informed.YourIPAddr)
	}
	nak := d.ask(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(sideIP)))
	if !nak.YourIPAddr.IsUnspecified() || !nak.ClientIPAddr.IsUnspecified() || !nak.ServerIPAddr.IsUnspecified() {
		t.Errorf("nak has addresses: %v", nak)
	}
}

// rawOptions gives the codes in the order they stand in the options field.
func rawOptions(msg []byte) (codes []byte) {
	codes, _ = walkOptions(msg)
	return codes
}

// walkOptions gives also where they end.
func walkOptions(msg []byte) (codes []byte, end int) {
	b := msg[offOptions:]
	for ; b[0] != optEnd; b = b[2+int(b[1]):] {
		codes = append(codes, b[0])
	}
	return codes, len(msg) - len(b)
}

func composed(t *testing.T, n agentv1.DHCPNetwork, m *dhcpv4.DHCPv4) (msg []byte, cut bool) {
	t.Helper()
	c, r := prepared(t, n), &request{}
	if err := parse(m.ToBytes(), r); err != nil {
		t.Fatal(err)
	}
	d := decide(c, r, meta{src: r.chaddr, dst: limited}, nil, testTime)
	if d.kind == 0 {
		t.Fatal("no answer to compose")
	}
	out := bytes.Repeat([]byte{0xa5}, maxFrame) // what an earlier answer left
	size, cut := compose(c, d, r, out)
	return out[:size], cut
}

// TestOrder: the order asked for is kept; the mask goes before the router.
func TestOrder(t *testing.T) {
	msg, _ := composed(t, guestNetwork(), message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(15, 3, 1, 6, 15, 28)))
	if got, want := rawOptions(msg), []byte{53, 54, 51, 58, 59, 1, 15, 3, 6, 28, 26}; !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
	msg, _ = composed(t, guestNetwork(), message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3, 6),
		dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, []byte{1, 2}), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 1, 7})))
	if got, want := rawOptions(msg), []byte{53, 54, 51, 58, 59, 1, 3, 6, 26, 61, 82}; !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
}

// TestPadding: RFC 1542 section 2.1, 300 bytes at least, and nothing of an
// earlier answer in them.
func TestPadding(t *testing.T) {
	n := guestNetwork()
	n.MTU = 1500
	msg, _ := composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3)))
	if len(msg) != minMessage {
		t.Fatalf("message has %d bytes", len(msg))
	}
	for _, field := range [][2]int{{3, 4}, {8, 10}, {offCiaddr, offYiaddr}, {offSiaddr, offChaddr}, {offChaddr + 6, offCookie}} {
		if b := msg[field[0]:field[1]]; !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("bytes %v of the header are %x", field, b)
		}
	}
	_, end := walkOptions(msg)
	if !bytes.Equal(msg[end+1:], make([]byte, minMessage-end-1)) {
		t.Errorf("padding is %x", msg[end+1:])
	}
}

// TestLargeOptions: RFC 3396, RFC 2132 section 9.10 and option 52. An option of
// 300 bytes does not fit the 576 byte default beside one of 100 in the options
// field, so the smaller goes to file.
func TestLargeOptions(t *testing.T) {
	n := guestNetwork()
	long, side, third := bytes.Repeat([]byte{7}, 300), bytes.Repeat([]byte{8}, 100), bytes.Repeat([]byte{9}, 60)
	n.Bindings[0].Options = map[uint8]string{150: hex.EncodeToString(long), 200: hex.EncodeToString(side), 201: hex.EncodeToString(third)}

	msg, cut := composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1500))))
	r, err := dhcpv4.FromBytes(msg)
	if err != nil || cut {
		t.Fatal(err, cut)
	}
	if !bytes.Equal(r.Options[150], long) || !bytes.Equal(r.Options[200], side) {
		t.Error("long options do not survive RFC 3396")
	}
	if i := bytes.Index(msg, []byte{150, 255, 7}); i < 0 || !bytes.Equal(msg[i+257:i+259], []byte{150, 45}) {
		t.Error("option 150 is not in two parts, one after the other")
	}

	msg, cut = composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3)))
	if len(msg) > minDatagram-ipHeader-udpHeader || !cut {
		t.Errorf("%d bytes for a client that takes %d, cut %v", len(msg), minDatagram-ipHeader-udpHeader, cut)
	}
	if r, err = dhcpv4.FromBytes(msg); err != nil || r.Options[150] != nil || r.Options[200] == nil {
		t.Errorf("what fits is not given: %v", err)
	}

	n.Bindings[0].Options[150] = hex.EncodeToString(long[:200]) // now all fit, with overload
	msg, cut = composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(3)))
	if r, err = dhcpv4.FromBytes(msg); err != nil || cut {
		t.Fatal(err, cut)
	}
	if !bytes.Equal(r.Options[52], []byte{3}) {
		t.Fatalf("overload is %x", r.Options[52])
	}
	if want := append([]byte{200, 100}, side...); !bytes.HasPrefix(msg[offFile:], append(want, optEnd)) {
		t.Errorf("file is %x", msg[offFile:offCookie])
	}
	if want := append([]byte{201, 60}, third...); !bytes.HasPrefix(msg[offSname:], append(want, optEnd)) {
		t.Errorf("sname is %x", msg[offSname:offFile])
	}
	if r.Options[3] == nil || r.Options[51] == nil {
		t.Error("the options that matter were pushed out")
	}
}

// TestMessageLimit: the link's MTU and the legal minimum bound what the client
// says.
func TestMessageLimit(t *testing.T) {
	n := guestNetwork()
	for _, tc := range []struct {
		mtu  int
		says uint16
		want int
	}{{1450, 0, 548}, {1450, 100, 548}, {1450, 1000, 972}, {1450, 65535, 1422}, {9000, 65535, 1472}, {576, 1500, 548}} {
		n.MTU = tc.mtu
		if got := messageLimit(prepared(t, n), &request{maxSize: tc.says}); got != tc.want {
			t.Errorf("mtu %d, option 57 %d: %d, want %d", tc.mtu, tc.says, got, tc.want)
		}
	}
}

// TestRouterStaysWithoutRoomFor121: a client is never left without a default
// route because the better option did not fit.
func TestRouterStaysWithoutRoomFor121(t *testing.T) {
	n := guestNetwork()
	for i := range 60 {
		n.Routes = append(n.Routes, agentv1.Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24), NextHop: serverIP})
	}
	msg, cut := composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover, asking(121, 3)))
	r, err := dhcpv4.FromBytes(msg)
	if err != nil {
		t.Fatal(err)
	}
	if !cut || r.Options[121] != nil || r.Options[3] == nil {
		t.Errorf("cut %v, 121 %x, 3 %x", cut, r.Options[121], r.Options[3])
	}
}

// TestEndlessLease has no times to renew at.
func TestEndlessLease(t *testing.T) {
	n := guestNetwork()
	n.LeaseSeconds = 1<<32 - 1
	msg, _ := composed(t, n, message(t, webMAC, dhcpv4.MessageTypeDiscover))
	r, err := dhcpv4.FromBytes(msg)
	if err != nil || !bytes.Equal(r.Options[51], []byte{255, 255, 255, 255}) || r.Options[58] != nil || r.Options[59] != nil {
		t.Errorf("%v: %v", err, r)
	}
}
