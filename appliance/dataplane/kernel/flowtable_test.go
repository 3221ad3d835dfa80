package kernel

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// fast is a site whose kernel has flowtables; test/kernel runs these tests on
// one.
func fast(t testing.TB) *site {
	s := newSite(t)
	has := false
	s.router.Do(func() { has = s.k.Flowtables() })
	if !has {
		t.Skip("this kernel has no flowtables; go test ./test/kernel has one that does")
	}
	s.apply(s.want())
	return s
}

// TestFlowtable: what is in the flowtable passes no rule, and arrives as by the
// rules.
func TestFlowtable(t *testing.T) {
	s := fast(t)
	if !s.plane.Offloads() {
		t.Fatal("no flowtable")
	}
	out := s.echo(s.outside, server)
	x := s.stream(guest, 4000).offloaded()
	s.router.Run(t, "nft add table ip passed")
	s.router.Run(t, "nft add chain ip passed forward { type filter hook forward priority -500 ; }")
	s.router.Run(t, "nft add rule ip passed forward counter")
	before := s.departed()
	x.converse(100)
	if rules := s.router.Run(t, "nft list table ip passed"); !strings.Contains(rules, "packets 0 ") {
		t.Errorf("forwarded by rules:\n%s", rules)
	}
	if from := out.sender(); from.Addr() != public {
		t.Errorf("came from %s, want %s", from, public)
	}
	if n := s.departed() - before; n < 100 || n > 110 { // and perhaps some ARP
		t.Errorf("the nic has counted %d packets out, of 100", n)
	}
}

// TestFlowtableRevokes: once the call has returned, no packet of a connection
// that is wanted no more arrives, whatever the kernel had of it.
func TestFlowtableRevokes(t *testing.T) {
	changed := func(change func(w *dataplane.Want)) func(s *site) {
		return func(s *site) {
			w := s.want()
			change(&w)
			s.apply(w)
		}
	}
	for name, revoke := range map[string]func(s *site){
		"no SNAT": changed(func(w *dataplane.Want) { w.SNAT = nil }),
		"another address": changed(func(w *dataplane.Want) {
			other := addr("203.0.113.3")
			w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(other, 32)})
			w.SNAT[0].Address = other
		}),
		"no network": changed(func(w *dataplane.Want) { w.Nics, w.Addresses, w.SNAT = w.Nics[1:], w.Addresses[1:], nil }),
		"guard": func(s *site) {
			var err error
			s.router.Do(func() {
				_, err = s.plane.Guard(s.Context(), func(map[dataplane.ChainID][]string) (bool, error) { return false, nil })
			})
			s.check(err)
		},
		"lockdown": func(s *site) {
			var err error
			s.router.Do(func() { err = s.plane.Lockdown(s.Context()) })
			s.check(err)
		},
		"nft flush ruleset": func(s *site) {
			s.router.Run(s, "nft flush ruleset")
			s.router.Run(s, "sysctl -qw net.ipv4.ip_forward=0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := fast(t)
			out := s.echo(s.outside, server)
			x := s.stream(guest, 4000).offloaded()
			from, before := out.sender(), x.sent.Load()
			stop := x.run()
			time.Sleep(100 * time.Millisecond)
			revoke(s)
			last := x.sent.Load() + 1 // one may be on its way from before the call returned
			time.Sleep(1500 * time.Millisecond)
			stop()
			if n := x.sent.Load() - last; n < 100 {
				t.Fatalf("%d sent afterwards", n)
			}
			if came := out.came(from); came > last || came <= before {
				t.Errorf("number %d arrived from %s, the call returned at %d", came, from, last)
			}
		})
	}
}

// TestFlowtableKeepsCounts: connections of mappings are counted as without.
func TestFlowtableKeepsCounts(t *testing.T) {
	s := fast(t)
	vip, mapped := addr("203.0.113.50"), addr("10.0.0.11")
	s.inside.Run(t, "ip addr add 10.0.0.11/24 dev eth0")
	w := s.want()
	w.EIPs = []dataplane.EIP{{VIP: vip, Guest: mapped}}
	w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(vip, 32)})
	s.apply(w)
	out := s.echo(s.outside, server)
	x := s.stream(mapped, 4000)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		x.converse(1)
	}
	if from := out.sender(); from.Addr() != vip || strings.Contains(x.entry(), "[OFFLOAD]") {
		t.Errorf("came from %s: %s", from, x.entry())
	}
	var m dataplane.Meters
	var err error
	s.router.Do(func() { m, err = s.k.Meters() })
	s.check(err)
	if got, n := m.VIPs[vip], x.sent.Load(); got.Out.Packets != n || got.In.Packets != n || got.Out.Bytes != n*36 {
		t.Errorf("counted %+v of %d packets with 36 bytes each way", got, n)
	}
}

// TestFlowtableStopsForgers: a connection in the flowtable is one's own, by the
// nic that its packets come in on.
func TestFlowtableStopsForgers(t *testing.T) {
	s := fast(t)
	forger := kerneltest.NewNamespace(t, "f")
	s.wire("g1", forger, "10.0.1.10/24")
	w := s.want()
	w.Nics = append(w.Nics, dataplane.Nic{Link: "g1", Guest: true, MTU: 1500, Subnets: []netip.Prefix{prefix("10.0.1.0/24")}})
	w.Addresses = append(w.Addresses, dataplane.Address{Link: "g1", Prefix: prefix("10.0.1.1/24")})
	s.apply(w)
	forger.Run(t, "ip addr add 10.0.0.10/32 dev eth0")
	forger.Run(t, "ip route add default via 10.0.1.1")
	out := s.echo(s.outside, server)
	x := s.stream(guest, 4000).offloaded()
	forged := &stream{site: s, c: s.bind(forger, netip.AddrPortFrom(guest, 4000)), to: server}
	forged.sent.Store(1 << 40)
	for range 20 {
		forged.send()
		x.converse(1)
	}
	if came := out.came(out.sender()); came >= 1<<40 {
		t.Errorf("a forged packet arrived as %s", out.sender())
	}
	if !strings.Contains(x.entry(), "[OFFLOAD]") {
		t.Errorf("no more offloaded: %s", x.entry())
	}
}

// TestFlowtableComesAndGoes: a connection goes on by the rules when the
// flowtable is switched off, and in it when it is on again; and a nic that was
// unplugged leaves a flowtable that can be replaced.
func TestFlowtableComesAndGoes(t *testing.T) {
	s := fast(t)
	out := s.echo(s.outside, server)
	x := s.stream(guest, 4000).offloaded()
	from := out.sender()
	s.k.NoFlowtables = true
	s.apply(s.want())
	x.converse(10)
	if strings.Contains(x.entry(), "[OFFLOAD]") || s.plane.Offloads() {
		t.Errorf("switched off: %s", x.entry())
	}
	s.k.NoFlowtables = false
	s.apply(s.want())
	x.offloaded()
	if now := out.sender(); now != from {
		t.Errorf("came from %s, and then from %s", from, now)
	}
	s.router.Run(t, "ip link del g0")
	w := s.want()
	w.Nics, w.Addresses, w.SNAT = w.Nics[1:], w.Addresses[1:], nil
	s.apply(w)
	s.wire("g0", s.inside, guest.String()+"/24")
	s.inside.Run(t, "ip route add default via 10.0.0.1")
	s.apply(s.want())
	s.stream(guest, 4001).offloaded()
}

// TestFlowtableCarriesTCP: a connection that is large and ends in order.
func TestFlowtableCarriesTCP(t *testing.T) {
	s := fast(t)
	var l net.Listener
	var err error
	s.outside.Do(func() { l, err = net.Listen("tcp4", server.String()) })
	s.check(err)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	var c net.Conn
	s.inside.Do(func() { c, err = net.Dial("tcp4", server.String()) })
	s.check(err)
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	s.check(c.SetReadDeadline(time.Now().Add(time.Minute)))
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back of %d (%v)", len(got), len(data), err)
	}
}

// TestFlowtableKnowsWays: with two nics that lead out, a connection stays on its
// own.
func TestFlowtableKnowsWays(t *testing.T) {
	s := fast(t)
	beyond := kerneltest.NewNamespace(t, "b")
	s.wire("p1", beyond, "192.88.99.1/24")
	far := netip.MustParseAddrPort("198.51.100.7:9")
	for _, ns := range []*kerneltest.Namespace{s.outside, beyond} {
		ns.Run(t, "ip addr add "+far.Addr().String()+"/32 dev lo")
	}
	s.inside.Run(t, "ip addr add 10.0.0.11/24 dev eth0")
	w := s.want()
	w.Nics[1].NextHop = w.Nics[1].Gateway
	w.Nics = append(w.Nics, dataplane.Nic{Link: "p1", Public: true, MTU: 1500, NextHop: addr("192.88.99.1")})
	w.Addresses = append(w.Addresses, dataplane.Address{Link: "p1", Prefix: prefix("192.88.99.2/24")})
	w.SNAT = append(w.SNAT, dataplane.SNAT{Source: prefix("10.0.0.11/32"), Link: "p1", Address: addr("192.88.99.2")})
	s.apply(w)
	first, second := s.echo(s.outside, far), s.echo(beyond, far)
	for from, out := range map[netip.Addr]*echo{guest: first, addr("10.0.0.11"): second} {
		x := s.stream(from, 4000)
		x.to = far
		x.offloaded().converse(10)
		want := map[*echo]netip.Addr{first: public, second: addr("192.88.99.2")}[out]
		if is := out.sender(); is.Addr() != want {
			t.Errorf("%s came from %s, want %s", from, is, want)
		}
	}
}
