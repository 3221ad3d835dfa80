package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

var everywhere = netip.MustParseAddr("255.255.255.255")

// TestDecide has a line for each clause: what is sent, and what it deserves.
func TestDecide(t *testing.T) {
	other := netip.MustParseAddr("10.1.0.77")
	relay := netip.MustParseAddr("10.9.0.1")
	const none = dhcpv4.MessageTypeNone
	ciaddr := func(a netip.Addr) dhcpv4.Modifier { return dhcpv4.WithClientIP(ip(a)) }
	for _, tc := range []struct {
		clause string
		from   string
		kind   dhcpv4.MessageType
		with   []dhcpv4.Modifier
		dst    netip.Addr // zero: broadcast
		src    string     // sender on the link, where not the client
		want   dhcpv4.MessageType
		reason reason
	}{
		{"4.3.1 discover", webMAC, dhcpv4.MessageTypeDiscover, nil, netip.Addr{}, "", dhcpv4.MessageTypeOffer, offered},
		{"4.3.1 discover hinting at another address", webMAC, dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{withWanted(other)}, netip.Addr{}, "", dhcpv4.MessageTypeOffer, offered},
		{"unknown MAC discover", strayMAC, dhcpv4.MessageTypeDiscover, nil, netip.Addr{}, "", none, silentUnknown},
		{"unknown MAC wanting another's address", strayMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withWanted(webIP)}, netip.Addr{}, "", none, silentUnknown},
		{"unknown MAC renewing", strayMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(webIP)}, serverIP, "", none, silentUnknown},
		{"unknown MAC informing", strayMAC, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(other)}, serverIP, "", none, silentUnknown},

		{"4.3.2 selecting us", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(serverIP), withWanted(webIP)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackSelecting},
		{"4.3.2 selecting another server", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(other), withWanted(webIP)}, netip.Addr{}, "", none, silentOtherServer},
		{"4.3.2 selecting another server and address", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(other), withWanted(other)}, netip.Addr{}, "", none, silentOtherServer},
		{"4.3.2 selecting another address of ours", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(serverIP), withWanted(sideIP)}, netip.Addr{}, "", dhcpv4.MessageTypeNak, nakSelecting},
		{"selecting with ciaddr instead of option 50", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(serverIP), ciaddr(webIP)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackSelecting},
		{"selecting nothing", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withServer(serverIP)}, netip.Addr{}, "", none, silentIncomplete},

		{"4.3.2 init-reboot", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withWanted(webIP)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackInitReboot},
		{"4.3.2 init-reboot on the wrong network", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withWanted(netip.MustParseAddr("172.16.0.9"))}, netip.Addr{}, "", dhcpv4.MessageTypeNak, nakInitReboot},
		{"4.3.2 init-reboot with an address since moved", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{withWanted(other)}, netip.Addr{}, "", dhcpv4.MessageTypeNak, nakInitReboot},
		{"request for nothing", webMAC, dhcpv4.MessageTypeRequest, nil, netip.Addr{}, "", none, silentIncomplete},

		{"4.3.2 renewing", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(webIP)}, serverIP, "", dhcpv4.MessageTypeAck, ackRenewing},
		{"4.3.2 renewing an address since moved", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(other)}, serverIP, "", dhcpv4.MessageTypeNak, nakRenewing},
		{"4.3.2 rebinding", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(webIP)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackRebinding},
		{"4.3.2 rebinding an address since moved", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(other)}, netip.Addr{}, "", dhcpv4.MessageTypeNak, nakRebinding},
		{"a renewal forwarded to a server elsewhere", webMAC, dhcpv4.MessageTypeRequest, []dhcpv4.Modifier{ciaddr(webIP)}, other, "", none, silentForeign},

		{"4.3.3 decline", webMAC, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{withServer(serverIP), withWanted(webIP)}, netip.Addr{}, "", none, declined},
		{"decline of another's address", webMAC, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{withServer(serverIP), withWanted(sideIP)}, netip.Addr{}, "", none, silentOtherAddress},
		{"decline to another server", webMAC, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{withServer(other), withWanted(webIP)}, netip.Addr{}, "", none, silentOtherServer},
		{"decline in another's name", webMAC, dhcpv4.MessageTypeDecline, []dhcpv4.Modifier{withServer(serverIP), withWanted(webIP)}, netip.Addr{}, sideMAC, none, silentSpoofed},
		{"4.3.4 release", webMAC, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{withServer(serverIP), ciaddr(webIP)}, serverIP, "", none, released},
		{"release of another's address", webMAC, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{withServer(serverIP), ciaddr(sideIP)}, serverIP, "", none, silentOtherAddress},
		{"release in another's name", webMAC, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{withServer(serverIP), ciaddr(webIP)}, serverIP, sideMAC, none, silentSpoofed},
		{"release to another server", webMAC, dhcpv4.MessageTypeRelease, []dhcpv4.Modifier{withServer(other), ciaddr(webIP)}, netip.Addr{}, "", none, silentOtherServer},

		{"4.3.5 inform", webMAC, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(webIP)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackInform},
		{"4.3.5 inform with an address of one's own", webMAC, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(other)}, netip.Addr{}, "", dhcpv4.MessageTypeAck, ackInform},
		{"inform from off the subnet", webMAC, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{ciaddr(relay)}, netip.Addr{}, "", none, silentOtherAddress},
		{"inform without an address", webMAC, dhcpv4.MessageTypeInform, nil, netip.Addr{}, "", none, silentIncomplete},

		{"relayed by an agent nobody configured", webMAC, dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier{dhcpv4.WithRelay(ip(relay))}, serverIP, "", none, silentRelay},
		{"an answer of some server", webMAC, dhcpv4.MessageTypeOffer, nil, netip.Addr{}, "", none, silentType},
		{"a type yet to be invented", webMAC, dhcpv4.MessageType(99), nil, netip.Addr{}, "", none, silentType},
	} {
		t.Run(tc.clause, func(t *testing.T) {
			d := newDesk(t, guestNetwork())
			dst, src := tc.dst, mac(tc.from)
			if !dst.IsValid() {
				dst = everywhere
			}
			if tc.src != "" {
				src = mac(tc.src)
			}
			got := none
			if r := d.askFrom(message(t, tc.from, tc.kind, tc.with...), src, dst); r != nil {
				got = r.MessageType()
			}
			if got != tc.want {
				t.Errorf("answer is %v, want %v", got, tc.want)
			}
			if d.count(tc.reason) != 1 {
				t.Errorf("counter %v is not 1: %v", tc.reason, d.counters.snapshot())
			}
		})
	}
}

// TestRelayedRebinding: RENEWING is without relays (RFC 2131 section 4.3.2),
// and a relay sends a client's broadcast to the server alone.
func TestRelayedRebinding(t *testing.T) {
	relay, other := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.1.0.77")
	n := guestNetwork()
	n.Relays = []netip.Addr{relay}
	for addr, want := range map[netip.Addr]reason{webIP: ackRebinding, other: nakRebinding} {
		d := newDesk(t, n)
		d.askFrom(message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip(addr)), dhcpv4.WithRelay(ip(relay))), mac(sideMAC), serverIP)
		if d.count(want) != 1 {
			t.Errorf("%v: counter %v is not 1: %v", addr, want, d.counters.snapshot())
		}
	}
}

// TestDestination is RFC 2131 section 4.1: where an answer goes.
func TestDestination(t *testing.T) {
	n := guestNetwork()
	relay := netip.MustParseAddr("10.9.0.1")
	n.Relays = []netip.Addr{relay}
	via := mac("02:00:00:00:00:99")
	web, _ := parseMAC(webMAC)
	wrong := withWanted(netip.MustParseAddr("10.1.0.99"))
	for _, tc := range []struct {
		clause string
		m      *dhcpv4.DHCPv4
		src    net.HardwareAddr
		dst    netip.Addr
		want   target
	}{
		{"no address, no broadcast flag: unicast to the address to be", message(t, webMAC, dhcpv4.MessageTypeDiscover), mac(webMAC), everywhere, target{web, webIP.As4(), 68}},
		{"broadcast flag", message(t, webMAC, dhcpv4.MessageTypeDiscover, dhcpv4.WithBroadcast(true)), mac(webMAC), everywhere, target{everyone, limited, 68}},
		{"renewal with broadcast flag: still to ciaddr", message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip(webIP)), dhcpv4.WithBroadcast(true)), mac(webMAC), serverIP, target{web, webIP.As4(), 68}},
		{"inform: to ciaddr", message(t, webMAC, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip(sideIP))), mac(webMAC), everywhere, target{web, sideIP.As4(), 68}},
		{"nak: broadcast always", message(t, webMAC, dhcpv4.MessageTypeRequest, wrong), mac(webMAC), everywhere, target{everyone, limited, 68}},
		{"relayed: to the relay's server port", message(t, webMAC, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(ip(relay))), via, serverIP, target{hw(via), relay.As4(), 67}},
		{"relayed nak: to the relay", message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithRelay(ip(relay)), wrong), via, serverIP, target{hw(via), relay.As4(), 67}},
		{"a lie in ciaddr moves no offer", message(t, webMAC, dhcpv4.MessageTypeDiscover, dhcpv4.WithClientIP(ip(sideIP))), mac(webMAC), everywhere, target{web, webIP.As4(), 68}},
	} {
		t.Run(tc.clause, func(t *testing.T) {
			d := newDesk(t, n)
			r := d.askFrom(tc.m, tc.src, tc.dst)
			if r == nil {
				t.Fatal("no answer")
			}
			if d.last != tc.want {
				t.Errorf("goes to %v, want %v", d.last, tc.want)
			}
			if r.MessageType() == dhcpv4.MessageTypeNak && !tc.m.GatewayIPAddr.IsUnspecified() && !r.IsBroadcast() {
				t.Error("a relayed NAK needs the broadcast flag (section 4.3.2)")
			}
		})
	}
}

// TestRelayInformation: RFC 3046 section 2.2, option 82 goes back as it came,
// last.
func TestRelayInformation(t *testing.T) {
	n := guestNetwork()
	n.Relays = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	d := newDesk(t, n)
	info := []byte{1, 4, 'e', 't', 'h', '7'}
	m := message(t, webMAC, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(net.IP{10, 9, 0, 1}), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, info))
	r := d.askFrom(m, mac(webMAC), serverIP)
	if got := r.Options.Get(dhcpv4.OptionRelayAgentInformation); string(got) != string(info) {
		t.Fatalf("option 82 is %x, want %x", got, info)
	}
	if !r.GatewayIPAddr.Equal(net.IP{10, 9, 0, 1}) {
		t.Errorf("giaddr is %v", r.GatewayIPAddr)
	}
}

// TestDeclineQuarantine: after a DECLINE the address is not given for a minute,
// somebody is told once, and a client that has it in use is left alone.
func TestDeclineQuarantine(t *testing.T) {
	d := newDesk(t, guestNetwork())
	discover := message(t, webMAC, dhcpv4.MessageTypeDiscover)
	decline := message(t, webMAC, dhcpv4.MessageTypeDecline, withServer(serverIP), withWanted(webIP))
	if d.ask(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(webIP))) == nil || len(d.memory.list()) != 1 {
		t.Fatal("no lease to begin with")
	}
	d.ask(decline)
	d.ask(decline)
	if len(d.seen) != 1 {
		t.Fatalf("%d events for one conflict", len(d.seen))
	}
	if e := <-d.seen; e.Type != "address-conflict" || e.Service != "dhcp" || !e.Time.Equal(testTime) {
		t.Errorf("event is %+v", e)
	}
	if l := d.memory.list(); len(l) != 0 {
		t.Errorf("declined lease is still reported: %v", l)
	}
	if d.ask(discover) != nil {
		t.Error("a declined address is offered again at once")
	}
	if d.ask(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(webIP))) != nil {
		t.Error("a declined address is acknowledged to a rebooted client")
	}
	if d.ask(message(t, sideMAC, dhcpv4.MessageTypeDiscover)) == nil {
		t.Error("another nic is quarantined too")
	}
	if d.askFrom(message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip(webIP))), mac(webMAC), serverIP) == nil {
		t.Error("a client that works is cut off")
	}
	if d.count(nakInitReboot)+d.count(nakRenewing) != 0 {
		t.Error("NAK for a client's own address")
	}
	d.now = testTime.Add(quarantineTime)
	if d.ask(discover) == nil {
		t.Error("not offered after the quarantine")
	}
}

// TestQuarantineEndsWithTheAddress: given another address, a nic starts afresh.
func TestQuarantineEndsWithTheAddress(t *testing.T) {
	d := newDesk(t, guestNetwork())
	d.ask(message(t, webMAC, dhcpv4.MessageTypeDecline, withWanted(webIP)))
	n := guestNetwork()
	n.Bindings[0].IP = netip.MustParseAddr("10.1.0.200")
	d.config = prepared(t, n)
	d.memory.forget(d.config, d.now)
	r := d.ask(message(t, webMAC, dhcpv4.MessageTypeDiscover))
	if r == nil || !r.YourIPAddr.Equal(net.IP{10, 1, 0, 200}) {
		t.Fatalf("the new address is not offered: %v", r)
	}
	if len(d.memory.quar) != 0 {
		t.Error("the old address's quarantine is kept")
	}
}

// TestLeases: first seen stays, last renewed moves, RELEASE ends it, INFORM and
// OFFER make none.
func TestLeases(t *testing.T) {
	d := newDesk(t, guestNetwork())
	d.ask(message(t, webMAC, dhcpv4.MessageTypeDiscover))
	d.ask(message(t, webMAC, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(ip(webIP))))
	if l := d.memory.list(); len(l) != 0 {
		t.Fatalf("a lease without ACK: %v", l)
	}
	d.ask(message(t, webMAC, dhcpv4.MessageTypeRequest, withWanted(webIP)))
	d.now = d.now.Add(time.Hour)
	d.ask(message(t, webMAC, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(ip(webIP))))
	want := agentv1.LeaseStatus{MAC: webMAC, IP: webIP.String(), FirstSeen: testTime, LastRenewed: testTime.Add(time.Hour)}
	if l := d.memory.list(); len(l) != 1 || l[0] != want {
		t.Fatalf("leases are %v, want %v", l, want)
	}
	release := message(t, webMAC, dhcpv4.MessageTypeRelease, withServer(serverIP), dhcpv4.WithClientIP(ip(webIP)))
	d.askFrom(release, mac(sideMAC), serverIP)
	if len(d.memory.list()) != 1 {
		t.Error("released by somebody else")
	}
	d.askFrom(release, mac(webMAC), serverIP)
	if len(d.memory.list()) != 0 {
		t.Error("not released")
	}
}
