package dhcp

import (
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// usual is what dhclient asks for.
var usual = asking(1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42)

func frames(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"discover": requestFrame(message(t, webMAC, dhcpv4.MessageTypeDiscover, usual).ToBytes(), mac(webMAC), everywhere),
		"renew":    requestFrame(message(t, webMAC, dhcpv4.MessageTypeRequest, usual, dhcpv4.WithClientIP(ip(webIP))).ToBytes(), mac(webMAC), serverIP),
		"nak":      requestFrame(message(t, webMAC, dhcpv4.MessageTypeRequest, usual, withWanted(sideIP)).ToBytes(), mac(webMAC), everywhere),
		"stranger": requestFrame(message(t, strayMAC, dhcpv4.MessageTypeDiscover, usual).ToBytes(), mac(strayMAC), everywhere),
		"extras":   requestFrame(message(t, pxeMAC, dhcpv4.MessageTypeDiscover, usual, dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, []byte{1, 2, 3})).ToBytes(), mac(pxeMAC), everywhere),
	}
}

// TestNoAllocations: nothing on the way from frame to frame allocates.
func TestNoAllocations(t *testing.T) {
	for name, frame := range frames(t) {
		d := newDesk(t, guestNetwork())
		out := make([]byte, maxFrame)
		d.answer(d.config, frame, false, testTime, out) // a first lease does, once
		if n := testing.AllocsPerRun(100, func() { d.answer(d.config, frame, false, testTime, out) }); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
}

// BenchmarkAnswer is frame to frame on one core, 65,000 bindings beside.
func BenchmarkAnswer(b *testing.B) {
	n := largeNetwork(65000)
	n.Bindings = append(guestNetwork().Bindings, n.Bindings...)
	for _, name := range []string{"discover", "renew", "nak", "stranger", "extras"} {
		frame := frames(b)[name]
		b.Run(name, func(b *testing.B) {
			d := newDesk(b, n)
			out := make([]byte, maxFrame)
			b.ReportAllocs()
			for b.Loop() {
				d.answer(d.config, frame, false, testTime, out)
			}
		})
	}
}

// BenchmarkLibrary is the same work with insomniacslk/dhcp as the codec: what
// the hand-written one is for.
func BenchmarkLibrary(b *testing.B) {
	msg := message(b, webMAC, dhcpv4.MessageTypeDiscover, usual).ToBytes()
	b.ReportAllocs()
	for b.Loop() {
		m, err := dhcpv4.FromBytes(msg)
		if err != nil || m.HWType != iana.HWTypeEthernet {
			b.Fatal(err)
		}
		r, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithYourIP(ip(webIP)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(serverIP))), dhcpv4.WithRouter(ip(serverIP)), dhcpv4.WithLeaseTime(3600))
		if err != nil {
			b.Fatal(err)
		}
		_ = r.ToBytes()
	}
}

// BenchmarkPrepare is a spec of 65,000 bindings, whole and with one changed.
func BenchmarkPrepare(b *testing.B) {
	n := largeNetwork(65000)
	c := prepared(b, n)
	changed := n
	changed.Bindings = slices.Clone(n.Bindings)
	changed.Bindings[32000].Hostname = "renamed"
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("whole", func() error { _, err := Prepare(nil, n); return err })
	run("one changed", func() error { _, err := Prepare(c, changed); return err })
	run("nothing changed", func() error { _, err := Prepare(c, n); return err })
	run("validate", func() error {
		return validate(agentv1.Content{Interfaces: content(n).Interfaces, DHCP: content(n).DHCP})
	})
}
