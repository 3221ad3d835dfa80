package dhcp

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// hole is a class of mistake that a DHCP server or client was once caught with,
// and what such a packet gets here.
type hole struct {
	class string
	// seen says where: ids as in the changelogs of ISC DHCP, Kea and dnsmasq, or
	// in the descriptions of the CVE list.
	seen string
	msg  []byte
	want reason
	// frame changes the frame around the message.
	frame func(f []byte) []byte
	// check looks further at the answer.
	check func(t *testing.T, answer []byte)
}

func joined(parts ...[]byte) []byte { return slices.Concat(parts...) }

// discovery is a whole DISCOVER of the web guest with further options.
func discovery(options ...byte) []byte { return raw(joined([]byte{53, 1, 1}, options, []byte{255})...) }

var holes = []hole{
	{class: "UDP length beyond the packet", seen: "CVE-2015-8605 (ISC dhcpd, dhclient, dhcrelay end)", msg: discovery(), want: malformedFrame,
		frame: func(f []byte) []byte { put16(f[38:], uint16(len(f))); return f }},
	{class: "UDP length shorter than its header", msg: discovery(), want: malformedFrame,
		frame: func(f []byte) []byte { put16(f[38:], 4); return f }},
	{class: "IP header longer than the packet", msg: discovery(), want: malformedFrame,
		frame: func(f []byte) []byte { f = f[:60]; f[14] = 0x4f; put16(f[16:], 46); return f }},
	{class: "frame cut in the fixed header", msg: discovery(), want: malformedFrame,
		frame: func(f []byte) []byte { return f[:payload+100] }},
	{class: "BOOTP without DHCP options", seen: "CVE-2011-2749 (ISC dhcpd halts on a BOOTP packet)", msg: raw()[:offCookie], want: malformedMessage},
	{class: "hardware address longer than its field", msg: with(discovery(), 2, 255), want: malformedMessage},
	{class: "hardware address of no length", msg: with(discovery(), 2, 0), want: malformedMessage},
	{class: "client id of no length", seen: "CVE-2012-3571 (ISC dhcpd loops for ever)", msg: discovery(61, 0), want: offered},
	{class: "client id of 255 bytes", seen: "the class of CVE-2017-14493 (dnsmasq, DHCPv6: stack overflow)", msg: discovery(parts(61, 255)...), want: offered, check: echoes(61, 255)},
	{class: "client id that says another host than the hardware address", seen: "CVE-2009-1892 (ISC dhcpd ends where hosts are known by either)", msg: discovery(61, 7, 1, 2, 0, 0, 0, 0, 11), want: offered,
		check: func(t *testing.T, a []byte) {
			if ip4(a[offYiaddr:]) != webIP.As4() {
				t.Errorf("a client id chose the address %v", a[offYiaddr:offYiaddr+4])
			}
		}},
	{class: "overload that overloads itself", seen: "CVE-2014-6060 (dhcpcd loops for ever)", want: offered,
		msg: with(with(discovery(52, 1, 3), offFile, 52, 1, 3, 52, 1, 3), offSname, 52, 1, 3, 52, 1, 1)},
	{class: "overloaded fields without an end", msg: with(discovery(52, 1, 3), offSname, bytes.Repeat([]byte{0}, snameLen+fileLen)...), want: offered},
	{class: "overloaded field with an option past its end", want: malformedMessage,
		msg: with(discovery(52, 1, 2), offSname, append(bytes.Repeat([]byte{0}, snameLen-2), 12, 200)...)},
	{class: "option cut off", msg: raw(53, 1, 1, 61, 200, 1, 2), want: malformedMessage},
	{class: "address option of two bytes", seen: "CVE-2018-20679 (BusyBox udhcp reads beyond)", msg: discovery(50, 2, 10, 1), want: malformedMessage},
	{class: "address option of no length", seen: "the class of CVE-2018-20679, CVE-2019-5747 (BusyBox udhcp reads beyond)", msg: discovery(54, 0), want: malformedMessage},
	{class: "maximum size smaller than any message", seen: "CVE-2007-5365 (OpenBSD dhcpd, of ISC dhcp-2: stack overflow)", msg: discovery(57, 2, 0, 1, 55, 3, 1, 3, 6), want: offered, check: between(300, 548)},
	{class: "maximum size larger than any message", msg: discovery(57, 2, 255, 255), want: offered, check: between(300, 1472)},
	{class: "host name given many times over", seen: "CVE-2004-0460 (ISC dhcpd: overflow in what is logged)", want: offered,
		msg: discovery(bytes.Repeat(joined([]byte{12, 40}, bytes.Repeat([]byte{'a'}, 40)), 20)...)},
	{class: "host name that is none", seen: "CVE-2019-6473 (Kea ends on an assertion)", msg: discovery(12, 6, '.', '.', 0, '.', 255, '.'), want: offered},
	{class: "FQDN whose label is too long", seen: "CVE-2022-2929 (ISC dhcpd loses memory)", msg: discovery(joined([]byte{81, 70, 0x04, 0, 0, 66}, bytes.Repeat([]byte{'x'}, 66))...), want: offered},
	{class: "domain search that points at itself", seen: "the class of CVE-2020-7461 (FreeBSD dhclient)", msg: discovery(119, 4, 0xc0, 0, 0xc0, 2), want: offered},
	{class: "line feeds and escapes in what others log", msg: discovery(joined([]byte{12, 11}, []byte("\n\x1b]0;x\x07%n%s"), []byte{60, 4, '%', 'n', '\r', '\n'})...), want: offered},
	{class: "lease time of all ones", msg: discovery(51, 4, 255, 255, 255, 255), want: offered, check: leaseIs(3600)},
	{class: "lease time of no length", msg: discovery(51, 0), want: offered, check: leaseIs(3600)},
	{class: "every option asked for, many times", seen: "the class of amplification", want: offered, check: between(300, 548),
		msg: discovery(joined(bytes.Repeat(joined([]byte{55, 255}, allCodes()[:255]), 2))...)},
	{class: "relay that nobody configured", msg: with(discovery(), offGiaddr, 203, 0, 113, 9), want: silentRelay},
	{class: "relay address of everybody", msg: with(discovery(), offGiaddr, 255, 255, 255, 255), want: silentRelay},
	{class: "relay address of the server itself", msg: with(discovery(), offGiaddr, 10, 1, 0, 1), want: silentRelay},
	{class: "relay information as large as a packet", msg: with(discovery(slices.Concat(parts(82, 510), parts(61, 30))...), offGiaddr, 10, 9, 0, 1), want: offered, check: between(300, 548)},
	{class: "relay information that contains itself", msg: with(discovery(82, 6, 82, 4, 82, 2, 82, 0), offGiaddr, 10, 9, 0, 1), want: offered},
	{class: "messages that servers and proxies send", seen: "the class of CVE-2020-13529 (systemd-networkd: FORCERENEW believed)", msg: raw(53, 1, 9, 255), want: silentType},
	{class: "lease query", seen: "CVE-2022-2928 (ISC dhcpd: counter of references overflows)", msg: raw(53, 1, 10, 255), want: silentType},
	{class: "unicast from an address of no subnet", seen: "CVE-2025-40779 (Kea ends on an assertion)", msg: with(raw(53, 1, 8, 255), offCiaddr, 203, 0, 113, 5), want: silentOtherAddress,
		frame: func(f []byte) []byte { a := serverIP.As4(); copy(f[30:], a[:]); return f }},
	{class: "hop count beyond all limits", seen: "the class of CVE-2003-0039 (ISC dhcrelay forwards for ever)", msg: with(discovery(), 3, 255), want: offered,
		check: func(t *testing.T, a []byte) {
			if a[3] != 0 {
				t.Errorf("the answer has come over %d hops", a[3])
			}
		}},
	{class: "client that is a group", msg: with(discovery(), offChaddr, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), want: silentUnknown},
}

// echoes says that the answer has n bytes of an option.
func echoes(code byte, n int) func(*testing.T, []byte) {
	return func(t *testing.T, a []byte) {
		m, err := dhcpv4.FromBytes(a)
		if err != nil || len(m.Options.Get(dhcpv4.GenericOptionCode(code))) != n {
			t.Errorf("option %d is %d bytes, want %d: %v", code, len(m.Options.Get(dhcpv4.GenericOptionCode(code))), n, err)
		}
	}
}

func between(least, most int) func(*testing.T, []byte) {
	return func(t *testing.T, a []byte) {
		if len(a) < least || len(a) > most {
			t.Errorf("the answer has %d bytes, not %d to %d", len(a), least, most)
		}
	}
}

func leaseIs(seconds float64) func(*testing.T, []byte) {
	return func(t *testing.T, a []byte) {
		if m, err := dhcpv4.FromBytes(a); err != nil || m.IPAddressLeaseTime(0).Seconds() != seconds {
			t.Errorf("the lease is %v: %v", m.IPAddressLeaseTime(0), err)
		}
	}
}

// TestHoles: each packet gets what it should, no more, nothing of it is kept,
// and the next guest is served.
func TestHoles(t *testing.T) {
	n := guestNetwork()
	n.Relays = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	seen := map[string]bool{}
	for _, h := range holes {
		t.Run(h.class, func(t *testing.T) {
			if seen[h.class] {
				t.Fatal("two of one name")
			}
			seen[h.class] = true
			d := newDesk(t, n)
			f := requestFrame(h.msg, mac(webMAC), everywhere)
			if h.frame != nil {
				if f = h.frame(f); h.want != malformedFrame { // its sums are right all the same
					put16(f[24:], 0)
					put16(f[24:], ^naiveSum(f[14:34]))
					put16(f[40:], 0)
				}
			}
			out := make([]byte, maxFrame)
			size := d.answer(d.config, f, false, d.now, out)
			if d.count(h.want) != 1 || d.count(panicked) != 0 {
				t.Errorf("%s: counted as %v, want %v", h.seen, d.counters.snapshot(), h.want)
			}
			if (size > 0) != (h.want == offered) {
				t.Errorf("an answer of %d bytes", size)
			}
			if size > 0 {
				msg, _ := openReply(t, out[:size])
				if h.check != nil {
					h.check(t, msg)
				}
			}
			if len(d.memory.list()) != 0 {
				t.Errorf("kept: %v", d.memory.list())
			}
			if r := d.ask(message(t, sideMAC, dhcpv4.MessageTypeDiscover)); r == nil || !r.YourIPAddr.Equal(ip(sideIP)) {
				t.Errorf("the next guest got %v", r)
			}
		})
	}
}

// TestNothingIsKept: a client that asks for ever, under ever new ids, takes no
// memory (CVE-2018-5733: references that ISC dhcpd never gave back; CVE-2019-14834:
// memory that dnsmasq lost with a request).
func TestNothingIsKept(t *testing.T) {
	d := newDesk(t, guestNetwork())
	for i := range 100_000 {
		m := discovery(61, 5, byte(i>>24), byte(i>>16), byte(i>>8), byte(i), 9)
		if i%2 == 1 { // a stranger each
			with(m, offChaddr, 2, 9, byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
		}
		d.answer(d.config, requestFrame(m, mac(webMAC), everywhere), false, d.now, make([]byte, maxFrame))
	}
	if len(d.memory.leases) != 0 || len(d.memory.quar) != 0 {
		t.Errorf("%d leases, %d quarantines", len(d.memory.leases), len(d.memory.quar))
	}
}

// TestNothingOfAPacketIsLogged: neither shell, nor terminal, nor log reader
// meets a client's bytes (CVE-2002-0702: a format string; CVE-2011-0997: a shell
// command in a host name). What users say are names is checked.
func TestNothingOfAPacketIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := newServer(slog.New(slog.NewTextHandler(&log, nil)), nil)
	l := s.listen(prepared(t, guestNetwork()), "test0")
	for _, kind := range []byte{1, 3, 4, 7, 8} {
		m := raw(joined([]byte{53, 1, kind, 50, 4, 10, 1, 0, 10}, []byte{12, 13}, []byte("$(reboot)\n%n%s"[:13]), []byte{255})...)
		l.responder.answer(l.config.Load(), requestFrame(with(m, offCiaddr, 10, 1, 0, 10), mac(webMAC), everywhere), false, testTime, make([]byte, maxFrame))
	}
	for len(s.events) > 0 {
		fmt.Fprint(&log, <-s.events)
	}
	for _, lease := range l.memory.list() {
		fmt.Fprint(&log, lease)
	}
	if strings.Contains(log.String(), "reboot") || strings.Contains(log.String(), "%n") {
		t.Errorf("a client's words: %s", log.String())
	}
	for _, name := range []string{"$(reboot)", "a b", "a\nb", "`id`", "a;b", "-a", "a..b", strings.Repeat("a", 64)} {
		n := guestNetwork()
		n.Bindings[0].Hostname = name
		if _, err := Want(agentv1.Content{Interfaces: content(n).Interfaces, DHCP: content(n).DHCP}, nil); err == nil {
			t.Errorf("the host name %q is accepted", name)
		}
	}
}
