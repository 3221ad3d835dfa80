package libvirt_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// privateLibvirt is a libvirtd of the test's own: in its own mount and network
// namespaces, with its own configuration, state and sockets, so that it can be
// killed and its bridges made without touching the machine's.
type privateLibvirt struct {
	dir    string // everything it writes
	netns  string
	socket string
	daemon *exec.Cmd
}

const bridge = "sl-hv-br0"

// private is shared by the package's tests; it starts with the first that asks.
var private *privateLibvirt

func TestMain(m *testing.M) {
	code := m.Run()
	if private != nil {
		private.remove()
	}
	os.Exit(code)
}

// needPrivate returns the running private libvirtd or skips with the reason.
func needPrivate(t *testing.T) *privateLibvirt {
	t.Helper()
	if private != nil {
		return private
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: a libvirtd in namespaces of its own is started")
	}
	for _, tool := range []string{"libvirtd", "virtlogd", "virsh", "tini", "qemu-system-x86_64", "qemu-img", "unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	p, err := newPrivate()
	if err == nil {
		err = p.start()
	}
	if err != nil {
		t.Fatalf("private libvirtd: %v", err)
	}
	private = p
	return p
}

func newPrivate() (*privateLibvirt, error) {
	// Short, for a socket's path has at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "sl-hv-")
	if err != nil {
		return nil, err
	}
	p := &privateLibvirt{dir: dir, netns: filepath.Base(dir), socket: filepath.Join(dir, "run/libvirt-sock")}
	steps := fmt.Sprintf(`set -e
chmod 755 %[1]s
cd %[1]s
mkdir -p run lib/images log
chmod 711 lib/images
cp -a /etc/libvirt etc
rm -rf etc/qemu/networks etc/qemu/*.xml etc/storage
# Its guests have names that the machine's guests may have too.
echo 'cgroup_controllers = [ ]' >> etc/qemu.conf
ip netns add %[2]s
ip -n %[2]s link set lo up
ip -n %[2]s link add %[3]s type bridge
ip -n %[2]s link set %[3]s up`, dir, p.netns, bridge)
	if out, err := exec.Command("sh", "-c", steps).CombinedOutput(); err != nil {
		p.remove()
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return p, nil
}

func (p *privateLibvirt) start() error {
	os.Remove(p.socket)
	log, err := os.OpenFile(filepath.Join(p.dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.daemon = exec.Command("nsenter", "--net=/run/netns/"+p.netns, "unshare", "-m", "sh", "-c", `set -e
cd "$0"
mount --make-rprivate /
mkdir -p /run/libvirt
mount --bind run /run/libvirt
mount --bind lib /var/lib/libvirt
mount --bind log /var/log/libvirt
mount --bind etc /etc/libvirt
pgrep -F virtlogd.pid >/dev/null 2>&1 || virtlogd -d -p "$0/virtlogd.pid"
exec tini -s -- libvirtd -p "$0/libvirtd.pid"`, p.dir)
	p.daemon.Stdout, p.daemon.Stderr = log, log
	p.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.daemon.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(p.socket); err == nil {
			return nil
		}
	}
	out, _ := os.ReadFile(log.Name())
	return fmt.Errorf("no socket after 30s: %s", out)
}

// kill ends libvirtd as a crash does; its guests live on.
func (p *privateLibvirt) kill() error {
	if err := killPidFile(filepath.Join(p.dir, "libvirtd.pid")); err != nil {
		return err
	}
	p.daemon.Wait()
	return nil
}

func (p *privateLibvirt) remove() {
	if p.daemon != nil && p.daemon.ProcessState == nil {
		p.clean()
		p.kill()
	}
	// Guests live on where a failed test left the daemon dead.
	guests, _ := filepath.Glob(filepath.Join(p.dir, "run/qemu/*.pid"))
	for _, g := range guests {
		killPidFile(g)
	}
	killPidFile(filepath.Join(p.dir, "virtlogd.pid"))
	exec.Command("ip", "netns", "del", p.netns).Run()
	os.RemoveAll(p.dir)
}

// clean removes every domain and pool.
func (p *privateLibvirt) clean() {
	names := strings.Fields(p.virsh("list", "--all", "--name"))
	for _, name := range names {
		p.virsh("destroy", name)
		p.virsh("undefine", name)
	}
	for _, pool := range strings.Fields(p.virsh("pool-list", "--all", "--name")) {
		p.virsh("pool-destroy", pool)
		p.virsh("pool-undefine", pool)
	}
	os.RemoveAll(filepath.Join(p.dir, "lib/images"))
	os.Mkdir(filepath.Join(p.dir, "lib/images"), 0o711)
}

// virsh returns what it prints, errors included.
func (p *privateLibvirt) virsh(args ...string) string {
	args = append([]string{"-q", "-c", "qemu:///system?socket=" + p.socket}, args...)
	out, _ := exec.Command("virsh", args...).CombinedOutput()
	return string(out)
}

// killQEMU ends a domain's process as the kernel's out-of-memory killer does.
func (p *privateLibvirt) killQEMU(name string) error {
	return killPidFile(filepath.Join(p.dir, "run/qemu", name+".pid"))
}

func killPidFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}
