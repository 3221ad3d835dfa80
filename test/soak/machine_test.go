package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/test/site"
)

// machine is a host whose domains are namespaces with the real agent in them.
// They end with this process, as those of a machine do that loses its power.
type machine struct {
	*hypervisor.Fake
	place

	mu    sync.Mutex
	stops map[string]func() // by domain, of those that run
}

// place is where everything is: a directory, and the beginning of the names of
// namespaces.
type place struct{ dir, prefix string }

func (p place) orchestrator() string { return p.prefix + "o" }

func (p place) router(uuid string) string { return p.prefix + "r" + uuid[len(uuid)-6:] }

func (p place) home(uuid string) string { return filepath.Join(p.dir, p.router(uuid)) }

// clear removes the routers' namespaces of a run that was killed.
func (p place) clear() {
	out, _ := exec.Command("ip", "netns", "list").Output()
	for line := range strings.Lines(string(out)) {
		if name := strings.Fields(line)[0]; strings.HasPrefix(name, p.prefix+"r") {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
}

func (m *machine) EnsureDomain(ctx context.Context, d hypervisor.Domain) error {
	boots := m.Boots(d.UUID)
	if err := m.Fake.EnsureDomain(ctx, d); err != nil || m.Boots(d.UUID) == boots {
		return err
	}
	m.off(d.UUID)
	b, err := site.Bootstrap(m.VolumeContent(d.ConfigVolume))
	if err != nil {
		return fmt.Errorf("%s: %w", d.ConfigVolume, err)
	}
	stop, err := m.boot(d, b)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stops[d.UUID] = stop
	return nil
}

func (m *machine) StopDomain(ctx context.Context, uuid string) error {
	m.off(uuid)
	return m.Fake.StopDomain(ctx, uuid)
}

func (m *machine) DeleteDomain(ctx context.Context, uuid string) error {
	m.off(uuid)
	return m.Fake.DeleteDomain(ctx, uuid)
}

func (m *machine) off(uuid string) {
	m.mu.Lock()
	stop := m.stops[uuid]
	delete(m.stops, uuid)
	m.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// boot makes the namespace with its nics and starts the agent in it, again
// whenever it ends, as a router's process 1 does.
func (m *machine) boot(d hypervisor.Domain, b agentv1.Bootstrap) (stop func(), err error) {
	ns, home := m.router(d.UUID), m.home(d.UUID)
	drive, state := filepath.Join(home, "drive"), filepath.Join(home, "state")
	_ = os.RemoveAll(home) // a router's state is gone with its power
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{drive, state} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(drive, agentv1.BootstrapFile), text, 0o600); err != nil {
		return nil, err
	}
	if err := m.wire(ns, d, b); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			m.run(ctx, ns, home, drive, state)
		}
		_ = exec.Command("ip", "netns", "del", ns).Run()
	}()
	return func() { cancel(); <-ended }, nil
}

// run is one life of an agent.
func (m *machine) run(ctx context.Context, ns, home, drive, state string) {
	log, err := os.OpenFile(filepath.Join(home, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", ns, filepath.Join(m.dir, "sluice-agent"), "run", "--config", drive, "--state", state)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal comes when the thread that started it ends
	defer runtime.UnlockOSThread()
	if cmd.Start() == nil {
		_ = os.WriteFile(filepath.Join(home, "pid"), fmt.Append(nil, cmd.Process.Pid), 0o600)
		_ = cmd.Wait()
	}
}

// wire gives the namespace the domain's nics: that for management reaches the
// orchestrator, the others nobody.
func (m *machine) wire(ns string, d hypervisor.Domain, b agentv1.Bootstrap) error {
	lines := []string{"netns add " + ns, "-n " + ns + " link set lo up"}
	for i, nic := range d.Nics {
		isManagement := slices.ContainsFunc(b.Interfaces, func(n agentv1.Interface) bool {
			return n.MAC == nic.MAC && slices.Contains(n.Roles, agentv1.RoleManagement)
		})
		far := fmt.Sprintf("v%s%d", d.UUID[len(d.UUID)-6:], i)
		lines = append(lines, fmt.Sprintf("-n %s link add n%d address %s type veth peer name %s netns %s", ns, i, nic.MAC, far, m.orchestrator()),
			fmt.Sprintf("-n %s link set %s up", m.orchestrator(), far))
		if isManagement {
			lines = append(lines, fmt.Sprintf("-n %s link set %s master br0", m.orchestrator(), far))
		}
	}
	if err := ip(lines...); err != nil {
		return errors.Join(err, ip("netns del "+ns))
	}
	return nil
}

func ip(lines ...string) error {
	for _, line := range lines {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// dial connects from the orchestrator's namespace.
func (p place) dial(ctx context.Context, to netip.AddrPort, timeout time.Duration) (conn net.Conn, err error) {
	err = site.Within(p.orchestrator(), func() (err error) {
		conn, err = agentlink.DialTCP(ctx, to, timeout)
		return err
	})
	return conn, err
}
