package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

const (
	// mappings of the router, of each kind.
	mappings = 10_000
	// smallest frame: 64 bytes with the checksum, which no packet in a kernel has.
	smallest = 60
	flood    = 50_000
)

// full is want with a management nic and mappings of other guests.
func (s *site) full() dataplane.Want {
	w := s.want()
	for i := range mappings {
		vip, other := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), netip.AddrFrom4([4]byte{10, 0, byte(1 + i>>8), byte(i)})
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip, Guest: other})
		w.Forwards = append(w.Forwards, dataplane.Forward{VIP: public, Protocol: "tcp", First: uint16(1024 + i), Last: uint16(1024 + i), Guest: other, To: 80})
	}
	return w
}

// BenchmarkFlowtable sends small packets of one stream from a guest to the
// outside, in turns with the flowtable and without; what left the router counts.
func BenchmarkFlowtable(b *testing.B) {
	s := fast(b)
	s.echo(s.outside, server)
	x := s.stream(guest, 4000).offloaded()
	x.generate()
	var with, without float64
	for range b.N {
		s.k.NoFlowtables = false
		s.apply(s.full())
		x.send() // the first packet finds the flowtable again
		if entry := x.entry(); !strings.Contains(entry, "[OFFLOAD]") {
			b.Fatal("not offloaded: ", entry)
		}
		with += x.flood()
		s.k.NoFlowtables = true
		s.apply(s.full())
		if entry := x.entry(); strings.Contains(entry, "[OFFLOAD]") {
			b.Fatal("still offloaded: ", entry)
		}
		without += x.flood()
	}
	b.ReportMetric(with/float64(b.N), "fast-packets/s")
	b.ReportMetric(without/float64(b.N), "packets/s")
	b.ReportMetric(with/without, "ratio")
}

// flood has the kernel's packet generator send, and is how many packets a second
// left the router. Nobody takes them, so that the router's part is the largest.
func (x *stream) flood() float64 {
	before, began := x.departed(), time.Now()
	x.generator("pgctrl", "start") // returns when all is sent
	return float64(x.departed()-before) / time.Since(began).Seconds()
}

// generate prepares the packet generator (pktgen) for a stream, and has what
// comes out dropped.
func (x *stream) generate() {
	x.Helper()
	mac := func(ns *kerneltest.Namespace, link string) string {
		words := strings.Fields(ns.Run(x, "ip -o link show dev "+link))
		return words[slices.Index(words, "link/ether")+1]
	}
	x.router.Run(x, fmt.Sprintf("ip neigh replace %s lladdr %s nud permanent dev p0", x.to.Addr(), mac(x.outside, "eth0")))
	x.outside.Run(x, "nft add table netdev sink")
	x.outside.Run(x, "nft add chain netdev sink drops { type filter hook ingress device eth0 priority 0 ; policy drop ; }")
	x.generator("kpktgend_0", "add_device eth0")
	from := x.c.LocalAddr().(*net.UDPAddr)
	x.generator("eth0", fmt.Sprint("count ", flood), fmt.Sprint("pkt_size ", smallest), "delay 0", "dst_mac "+mac(x.router, "g0"),
		fmt.Sprint("src_min ", from.IP), fmt.Sprint("src_max ", from.IP), fmt.Sprint("dst ", x.to.Addr()),
		fmt.Sprint("udp_src_min ", from.Port), fmt.Sprint("udp_src_max ", from.Port),
		fmt.Sprint("udp_dst_min ", x.to.Port()), fmt.Sprint("udp_dst_max ", x.to.Port()))
}

// generator writes to a file of the packet generator's, a line each time.
func (s *site) generator(file string, lines ...string) {
	s.Helper()
	for _, line := range lines {
		var err error
		s.inside.Do(func() {
			err = os.WriteFile("/proc/thread-self/net/pktgen/"+file, []byte(line+"\n"), 0)
		})
		if err != nil {
			s.Fatalf("%s: %s: %v", file, line, err)
		}
	}
}

// departed is the packets that left by p0 (proc(5), /proc/net/dev).
func (s *site) departed() (n int) {
	s.Helper()
	var all []byte
	var err error
	s.router.Do(func() { all, err = os.ReadFile("/proc/thread-self/net/dev") })
	s.check(err)
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) > 10 && f[0] == "p0:" {
			_, err = fmt.Sscan(f[10], &n)
		}
	}
	s.check(err)
	return n
}
