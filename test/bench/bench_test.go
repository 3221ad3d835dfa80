package main

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func TestResult(t *testing.T) {
	memory := against("rss", "MB", 41, "dnsmasq", 4, 40)
	memory.goalUnit = "MB"
	for _, c := range []struct {
		r    result
		want string
		met  bool
	}{
		{against("cpu", "us", 9.5, "kea", 100, 0.125), "BENCH cpu ours=9.50us peer=kea:100us ratio=0.095 goal=<=0.125", true},
		{bound("lease", "s", 0.45, 0.3), "BENCH lease ours=0.450s peer=goal:0.300s ratio=1.500 goal=<=1", false},
		{atLeast("rate", "/s", 940, "one", 1000, 0.95), "BENCH rate ours=940/s peer=one:1000/s ratio=0.940 goal=>=0.95", false},
		{atLeast("rate", "/s", 960, "one", 1000, 0.95), "BENCH rate ours=960/s peer=one:1000/s ratio=0.960 goal=>=0.95", true},
		{memory, "BENCH rss ours=41.0MB peer=dnsmasq:4.00MB ratio=10.250 goal=<=40MB", false},
	} {
		if got := c.r.String(); got != c.want || c.r.met() != c.met {
			t.Errorf("%s, met %v; want %s, %v", got, c.r.met(), c.want, c.met)
		}
	}
}

func TestMedian(t *testing.T) {
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Error(got)
	}
	if got := median([]time.Duration{4, 1, 2, 9}); got != 3 {
		t.Error(got)
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := percentile(all, p); got != want {
			t.Errorf("p%d is %d, want %d", p, got, want)
		}
	}
	if got := percentile(all[:1], 50); got != 200 {
		t.Error(got)
	}
}

// TestMapped: every mapping has a guest and a public end of its own, and what
// an agent is sent is what it would be sent by an orchestrator.
func TestMapped(t *testing.T) {
	c := mapped(3, 50_000, 50_000)
	seen := map[string]bool{routerOf(3).String(): true, sharedVIP(3).String(): true}
	for i, e := range c.EIPs {
		f := c.PortForwardings[i]
		port := netip.AddrPortFrom(f.VIP, f.VIPPortStart).String()
		if seen[e.VIP.String()] || seen[e.GuestIP.String()] || seen[port] || f.GuestIP != e.GuestIP {
			t.Fatalf("mapping %d: %+v, %+v", i, e, f)
		}
		seen[e.VIP.String()], seen[e.GuestIP.String()], seen[port] = true, true, true
	}
	d := moved(c, 3, 7)
	if c.EIPs[7] == d.EIPs[7] || c.EIPs[8] != d.EIPs[8] || seen[d.EIPs[7].GuestIP.String()] {
		t.Errorf("moved %+v to %+v", c.EIPs[7], d.EIPs[7])
	}
}

// TestSplit: the parts of a start add up to the whole, each millisecond once.
func TestSplit(t *testing.T) {
	const ms = time.Millisecond
	row := v1.VirtualRouter{Conditions: []v1.Condition{{Type: "Ready", Status: v1.True, DurationMs: 3790}}}
	for i, stage := range stages {
		row.Conditions = append(row.Conditions, v1.Condition{Type: stage, Status: v1.True, DurationMs: []int64{2, 10, 300, 2800, 200, 400}[i]})
	}
	c, err := split(row, 3750*ms, 50*ms)
	if err != nil {
		t.Fatal(err)
	}
	if c.call != 38*ms || c.total() != 3800*ms || c.notBoot() != 1000*ms {
		t.Errorf("%s, not boot %v", c, c.notBoot())
	}
	if _, err := split(row, 3000*ms, 50*ms); err == nil {
		t.Error("stages that are longer than the call were believed")
	}
	missing := v1.VirtualRouter{Conditions: row.Conditions[:4]}
	if _, err := split(missing, 3750*ms, 50*ms); err == nil {
		t.Error("a router without all stages was measured")
	}
	row.Conditions[3].Status = v1.False
	if _, err := split(row, 3750*ms, 50*ms); err == nil {
		t.Error("a router that failed was measured")
	}
}

// TestFrames: what the load sends is whole, and answers are read or refused.
func TestFrames(t *testing.T) {
	f := request(7, 300)
	ip := f[etherLen : etherLen+ipLen]
	if checksum(ip) != 0 {
		t.Error("IP checksum does not verify")
	}
	if n := int(binary.BigEndian.Uint16(ip[2:])); n != len(f)-etherLen {
		t.Errorf("IP length %d of %d", n, len(f)-etherLen)
	}
	if _, ok := openAnswer(f); ok {
		t.Error("a request passed for an answer")
	}
	// The same message as an answer: to port 68, BOOTREPLY, an address.
	binary.BigEndian.PutUint16(f[etherLen+ipLen+2:], 68)
	body := f[etherLen+ipLen+udpLen:]
	body[0] = 2
	copy(body[16:], guestIP(300).AsSlice())
	a, ok := openAnswer(f)
	if want := (answer{xid: 7, yiaddr: netip.MustParseAddr("10.95.2.44"), kind: msgRequest, server: serverIP}); !ok || a != want {
		t.Errorf("%+v %v, want %+v", a, ok, want)
	}
	for n := range f { // cut anywhere
		openAnswer(f[:n])
	}
}

// TestGuests: addresses and MACs are each one guest's, and stay in the subnet.
func TestGuests(t *testing.T) {
	c := guests(dnsNames)
	seen := map[string]bool{clientIP.String(): true, serverIP.String(): true}
	for _, b := range c.DHCP[0].Bindings {
		if seen[b.IP.String()] || seen[b.MAC] || !subnet.Contains(b.IP) || strings.Contains(b.Hostname, ".") {
			t.Fatalf("binding %+v", b)
		}
		seen[b.IP.String()], seen[b.MAC] = true, true
	}
}
