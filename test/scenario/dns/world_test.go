package dns

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// The world: guest 10.77.0.10 -- 10.77.0.1 router 10.99.0.1 -- 10.99.0.2 upstream.
const (
	guestNS, routerNS, upstreamNS = "sl-dns-guest", "sl-dns-router", "sl-dns-up"

	routerIP   = "10.77.0.1"
	publicIP   = "10.99.0.1"
	upstreamIP = "10.99.0.2"
	guestMAC   = "52:54:00:77:00:01"
	publicMAC  = "52:54:00:99:00:01"
)

// world is three namespaces with the server and an upstream in them.
type world struct {
	t         testing.TB
	content   agentv1.Content
	router    *json.Encoder
	reports   *json.Decoder
	routerPID int
	// endUpstream ends the upstream's process, by its id.
	endUpstream func()
	mu          sync.Mutex
	asked       []string // names that reached the upstream
}

func newWorld(t testing.TB) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"ip", "dig", "host", "getent"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (iproute2, bind9-dnsutils, bind9-host, libc-bin)", tool)
		}
	}
	w := &world{t: t, content: sample()}
	t.Cleanup(w.destroy)
	w.destroy() // what an earlier run left
	for _, ns := range []string{guestNS, routerNS, upstreamNS} {
		w.must("ip", "netns", "add", ns)
		w.must("ip", "-n", ns, "link", "set", "lo", "up")
	}
	w.plugGuest()
	w.must("ip", "link", "add", "eth0", "netns", routerNS, "address", publicMAC, "type", "veth", "peer", "name", "eth0", "netns", upstreamNS)
	w.up(routerNS, "eth0", publicIP)
	w.up(upstreamNS, "eth0", upstreamIP)
	w.must("ip", "-n", upstreamNS, "route", "add", "10.77.0.0/24", "via", publicIP)
	w.writeResolvConf()
	w.startUpstream()
	w.startRouter()
	w.apply()
	return w
}

// plugGuest makes the nic between guest and router, also in place of an old one.
func (w *world) plugGuest() {
	w.t.Helper()
	w.must("ip", "link", "add", "eth1", "netns", routerNS, "address", guestMAC, "type", "veth", "peer", "name", "eth0", "netns", guestNS)
	w.up(routerNS, "eth1", routerIP)
	w.up(guestNS, "eth0", "10.77.0.10")
}

func (w *world) up(ns, link, addr string) {
	w.t.Helper()
	w.must("ip", "-n", ns, "addr", "add", addr+"/24", "dev", link)
	w.must("ip", "-n", ns, "link", "set", link, "up")
}

// writeResolvConf gives the guest's C library our server; `ip netns exec` binds
// it over /etc/resolv.conf.
func (w *world) writeResolvConf() {
	w.t.Helper()
	dir := filepath.Join("/etc/netns", guestNS)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	text := "nameserver " + routerIP + "\nsearch lan.test\n"
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) destroy() {
	for _, ns := range []string{guestNS, routerNS, upstreamNS} {
		exec.Command("ip", "netns", "del", ns).Run()
	}
	os.RemoveAll(filepath.Join("/etc/netns", guestNS))
}

// child starts the test's own binary in a namespace.
func (w *world) child(ns, part string, env ...string) (*exec.Cmd, *bufio.Reader, *json.Encoder) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", ns, self)
	c.Env = append(append(os.Environ(), childEnv+"="+part), env...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		in.Close()
		c.Process.Kill() // `ip netns exec` has become the child itself
		c.Wait()
	})
	return c, bufio.NewReader(out), json.NewEncoder(in)
}

func (w *world) startUpstream() {
	w.t.Helper()
	c, out, _ := w.child(upstreamNS, "upstream", childEnv+"_LISTEN="+upstreamIP+":53")
	if line, err := out.ReadString('\n'); line != "ready\n" {
		w.t.Fatalf("upstream: %q %v", line, err)
	}
	w.endUpstream = func() { c.Process.Kill(); c.Process.Wait() }
	go func() {
		for {
			name, err := out.ReadString('\n')
			if err != nil {
				return
			}
			w.mu.Lock()
			w.asked = append(w.asked, strings.TrimSpace(name))
			w.mu.Unlock()
		}
	}()
}

func (w *world) startRouter() {
	w.t.Helper()
	c, out, in := w.child(routerNS, "router")
	w.router, w.reports, w.routerPID = in, json.NewDecoder(out), c.Process.Pid
}

// apply gives the router the world's spec.
func (w *world) apply() {
	w.t.Helper()
	if r := w.tell(order{Content: &w.content, Links: dataplane.Links{guestMAC: "eth1", publicMAC: "eth0"}}); r.Error != "" {
		w.t.Fatalf("apply: %s", r.Error)
	}
}

func (w *world) tell(o order) (r report) {
	w.t.Helper()
	if err := w.router.Encode(o); err != nil {
		w.t.Fatalf("tell router: %v", err)
	}
	if err := w.reports.Decode(&r); err != nil {
		w.t.Fatalf("hear router: %v", err)
	}
	return r
}

// leaked is what the upstream was asked so far.
func (w *world) leaked() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.asked, " ")
}

func (w *world) must(name string, args ...string) {
	w.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// in runs a program in a namespace and returns what it printed.
func (w *world) in(ns, line string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, strings.Fields(line)...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s(%v)", out, err)
	}
	return string(out)
}

func sample() agentv1.Content {
	record := func(name, ip string) agentv1.DNSRecord {
		return agentv1.DNSRecord{Name: name, IP: netip.MustParseAddr(ip)}
	}
	c := agentv1.Content{
		Interfaces: []agentv1.Interface{
			{Name: "eth0", MAC: publicMAC, Roles: []agentv1.Role{agentv1.RolePublic}},
			{Name: "eth1", MAC: guestMAC, Roles: []agentv1.Role{agentv1.RoleGuest}},
		},
		DNS: []agentv1.DNSNetwork{{
			Interface: guestMAC,
			Listen:    []netip.Addr{netip.MustParseAddr(routerIP)},
			Domain:    "lan.test",
			Subnet:    netip.MustParsePrefix("10.77.0.0/24"),
			Records:   []agentv1.DNSRecord{record("web", "10.77.0.10"), record("db", "10.77.0.20"), record("db", "10.77.0.21")},
			Upstreams: []netip.AddrPort{netip.MustParseAddrPort(upstreamIP + ":53")},
		}},
	}
	for i := range 120 {
		c.DNS[0].Records = append(c.DNS[0].Records, record("many", fmt.Sprintf("10.77.0.%d", 100+i)))
	}
	return c
}
