package dhcp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

const (
	routerMAC = "02:07:00:00:00:01"
	guestMAC  = "02:07:00:00:00:10"
	guestIP   = "10.7.0.16"
)

// network is what the guests are promised.
func network() agentv1.DHCPNetwork {
	addr := netip.MustParseAddr
	return agentv1.DHCPNetwork{
		Interface: routerMAC, ServerID: addr("10.7.0.1"), Subnet: netip.MustParsePrefix("10.7.0.0/24"), Router: addr("10.7.0.1"),
		DNS: []netip.Addr{addr("10.7.0.1"), addr("9.9.9.9")}, Domain: "guest.example", MTU: 1420, LeaseSeconds: 3600,
		Bindings: []agentv1.DHCPBinding{{MAC: guestMAC, IP: addr(guestIP), Hostname: "web-1", IsDefault: true}},
	}
}

// world is a server, a bridge and a guest: three namespaces.
type world struct {
	t                    *testing.T
	router, wires, guest string
	dir                  string
	server               *exec.Cmd
	orders               io.WriteCloser
	reports              *bufio.Scanner
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	w := &world{t: t, dir: t.TempDir()}
	w.router, w.wires, w.guest = w.namespace("router"), w.namespace("wires"), w.namespace("guest")
	w.run("ip", "-n", w.wires, "link", "add", "br0", "type", "bridge")
	w.run("ip", "-n", w.wires, "link", "set", "br0", "up")
	w.plug(w.router, "guest0", routerMAC)
	w.run("ip", "-n", w.router, "addr", "add", "10.7.0.1/24", "dev", "guest0")
	w.plug(w.guest, "eth0", guestMAC)
	w.start()
	return w
}

// namespace makes one that goes with the test.
func (w *world) namespace(what string) string {
	w.t.Helper()
	ns := fmt.Sprintf("sl-dhcp-%d-%s", os.Getpid(), what)
	w.run("ip", "netns", "add", ns)
	w.t.Cleanup(func() {
		w.empty(ns) // or the namespace would live on without a name
		_ = exec.Command("ip", "netns", "del", ns).Run()
	})
	return ns
}

// plug gives a namespace a nic on the bridge.
func (w *world) plug(ns, link, mac string) {
	w.t.Helper()
	port := "p" + strings.ReplaceAll(mac[6:], ":", "")
	w.run("ip", "-n", ns, "link", "add", link, "address", mac, "type", "veth", "peer", "name", port, "netns", w.wires)
	w.run("ip", "-n", w.wires, "link", "set", port, "master", "br0", "up")
	w.run("ip", "-n", ns, "link", "set", "lo", "up")
	w.run("ip", "-n", ns, "link", "set", link, "up")
}

// start runs a server that knows nothing; the one before is killed.
func (w *world) start() {
	w.t.Helper()
	w.kill()
	cmd := exec.Command("ip", "netns", "exec", w.router, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.server, w.orders, w.reports = cmd, in, bufio.NewScanner(out)
	w.reports.Buffer(nil, 64<<20)
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (w *world) kill() {
	if w.server != nil {
		_ = w.server.Process.Kill()
		_ = w.server.Wait()
	}
}

// apply has the server serve the networks on guest0, guest1 and so on, which has
// to succeed.
func (w *world) apply(networks ...agentv1.DHCPNetwork) {
	w.t.Helper()
	c, links := &agentv1.Content{DHCP: networks}, dataplane.Links{}
	for i, n := range networks {
		link := fmt.Sprint("guest", i)
		links[n.Interface] = link
		c.Interfaces = append(c.Interfaces, agentv1.Interface{Name: link, MAC: n.Interface, Roles: []agentv1.Role{agentv1.RoleGuest}})
	}
	if r := w.tell(order{Content: c, Links: links}); r.Err != "" {
		w.t.Fatalf("apply: %s", r.Err)
	}
}

// report asks how the server is.
func (w *world) report() report { w.t.Helper(); return w.tell(order{}) }

func (w *world) tell(o order) report {
	w.t.Helper()
	if err := json.NewEncoder(w.orders).Encode(o); err != nil {
		w.t.Fatal(err)
	}
	if !w.reports.Scan() {
		w.t.Fatalf("the server is gone: %v", w.reports.Err())
	}
	var r report
	if err := json.Unmarshal(w.reports.Bytes(), &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// counter of the server.
func (w *world) counter(name string) uint64 {
	w.t.Helper()
	n, ok := w.report().Status.Counters[name]
	if !ok {
		w.t.Fatalf("no counter %s", name)
	}
	return n
}

func (w *world) expectCounter(name string, want uint64) {
	w.t.Helper()
	if got := w.counter(name); got != want {
		w.t.Errorf("%s is %d, want %d; all: %v", name, got, want, w.report().Status.Counters)
	}
}

func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// empty ends what runs in a namespace.
func (w *world) empty(ns string) {
	w.t.Helper()
	for _, pid := range strings.Fields(w.run("ip", "netns", "pids", ns)) {
		_ = exec.Command("kill", "-9", pid).Run() // it may have ended by itself
	}
}

// in gives a command in a namespace, ended at the latest after 30 s.
func (w *world) in(ns string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", ns, "timeout", "-k", "1", "30"}, args...)...)
}

// eventually waits for what a client does in its own time.
func (w *world) eventually(what string, limit time.Duration, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	w.t.Fatalf("not within %v: %s; server: %v", limit, what, w.report().Status)
}

// needs skips, saying why, where a client is not installed.
func needs(t *testing.T, binary, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(binary); err != nil {
		t.Skipf("needs %s (Debian package %s): %v", binary, pkg, err)
	}
}

// hook writes the script that a client calls with its news: the whole
// environment goes to a file named after the reason (first word given, or
// $reason), once the address is on the nic, as far as the client leaves that to
// the script.
func (w *world) hook(address string) string {
	path := filepath.Join(w.dir, "hook")
	script := fmt.Sprintf(`#!/bin/sh
r="${reason:-$1}"
env > "%[1]s/$r.part"
case "$r" in
%[2]s
esac
mv "%[1]s/$r.part" "%[1]s/$r.env"
exit 0
`, w.dir, address)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// told gives what the client said with a reason, or nil.
func (w *world) told(reason string) map[string]string {
	b, err := os.ReadFile(filepath.Join(w.dir, reason+".env"))
	if err != nil {
		return nil
	}
	env := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
			env[k] = v
		}
	}
	return env
}

// forget drops what was told.
func (w *world) forget(reason string) { _ = os.Remove(filepath.Join(w.dir, reason+".env")) }

// expect compares what a client was told with what the spec says.
func (w *world) expect(reason string, want map[string]string) {
	w.t.Helper()
	got := w.told(reason)
	if got == nil {
		w.t.Fatalf("the client never said %s", reason)
	}
	for k, v := range want {
		if got[k] != v {
			w.t.Errorf("%s: %s is %q, want %q", reason, k, got[k], v)
		}
	}
}

func (w *world) file(name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}
