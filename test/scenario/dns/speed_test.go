package dns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// BenchmarkDnsperf is queries a second over a veth, as dnsperf counts them, with
// 10,000 local names: `dnsperf -c 20 -T 1 -q 200`; and the server's CPU time a
// query, which other work on the machine disturbs less. One run is five seconds.
func BenchmarkDnsperf(b *testing.B) {
	if _, err := exec.LookPath("dnsperf"); err != nil {
		b.Skip("needs dnsperf")
	}
	for _, kind := range []string{"local", "cached"} {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b)
			w.content.DNS[0].Subnet = netip.MustParsePrefix("10.77.0.0/16")
			w.content.DNS[0].Records = nil
			var queries strings.Builder
			for i := range 10000 {
				w.content.DNS[0].Records = append(w.content.DNS[0].Records, agentv1.DNSRecord{
					Name: fmt.Sprintf("guest-%d", i), IP: netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)}),
				})
				if kind == "local" {
					fmt.Fprintf(&queries, "guest-%d.lan.test A\n", i)
				} else if i < 500 { // warmed within what one guest may ask upstream
					fmt.Fprintf(&queries, "n%d.cached.example.test A\n", i)
				}
			}
			w.apply()
			file := filepath.Join(b.TempDir(), "queries")
			if err := os.WriteFile(file, []byte(queries.String()), 0o644); err != nil {
				b.Fatal(err)
			}
			w.in(guestNS, "dnsperf -s "+routerIP+" -d "+file+" -n 1 -c 1 -q 20 -Q 400")
			b.ResetTimer()
			for b.Loop() {
				before := w.routerCPU()
				out := w.in(guestNS, "dnsperf -s "+routerIP+" -d "+file+" -c 20 -T 1 -q 200 -l 5")
				b.ReportMetric((w.routerCPU()-before)*1e6/figure(b, out, `Queries completed:\s+([0-9]+)`), "cpu-us/query")
				b.ReportMetric(figure(b, out, `Queries per second:\s+([0-9.]+)`), "queries/s")
				b.ReportMetric(figure(b, out, `Queries lost:\s+([0-9]+)`), "lost")
			}
		})
	}
}

// routerCPU is the user and system time of the router's process, in seconds.
func (w *world) routerCPU() float64 {
	w.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.routerPID))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	user, err1 := strconv.ParseFloat(f[11], 64)
	system, err2 := strconv.ParseFloat(f[12], 64)
	if err1 != nil || err2 != nil {
		w.t.Fatalf("read %q: %v %v", stat, err1, err2)
	}
	return (user + system) / 100 // USER_HZ
}

func figure(b *testing.B, out, pattern string) float64 {
	b.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		b.Fatalf("no %s in:\n%s", pattern, out)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return v
}
