package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// show prints a reply in one line: rcode, flags, answers; then the authority's
// SOA owner.
func show(m *dns.Msg) string {
	s := dns.RcodeToString[m.Rcode]
	if m.Authoritative {
		s += " aa"
	}
	if m.Truncated {
		s += " tc"
	}
	for _, rr := range m.Answer {
		s += " " + strings.Join(strings.Fields(rr.String())[3:], " ")
	}
	for _, rr := range m.Ns {
		s += " / " + rr.Header().Name + " " + dns.TypeToString[rr.Header().Rrtype]
	}
	return s
}

func TestLocalAnswers(t *testing.T) {
	for _, tc := range []struct{ clause, name, qtype, want string }{
		{"name", "web", "A", "NOERROR aa A 10.1.2.10"},
		{"name.domain", "web.lan.example", "A", "NOERROR aa A 10.1.2.10"},
		{"RFC 4343: case does not matter", "WeB.LAN.exAmple", "A", "NOERROR aa A 10.1.2.10"},
		{"clash: both are served", "clash.lan.example", "A", "NOERROR aa A 10.1.2.20 A 10.1.2.21"},
		{"AAAA of a guest", "six.lan.example", "AAAA", "NOERROR aa AAAA 2001:db8::6"},
		{"PTR in the guest CIDR", "10.2.1.10.in-addr.arpa", "PTR", "NOERROR aa PTR web.lan.example."},
		{"RFC 2308 §2.2: NODATA with SOA", "web.lan.example", "AAAA", "NOERROR aa / lan.example. SOA"},
		{"bare name, NODATA from the root", "web", "AAAA", "NOERROR aa / . SOA"},
		{"RFC 2308 §2.1: NXDOMAIN with SOA", "nobody.lan.example", "A", "NXDOMAIN aa / lan.example. SOA"},
		{"deep below", "x.y.z.lan.example", "MX", "NXDOMAIN aa / lan.example. SOA"},
		{"RFC 8020: empty non-terminal exists", "deep.lan.example", "A", "NOERROR aa / lan.example. SOA"},
		{"below a host nothing exists", "x.web.lan.example", "A", "NXDOMAIN aa / lan.example. SOA"},
		{"apex exists", "lan.example", "A", "NOERROR aa / lan.example. SOA"},
		{"apex SOA", "lan.example", "SOA", "NOERROR aa SOA lan.example. nobody.invalid. 1 3600 1200 604800 10"},
		{"apex NS", "lan.example", "NS", "NOERROR aa NS lan.example."},
		{"bare name with a dot", "a.deep", "A", "NOERROR aa A 10.1.2.30"},
		{"bare name with a dot, NODATA", "a.deep", "TXT", "NOERROR aa / a.deep. SOA"},
		{"reverse: nobody there", "99.2.1.10.in-addr.arpa", "PTR", "NXDOMAIN aa / 2.1.10.in-addr.arpa. SOA"},
		{"reverse apex", "2.1.10.in-addr.arpa", "SOA", "NOERROR aa SOA 2.1.10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10"},
		{"RFC 6303: other private addresses", "9.9.9.10.in-addr.arpa", "PTR", "NXDOMAIN aa / 10.in-addr.arpa. SOA"},
		{"RFC 6303", "1.5.168.192.in-addr.arpa", "PTR", "NXDOMAIN aa / 168.192.in-addr.arpa. SOA"},
		{"RFC 6303: 172.16/12 begins", "1.0.16.172.in-addr.arpa", "PTR", "NXDOMAIN aa / 16.172.in-addr.arpa. SOA"},
		{"RFC 6303: 172.16/12 ends", "1.0.31.172.in-addr.arpa", "PTR", "NXDOMAIN aa / 31.172.in-addr.arpa. SOA"},
		{"RFC 7793: shared space", "1.0.100.100.in-addr.arpa", "PTR", "NXDOMAIN aa / 100.100.in-addr.arpa. SOA"},
		{"RFC 6303: link-local", "1.0.254.169.in-addr.arpa", "PTR", "NXDOMAIN aa / 254.169.in-addr.arpa. SOA"},
		{"RFC 6303: IPv6 unique local", "1.d.f.ip6.arpa", "PTR", "NXDOMAIN aa / d.f.ip6.arpa. SOA"},
		{"single label, not ours", "printer", "A", "NXDOMAIN aa / . SOA"},
		{"RFC 6761 §6.3", "localhost", "A", "NOERROR aa A 127.0.0.1"},
		{"RFC 6761 §6.3, below", "x.localhost", "AAAA", "NOERROR aa AAAA ::1"},
		{"RFC 6761 §6.3, no other data", "localhost", "MX", "NOERROR aa / localhost. SOA"},
		{"RFC 6761 §6.4", "x.invalid", "A", "NXDOMAIN aa / invalid. SOA"},
		{"RFC 7686 §2", "x.onion", "A", "NXDOMAIN aa / onion. SOA"},
		{"RFC 8482 §4.1: one set", "web.lan.example", "ANY", "NOERROR aa A 10.1.2.10"},
		{"RFC 8482 §4.2: not asked elsewhere", "www.example.org", "ANY", `NOERROR HINFO "RFC8482" ""`},
		{"no upstream: somebody else may know", "www.example.org", "A", "REFUSED"},
		{"public reverse is not ours", "8.8.8.8.in-addr.arpa", "PTR", "REFUSED"},
		{"172.32 is not private", "1.0.32.172.in-addr.arpa", "PTR", "REFUSED"},
		{"a transfer", "lan.example", "AXFR", "REFUSED"},
	} {
		t.Run(tc.clause+" "+tc.name+" "+tc.qtype, func(t *testing.T) {
			b := newBench(t, nil)
			got := b.lookup(tc.name, dns.StringToType[tc.qtype])
			if s := show(got); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
			if !got.RecursionAvailable || got.AuthenticatedData {
				t.Errorf("RA %v, AD %v; want true, false", got.RecursionAvailable, got.AuthenticatedData)
			}
		})
	}
}

// TestReverseZones: a CIDR of any length is answered here, and its neighbours
// are not unless they are private.
func TestReverseZones(t *testing.T) {
	for _, tc := range []struct{ subnet, ip, want string }{
		{"10.1.2.0/23", "10.1.3.4", "NXDOMAIN aa / 3.1.10.in-addr.arpa. SOA"},
		{"10.1.2.0/23", "10.1.4.4", "NXDOMAIN aa / 10.in-addr.arpa. SOA"},
		{"10.0.0.0/9", "10.127.4.4", "NXDOMAIN aa / 127.10.in-addr.arpa. SOA"},
		{"10.1.2.64/26", "10.1.2.65", "NXDOMAIN aa / 2.1.10.in-addr.arpa. SOA"},
		{"198.18.4.0/24", "198.18.4.9", "NXDOMAIN aa / 4.18.198.in-addr.arpa. SOA"},
		{"198.18.4.0/24", "198.18.5.9", "REFUSED"},
		{"198.18.4.64/26", "198.18.4.65", "NOERROR aa / 65.4.18.198.in-addr.arpa. SOA"},
		{"198.18.4.64/26", "198.18.4.63", "REFUSED"},
		{"198.18.4.64/26", "198.18.4.127", "NOERROR aa / 127.4.18.198.in-addr.arpa. SOA"},
		{"198.18.4.64/26", "198.18.4.128", "REFUSED"},
		{"198.18.4.7/32", "198.18.4.7", "NOERROR aa / 7.4.18.198.in-addr.arpa. SOA"},
	} {
		b := newBench(t, func(c *agentv1.Content, _ *Config) {
			c.DNS[0].Subnet, c.DNS[0].Records = netip.MustParsePrefix(tc.subnet), nil
		})
		name, err := dns.ReverseAddr(tc.ip)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(b.lookup(name, dns.TypePTR)); got != tc.want {
			t.Errorf("%s in %s: got %s, want %s", tc.ip, tc.subnet, got, tc.want)
		}
	}
}

// TestForwardSingleLabel: only when configured does a single label leave; with
// a dead upstream that shows as SERVFAIL.
func TestForwardSingleLabel(t *testing.T) {
	dead := func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{closedPort(t)}
	}
	if got := newBench(t, dead).lookup("com", dns.TypeDS); got.Rcode != dns.RcodeNameError {
		t.Errorf("not configured: got %s, want NXDOMAIN", show(got))
	}
	b := newBench(t, func(c *agentv1.Content, extra *Config) {
		dead(c, extra)
		extra.ForwardSingleLabel = true
	})
	if got := b.lookup("com", dns.TypeDS); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("configured: got %s, want SERVFAIL", show(got))
	}
	if got := b.lookup("web", dns.TypeA); show(got) != "NOERROR aa A 10.1.2.10" {
		t.Errorf("a local single label: got %s", show(got))
	}
}

// TestLocalNeverLeaves: whatever is asked about the local domain, private
// reverse zones or single labels, in whatever case, type and with whatever
// labels before, is answered without an upstream.
func TestLocalNeverLeaves(t *testing.T) {
	b := newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams = []netip.AddrPort{closedPort(t)}
	})
	label := rapid.StringMatching(`[a-zA-Z0-9_-]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		b.pass(1e9) // a second: the guest's bucket is full again
		zone := rapid.SampledFrom([]string{"lan.example", "LAN.Example", "10.in-addr.arpa", "20.172.in-addr.arpa", "d.f.ip6.arpa", "localhost", ""}).Draw(t, "zone")
		n := rapid.IntRange(0, 6).Draw(t, "labels")
		if zone == "" {
			n = 1
		}
		name := zone
		for range n {
			name = label.Draw(t, "label") + "." + name
		}
		qtype := rapid.Uint16Range(1, 127).Filter(func(v uint16) bool { return v != typeOPT }).Draw(t, "type")
		got := b.lookup(strings.TrimSuffix(name, "."), qtype)
		if got.Rcode != dns.RcodeSuccess && got.Rcode != dns.RcodeNameError {
			t.Fatalf("%s %d: %s", name, qtype, show(got))
		}
		if len(got.Answer) == 0 && (len(got.Ns) != 1 || got.Ns[0].Header().Rrtype != dns.TypeSOA) {
			t.Fatalf("%s %d: negative without SOA: %s", name, qtype, show(got))
		}
	})
	if n := b.srv.counters[countUpstreamQuery].Load(); n != 0 {
		t.Fatalf("%d queries left", n)
	}
}

// TestPreparedLikeCodec: what the hot path puts together byte by byte is what
// the codec makes of the same answer.
func TestPreparedLikeCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`).Draw(t, "host")
		if host == "localhost" {
			return
		}
		n := rapid.IntRange(1, 40).Draw(t, "addresses")
		do, edns := rapid.Bool().Draw(t, "do"), rapid.Bool().Draw(t, "edns")
		var records []agentv1.DNSRecord
		want := new(dns.Msg)
		for i := range n {
			ip := netip.AddrFrom4([4]byte{10, 1, 2, byte(i)})
			records = append(records, agentv1.DNSRecord{Name: host, IP: ip})
			rr, err := dns.NewRR(fmt.Sprintf("%s.lan.example. %d IN A %s", host, localTTL, ip))
			if err != nil {
				t.Fatal(err)
			}
			want.Answer = append(want.Answer, rr)
		}
		m := question(host+".lan.example", dns.TypeA)
		m.Id = rapid.Uint16().Draw(t, "id")
		m.CheckingDisabled = rapid.Bool().Draw(t, "cd")
		if edns {
			m.SetEdns0(4096, do)
		}
		rrs := want.Answer
		want.SetReply(m)
		want.Answer = rrs
		want.Authoritative, want.RecursionAvailable, want.Compress = true, true, true
		if edns {
			want.SetEdns0(ednsUDPSize, do)
		}
		expected, err := want.Pack()
		if err != nil {
			t.Fatal(err)
		}
		pkt, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		z := newZone(Config{Domain: "lan.example", Subnet: netip.MustParsePrefix("10.1.2.0/24"), Records: records})
		q := query{}
		if p := q.parse(pkt, true); p != parsedOK {
			t.Fatalf("parse: %d", p)
		}
		a := answer{soa: noSOA}
		if !z.lookup(&q, &a) {
			t.Fatal("not found")
		}
		if got := appendReply(nil, &q, &a, nil); string(got) != string(expected) {
			t.Fatalf("got  %x\nwant %x", got, expected)
		}
	})
}

// TestNeverAsked: special names stay here, and a network whose own domain is
// below one of them has it all the same.
func TestNeverAsked(t *testing.T) {
	up := newStranger(t)
	up.answers()
	b := newBench(t, func(c *agentv1.Content, _ *Config) {
		c.DNS[0].Upstreams, c.DNS[0].Domain = []netip.AddrPort{up.addr()}, "corp.local"
	})
	for _, name := range append(slices.Clone(neverAsked), "printer.local", "nobody.corp.local", "_dns.resolver.arpa") {
		if got := show(b.lookup(name, dns.TypeA)); !strings.HasPrefix(got, "NXDOMAIN") && !strings.HasPrefix(got, "NOERROR aa /") || strings.Contains(got, " A ") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := show(b.lookup("web.corp.local", dns.TypeA)); got != "NOERROR aa A 10.1.2.10" {
		t.Errorf("the network's own domain: %s", got)
	}
	if n := up.seen.Load(); n != 0 {
		t.Errorf("%d questions left", n)
	}
}
