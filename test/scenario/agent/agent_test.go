// Package agent_test runs the real sluice-agent in a namespace of its own, as
// it runs in a router: enrolled and commanded from outside through agentlink,
// killed, lied to, and left alone with a spec file.
package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

func authority(t *testing.T) pki.Authority {
	t.Helper()
	a, err := pki.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestContract: the real agent does what the fake one does.
func TestContract(t *testing.T) {
	a := authority(t)
	agentlinktest.Suite(t, a, func(t *testing.T) agentlinktest.Machine {
		w := newWorld(t)
		w.writeDrive(a)
		w.start()
		return w.machine()
	})
}

// enrolled boots a router and makes it one of ours.
func enrolled(t *testing.T) (*world, *agentlink.Link, agentlink.Target) {
	t.Helper()
	a := authority(t)
	w := newWorld(t)
	w.writeDrive(a)
	w.start()
	m := w.machine()
	link := agentlink.NewOver(a, w.dial)
	t.Cleanup(link.Close)
	ctx := deadline(t)
	if err := link.WaitReachable(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	if err := link.Enrol(ctx, m.Target); err != nil {
		t.Fatal(err)
	}
	return w, link, m.Target
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func push(t *testing.T, link *agentlink.Link, at agentlink.Target, generation uint64, c agentv1.Content) agentv1.RouterStatus {
	t.Helper()
	s, err := link.PushSpec(deadline(t), at, agentlinktest.Spec(at.RouterUUID, generation, 1, c))
	if err != nil {
		t.Fatal(err)
	}
	if s.AppliedGeneration != generation {
		t.Fatalf("generation %d not reached: %+v", generation, s.Services)
	}
	return s
}

// TestClosedUntilTheFirstSpec: before it, the agent answers on management and
// nothing else happens; after it, a guest has everything.
func TestClosedUntilTheFirstSpec(t *testing.T) {
	w, link, at := enrolled(t)
	w.agent.await("sluice-agent: ready router="+at.RouterUUID, 1)
	if f := strings.TrimSpace(in(t, w.router, "cat /proc/sys/net/ipv4/ip_forward")); f != "0" {
		t.Fatalf("ip_forward is %s before the first spec", f)
	}
	rules := in(t, w.router, "iptables -S") + in(t, w.router, "nft list chain ip sluice forward")
	for _, policy := range []string{"-P INPUT DROP", "hook forward priority filter; policy drop;"} {
		if !strings.Contains(rules, policy) {
			t.Fatalf("no %s before the first spec:\n%s", policy, rules)
		}
	}
	status := push(t, link, at, 1, w.content(1))
	for name, s := range status.Services {
		if !s.Ready {
			t.Errorf("service %s: %s", name, s.Error)
		}
	}
	if len(status.Interfaces) != 0 || len(status.Leases) != 0 {
		t.Errorf("the answer to a spec has lists: %+v", status)
	}
	status, err := link.Status(deadline(t), at)
	if err != nil || len(status.Interfaces) != 3 || status.MemoryBytes == 0 || status.AgentVersion != "scenario" {
		t.Errorf("status %+v", status)
	}
	w.guestIsServed()
	after, err := link.Status(deadline(t), at)
	if err != nil || len(after.Leases) != 1 || after.Leases[0].MAC != clientMAC || after.Leases[0].IP != clientIP {
		t.Fatalf("leases %+v, %v", after.Leases, err)
	}
}

// guestIsServed: lease, name, way out, with other people's clients.
func (w *world) guestIsServed() {
	w.t.Helper()
	script := filepath.Join(w.t.TempDir(), "script")
	const configure = "#!/bin/sh\n[ \"$1\" = bound ] && ip addr add $ip/$mask dev $interface && ip route add default via $router\nexit 0\n"
	if err := os.WriteFile(script, []byte(configure), 0o700); err != nil {
		w.t.Fatal(err)
	}
	in(w.t, w.client, "busybox udhcpc -i eth0 -n -q -f -t 10 -T 1 -s "+script)
	if got := in(w.t, w.client, "ip -4 -o addr show eth0"); !strings.Contains(got, clientIP+"/24") {
		w.t.Fatalf("leased address: %s", got)
	}
	if got := strings.TrimSpace(in(w.t, w.client, "dig +short +time=2 @10.77.0.1 web.guest.test")); got != clientIP {
		w.t.Fatalf("web.guest.test is %q", got)
	}
	in(w.t, w.client, "busybox ping -c 1 -W 5 "+outsideIP)
}

// TestKilledInTheMiddleOfItsWork: a killed agent cuts nobody off, and a new one
// goes on from ledger and identity without the orchestrator, writing nothing.
func TestKilledInTheMiddleOfItsWork(t *testing.T) {
	w, link, at := enrolled(t)
	push(t, link, at, 4, w.content(3))
	w.guestIsServed()
	pings := startIn(t, w.client, "busybox", "ping", "-i", "0.05", "-W", "2", outsideIP)
	pings.await("bytes from", 10)
	w.agent.kill()
	before := in(t, w.router, "iptables-save")
	w.start()
	w.agent.await("sluice-agent: ready", 1)
	if err := link.WaitReachable(deadline(t), at); err != nil {
		t.Fatal(err)
	}
	status, err := link.Status(deadline(t), at)
	if err != nil || status.AppliedGeneration != 4 || !status.Services["dns"].Ready || !status.Services["dhcp"].Ready {
		t.Fatalf("after the kill: %+v, %v", status, err)
	}
	if len(status.Traffic) != 1 || status.Traffic[0].UUID != "eip-0" || status.Traffic[0].InPackets < 10 || status.Traffic[0].OutBytes < 10*60 {
		t.Errorf("traffic %+v: want what eip-0 had before the kill", status.Traffic)
	}
	if n := w.metric(link, at, `sluice_nic_sent_packets_total{nic="eth1"}`); n == "0" {
		t.Error("nothing was sent by eth1")
	}
	if metrics := w.metric(link, at, "sluice_apply_writes_total"); metrics != "0" {
		t.Errorf("equal state wrote %s objects; agent said:\n%s", metrics, w.agent.output())
	}
	if after := in(t, w.router, "iptables-save"); counterless(after) != counterless(before) {
		t.Errorf("rules changed:\n%s\nwere:\n%s", after, before)
	}
	pings.await("bytes from", strings.Count(pings.output(), "bytes from")+10) // it still works
	pings.kill()
	lost(t, pings.output())
}

func counterless(rules string) string {
	var kept []string
	for line := range strings.Lines(rules) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") { // dates; policies with counters
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// lost fails the test when an answer is missing between the first and the last.
func lost(t *testing.T, pings string) {
	t.Helper()
	want := 0
	for line := range strings.Lines(pings) {
		_, rest, ok := strings.Cut(line, " seq=")
		if !ok {
			continue
		}
		var seq int
		if _, err := fmt.Sscan(rest, &seq); err != nil {
			t.Fatal(err)
		}
		if seq != want {
			t.Fatalf("ping %d is missing:\n%s", want, pings)
		}
		want++
	}
	if want < 10 {
		t.Fatalf("only %d pings:\n%s", want, pings)
	}
}

// metric reads a sample by way of the diagnostics' neighbour, the API itself.
func (w *world) metric(link *agentlink.Link, at agentlink.Target, name string) string {
	w.t.Helper()
	text, err := link.Metrics(deadline(w.t), at)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	w.t.Fatalf("no %s in\n%s", name, text)
	return ""
}

// TestForeignChangesAreHealed, and at once on resync.
func TestForeignChangesAreHealed(t *testing.T) {
	w, link, at := enrolled(t)
	push(t, link, at, 1, w.content(1))
	in(t, w.router, "ip addr del "+publicIP+"/24 dev eth1")
	in(t, w.router, "iptables -P INPUT ACCEPT")
	if err := link.Command(deadline(t), at, agentv1.CommandResync, "heal-1", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := in(t, w.router, "ip -4 -o addr show eth1"); !strings.Contains(got, publicIP+"/24") {
		t.Fatalf("address not healed: %s", got)
	}
	if got := in(t, w.router, "iptables -S INPUT"); !strings.Contains(got, "-P INPUT DROP") {
		t.Fatalf("policy not healed: %s", got)
	}
	in(t, w.router, "ip addr del "+publicIP+"/24 dev eth1")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if strings.Contains(in(t, w.router, "ip -4 -o addr show eth1"), publicIP+"/24") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("not healed within 10 s without being asked")
		}
	}
	w.agent.await("msg=healed", 2)
	in(t, w.router, "nft flush ruleset") // noticed at once, not at the next look
	w.agent.await("rules were taken away", 1)
	w.agent.await("msg=healed", 3)
	if f := strings.TrimSpace(in(t, w.router, "cat /proc/sys/net/ipv4/ip_forward")); f != "1" {
		t.Fatalf("ip_forward is %s after healing", f)
	}
}

// TestTheAgentDoesNotCutItselfOff: 422, naming the field, and nothing changed.
func TestTheAgentDoesNotCutItselfOff(t *testing.T) {
	w, link, at := enrolled(t)
	push(t, link, at, 1, w.content(1))
	refuse := func(name, field string, change func(*agentv1.Content)) {
		t.Helper()
		c := w.content(2)
		change(&c)
		_, err := link.PushSpec(deadline(t), at, agentlinktest.Spec(at.RouterUUID, 2, 1, c))
		p, ok := agentlink.Refused(err)
		if !ok || p.Code != agentv1.CodeInvalidSpec || p.Field != field {
			t.Errorf("%s: got %v, want %s at %s", name, err, agentv1.CodeInvalidSpec, field)
		}
	}
	refuse("no management nic", "/content/interfaces", func(c *agentv1.Content) { c.Interfaces = c.Interfaces[1:] })
	refuse("management without its role", "/content/interfaces/0/roles", func(c *agentv1.Content) {
		c.Interfaces[0].Roles = []agentv1.Role{agentv1.RoleGuest}
	})
	refuse("other management address", "/content/interfaces/0/addresses", func(c *agentv1.Content) {
		c.Interfaces[0].Addresses = nil
	})
	refuse("bad protocol", "/content/portForwardings/0/protocol", func(c *agentv1.Content) {
		c.PortForwardings = []agentv1.PortForwarding{{UUID: "p", Interface: publicMAC, VIP: c.EIPs[0].VIP.Next().Next().Next(), Protocol: "icmp",
			VIPPortStart: 1, VIPPortEnd: 1, PrivatePortStart: 1, GuestInterface: guestMAC, GuestIP: c.EIPs[0].GuestIP}}
	})
	if s, err := link.Status(deadline(t), at); err != nil || s.AcceptedGeneration != 1 || s.AppliedGeneration != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// TestCommands: the tools for people, from inside the router.
func TestCommands(t *testing.T) {
	w, link, at := enrolled(t)
	push(t, link, at, 1, w.content(1))
	probe := func(p agentv1.Probe) (r agentv1.ProbeResult) {
		t.Helper()
		if err := link.Command(deadline(t), at, agentv1.CommandProbe, "", p, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := probe(agentv1.Probe{Kind: "ping", Target: outsideIP, Interface: publicMAC}); !r.OK || r.Micros == 0 {
		t.Errorf("ping: %+v", r)
	}
	if r := probe(agentv1.Probe{Kind: "ping", Target: outsideIP, Interface: guestMAC, TimeoutMillis: 300}); r.OK {
		t.Errorf("ping out of the wrong nic: %+v", r)
	}
	if r := probe(agentv1.Probe{Kind: "tcp", Target: outsideIP + ":9"}); r.OK || !strings.Contains(r.Error, "refused") {
		t.Errorf("closed port: %+v", r)
	}
	if r := probe(agentv1.Probe{Kind: "dns", Target: "10.77.0.1:53", Question: "web.guest.test."}); !r.OK || len(r.Answer) != 1 || r.Answer[0] != clientIP {
		t.Errorf("dns: %+v", r)
	}
	var d agentv1.Diagnostics
	if err := link.Command(deadline(t), at, agentv1.CommandDiagnostics, "", nil, &d); err != nil {
		t.Fatal(err)
	}
	for section, text := range map[string]string{"rules": "SLUICE-INPUT", "mappings": clientIP, "routes": "eth1", "logs": "spec applied"} {
		if !strings.Contains(d.Sections[section], text) {
			t.Errorf("diagnostics %s without %q:\n%s", section, text, d.Sections[section])
		}
	}
	if err := link.Command(deadline(t), at, agentv1.CommandFlushConntrack, "", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestStateIsPrivate: the key is in no file that others can read, and the
// ledger has no secrets.
func TestStateIsPrivate(t *testing.T) {
	w, link, at := enrolled(t)
	push(t, link, at, 1, w.content(1))
	for _, name := range []string{bootstrap.IdentityFile, "ledger.json"} {
		info, err := os.Stat(filepath.Join(w.state, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if out := w.agent.output(); strings.Contains(out, "PRIVATE KEY") || strings.Contains(out, w.boot.JoinToken) {
		t.Errorf("a secret in the log:\n%s", out)
	}
}

// TestSmallAndQuick keeps the promises about size and time; bounds are wide,
// the log has what was measured.
func TestSmallAndQuick(t *testing.T) {
	w, link, at := enrolled(t)
	s := push(t, link, at, 1, w.content(1))
	began := time.Now()
	const calls = 20
	for range calls {
		push(t, link, at, 1, w.content(1))
	}
	again := time.Since(began) / calls
	began = time.Now()
	push(t, link, at, 2, w.content(2))
	t.Logf("rss after apply %.1f MB, push of equal spec %s, push of one more EIP %s", float64(s.MemoryBytes)/1e6, again, time.Since(began))
	if s.MemoryBytes > 40<<20 {
		t.Errorf("rss is %d bytes, promised below 40 MB", s.MemoryBytes)
	}
	if again > 50*time.Millisecond {
		t.Errorf("an equal spec costs %s", again)
	}
}

// TestBootToReady measures what a new network waits for: from the start of the
// agent to its enrolment, and from there to the first spec applied.
func TestBootToReady(t *testing.T) {
	a := authority(t)
	w := newWorld(t)
	w.writeDrive(a)
	m := w.machine()
	link := agentlink.NewOver(a, w.dial)
	t.Cleanup(link.Close)
	began := time.Now()
	w.start()
	if err := link.WaitReachable(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	reachable := time.Since(began)
	if err := link.Enrol(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	enrolled := time.Since(began)
	push(t, link, m.Target, 1, w.content(1))
	t.Logf("reachable after %s, enrolled after %s, first spec applied after %s", reachable, enrolled, time.Since(began))
	if reachable > 10*time.Second {
		t.Error("that is too long")
	}
}
