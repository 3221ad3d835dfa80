package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// binary is sluice-agent, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sl-agent-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sluice-agent")
	build := exec.Command("go", "build", "-tags", "nomsgpack", "-trimpath", "-ldflags", "-s -w -X main.version=scenario",
		"-o", binary, "github.com/sluice-nfv/sluice/appliance/cmd/sluice-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build agent: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// The lab's addresses and MACs.
const (
	managementMAC = "02:00:00:00:a0:01"
	publicMAC     = "02:00:00:00:a0:02"
	guestMAC      = "02:00:00:00:a0:03"
	clientMAC     = "02:00:00:00:a0:99"
	outsideIP     = "203.0.113.1"
	publicIP      = "203.0.113.10"
	managementIP  = "192.0.2.10"
	clientIP      = "10.77.0.20"
)

// world is a router's namespace with three nics, and a namespace at the far
// end of each: the orchestrator's, the internet's, a guest's.
type world struct {
	t                              *testing.T
	router, orch, internet, client string // namespaces
	drive, state                   string
	boot                           agentv1.Bootstrap
	agent                          *process
}

var worlds atomic.Int64

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	base := fmt.Sprintf("sl-agent-%d-%d-", os.Getpid(), worlds.Add(1))
	w := &world{t: t, router: base + "r", orch: base + "o", internet: base + "i", client: base + "c",
		drive: t.TempDir(), state: t.TempDir()}
	for _, ns := range []string{w.router, w.orch, w.internet, w.client} {
		run(t, "ip netns add "+ns)
		t.Cleanup(func() { run(t, "ip netns del "+ns) })
		run(t, "ip -n "+ns+" link set lo up")
	}
	w.link(w.orch, "192.0.2.1/24", "mgmt", managementMAC)
	w.link(w.internet, outsideIP+"/24", "pub", publicMAC)
	run(t, "ip -n "+w.internet+" route add 198.51.0.0/16 dev eth0") // the VIPs are on that network
	w.link(w.client, "", "guest", guestMAC)
	run(t, "ip -n "+w.client+" link set eth0 address "+clientMAC)
	return w
}

// link joins the router to ns; the router's end is down and unconfigured, as a
// new machine's is.
func (w *world) link(ns, address, name, mac string) {
	w.t.Helper()
	run(w.t, fmt.Sprintf("ip -n %s link add %s address %s type veth peer name eth0 netns %s", w.router, name, mac, ns))
	run(w.t, "ip -n "+ns+" link set eth0 up")
	if address != "" {
		run(w.t, "ip -n "+ns+" addr add "+address+" dev eth0")
	}
}

func (w *world) nics() []agentv1.Interface {
	nic := func(name string, role agentv1.Role, mac, address string) agentv1.Interface {
		return agentv1.Interface{Name: name, Roles: []agentv1.Role{role}, MAC: mac,
			Addresses: []netip.Prefix{netip.MustParsePrefix(address)}, MTU: 1500, L3NetworkUUID: name}
	}
	nics := []agentv1.Interface{
		nic("eth0", agentv1.RoleManagement, managementMAC, managementIP+"/24"),
		nic("eth1", agentv1.RolePublic, publicMAC, publicIP+"/24"),
		nic("eth2", agentv1.RoleGuest, guestMAC, "10.77.0.1/24"),
	}
	nics[1].Gateway = netip.MustParseAddr(outsideIP)
	return nics
}

// content has n EIPs, and for the one real guest all services.
func (w *world) content(n int) agentv1.Content {
	guest := netip.MustParsePrefix("10.77.0.0/24")
	router := netip.MustParseAddr("10.77.0.1")
	c := agentv1.Content{
		Hostname: "r", Interfaces: w.nics(),
		DHCP: []agentv1.DHCPNetwork{{Interface: guestMAC, ServerID: router, Subnet: guest, Router: router,
			DNS: []netip.Addr{router}, Domain: "guest.test", MTU: 1500, LeaseSeconds: 3600,
			Bindings: []agentv1.DHCPBinding{{MAC: clientMAC, IP: netip.MustParseAddr(clientIP), Hostname: "web", IsDefault: true}}}},
		DNS: []agentv1.DNSNetwork{{Interface: guestMAC, Listen: []netip.Addr{router}, Domain: "guest.test", Subnet: guest,
			Records: []agentv1.DNSRecord{{Name: "web", IP: netip.MustParseAddr(clientIP)}}}},
		SNAT: []agentv1.SNAT{{Source: guest, Interface: publicMAC, Address: netip.MustParseAddr(publicIP)}},
	}
	for i := range n {
		c.EIPs = append(c.EIPs, agentv1.EIP{UUID: fmt.Sprintf("eip-%d", i), Interface: publicMAC,
			VIP: netip.AddrFrom4([4]byte{198, 51, byte(100 + i/250), byte(1 + i%250)}), GuestInterface: guestMAC,
			GuestIP: netip.AddrFrom4([4]byte{10, 77, 0, byte(20 + i%200)}), Order: int64(i)})
	}
	return c
}

// writeDrive makes the config drive for a router that trusts a.
func (w *world) writeDrive(a pki.Authority) {
	w.t.Helper()
	w.boot = agentv1.Bootstrap{
		Version: 1, RouterUUID: "0190aaaa-0000-7000-8000-000000000001", Hostname: "r", Interfaces: w.nics(),
		Listen:         netip.AddrPortFrom(netip.MustParseAddr(managementIP), agentv1.AgentPort),
		OrchestratorCA: a.OrchestratorTrust(), JoinToken: "bm9ib2R5IGd1ZXNzZXMgdGhpcyB0b2tlbiBoZXJlISE",
	}
	b, err := json.Marshal(w.boot)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.drive, agentv1.BootstrapFile), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.t.Helper()
	w.agent = startIn(w.t, w.router, binary, "run", "--config", w.drive, "--state", w.state)
}

// machine is the world as the conformance suite wants it.
func (w *world) machine() agentlinktest.Machine {
	return agentlinktest.Machine{
		Target:  agentlink.Target{RouterUUID: w.boot.RouterUUID, Addr: w.boot.Listen, JoinToken: w.boot.JoinToken},
		Dial:    w.dial,
		Content: w.content,
		Restart: func(*testing.T) { w.agent.kill(); w.start() },
	}
}

// dial connects from the orchestrator's namespace. A socket belongs to the
// namespace of the thread that makes it, for good.
func (w *world) dial(ctx context.Context, to netip.AddrPort, timeout time.Duration) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = setns(w.orch); err == nil {
			conn, err = agentlink.DialTCP(ctx, to, timeout)
		}
	}()
	<-done
	return conn, err
}

func setns(name string) error {
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// process is a started program; its output goes to the test's log on failure.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *os.File
	dead chan struct{}
}

func startIn(t *testing.T, ns string, args ...string) *process {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, out: out, dead: make(chan struct{})}
	// ip execs the program: the pid is the program's own.
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.dead) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %v:\n%s", args, p.output())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.dead
}

func (p *process) output() string {
	b, _ := os.ReadFile(p.out.Name())
	return string(b)
}

// await waits until the output has text n times.
func (p *process) await(text string, n int) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Count(p.output(), text) >= n {
			return
		}
	}
	p.t.Fatalf("no %q in:\n%s", text, p.output())
}

func run(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// in runs a command in a namespace.
func in(t *testing.T, ns, line string) string {
	t.Helper()
	return run(t, "ip netns exec "+ns+" "+line)
}

type ended struct {
	code int
	out  string
}

// startPlain runs the binary to its end.
func startPlain(t *testing.T, args ...string) ended {
	t.Helper()
	cmd := exec.Command(binary, args...)
	out, _ := cmd.CombinedOutput()
	return ended{cmd.ProcessState.ExitCode(), string(out)}
}
