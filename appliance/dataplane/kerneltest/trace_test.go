package kerneltest

import (
	"net/netip"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// TestPrecedence: which rule decides.
func TestPrecedence(t *testing.T) {
	w := WantAll()
	w.Forwards = append(w.Forwards, dataplane.Forward{ // behind an EIP, which has precedence
		VIP: netip.MustParseAddr("203.0.113.50"), Protocol: "tcp", First: 80, Last: 80, Guest: netip.MustParseAddr("10.0.0.12"), To: 80})
	full, bare := dataplane.Render(w), WantAll()
	bare.SNAT, bare.EIPs = nil, nil
	for _, c := range []struct {
		name     string
		s        dataplane.State
		in       string
		protocol string
		from, to string
		want     string
	}{
		{"EIP before a forwarded port", full, "p0", "tcp", "198.51.100.1:1", "203.0.113.50:80", "out g0 from 198.51.100.1 to 10.0.0.10:80 by inbound"},
		{"middle of a range", full, "p0", "tcp", "198.51.100.1:1", "203.0.113.2:85", "out g0 from 198.51.100.1 to 10.0.0.11:8085 by forward"},
		{"same number, other protocol", full, "p0", "udp", "198.51.100.1:1", "203.0.113.2:85", "out g0 from 198.51.100.1 to 10.0.0.12:85 by forward"},
		{"behind a range", full, "p0", "tcp", "198.51.100.1:1", "203.0.113.2:90", "dropped by policy of INPUT"},
		{"allowed", full, "p0", "tcp", "198.51.100.1:1", "203.0.113.2:22", "out g0 from 198.51.100.1 to 10.0.0.12:22 by limited"},
		{"not allowed", full, "p0", "tcp", "192.88.99.1:1", "203.0.113.2:22", "dropped by policy of INPUT"},
		{"out by the EIP of the lowest order", full, "g0", "tcp", "10.0.0.10:1", "198.51.100.1:80", "out p0 from 203.0.113.51 to 198.51.100.1:80 by outbound"},
		{"out by the longest source", full, "g0", "udp", "10.0.0.128:1", "198.51.100.1:80",
			"out p0 from 203.0.113.2 to 198.51.100.1:80 by -s 10.0.0.128/32 ! -d 224.0.0.0/4 -o p0 -j SNAT --to-source 203.0.113.2 --random-fully"},
		{"hairpin", full, "g0", "tcp", "10.0.0.11:1", "203.0.113.50:22", "out g0 from 10.0.0.1 to 10.0.0.10:22 by inbound"},
		{"forged by a guest", full, "g0", "udp", "10.9.0.1:1", "198.51.100.1:80", "dropped by iifname \"g0\" drop"},
		{"forged from outside", full, "p0", "udp", "10.0.0.11:1", "203.0.113.50:80", "dropped by ip saddr 10.0.0.0/24 iifname != \"lo\" drop"},
		{"routed at a guest", full, "p0", "udp", "198.51.100.1:1", "10.0.0.10:80", "dropped by policy of forward"},
		{"guest to management", full, "g0", "tcp", "10.0.0.11:1", "192.0.2.9:80", "dropped by oifname \"m0\" drop"},
		{"guest to a network beyond management", full, "g0", "tcp", "10.0.0.11:1", "198.18.0.9:443", "dropped by oifname \"m0\" drop"},
		{"orchestrator beyond management", full, "m0", "tcp", "198.18.0.9:1", "192.0.2.2:7443", "out lo from 198.18.0.9 to 192.0.2.2:7443 by -i m0 -p tcp -m tcp --dport 7443 -m comment --comment agent -j ACCEPT"},
		{"guest to the router's management side", full, "g0", "tcp", "10.0.0.11:1", "192.0.2.2:7443", "dropped by -d 192.0.2.2/32 ! -i m0 -j DROP"},
		{"management to a guest", full, "m0", "tcp", "192.0.2.9:1", "10.0.0.10:80", "dropped by iifname \"m0\" drop"},
		{"management to the agent", full, "m0", "tcp", "192.0.2.9:1", "192.0.2.2:7443", "out lo from 192.0.2.9 to 192.0.2.2:7443 by -i m0 -p tcp -m tcp --dport 7443 -m comment --comment agent -j ACCEPT"},
		{"no mapping, no way out", dataplane.Render(bare), "g0", "udp", "10.0.0.10:1", "198.51.100.1:80", "dropped by leaking"},
	} {
		ap := netip.MustParseAddrPort
		if got := Trace(c.s, Packet{In: c.in, Protocol: c.protocol, From: ap(c.from), To: ap(c.to)}).String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}
