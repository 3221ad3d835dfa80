package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// second is another host on this machine: a libvirtd of its own, with its own
// configuration, state and images, in a mount namespace. Its domains' nics are
// on the machine's bridges, as on a host whose cables end in the same switch.
type second struct {
	*site
	dir, uri string
	daemon   *exec.Cmd
}

// newSecond starts it. It is gone when the test ends.
func newSecond(s *site) *second {
	s.Helper()
	dir, err := os.MkdirTemp("/tmp", "sl-h2-") // short, for a socket's path has at most 107 bytes
	s.check(err)
	h := &second{site: s, dir: dir, uri: "qemu:///system?socket=" + filepath.Join(dir, "run/libvirt-sock")}
	s.Cleanup(h.remove)
	out, err := exec.Command("sh", "-c", `set -e
chmod 755 "$0"
cd "$0"
mkdir -p run lib/images log
chmod 711 lib/images
cp -a /etc/libvirt etc
rm -rf etc/qemu/networks etc/qemu/*.xml etc/storage
echo 'cgroup_controllers = [ ]' >> etc/qemu.conf`, dir).CombinedOutput()
	if err != nil {
		s.Fatalf("a second libvirt: %v: %s", err, out)
	}
	h.on()
	return h
}

// on starts its libvirtd.
func (h *second) on() {
	h.Helper()
	socket := filepath.Join(h.dir, "run/libvirt-sock")
	_ = os.Remove(socket)
	h.daemon = exec.Command("unshare", "-m", "sh", "-c", `set -e
cd "$0"
mount --make-rprivate /
mkdir -p /run/libvirt
mount --bind run /run/libvirt
mount --bind lib /var/lib/libvirt
mount --bind log /var/log/libvirt
mount --bind etc /etc/libvirt
pgrep -F virtlogd.pid >/dev/null 2>&1 || virtlogd -d -p "$0/virtlogd.pid"
exec libvirtd -p "$0/libvirtd.pid"`, h.dir)
	h.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	h.check(h.daemon.Start())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return
		}
		if time.Now().After(end) {
			h.Fatal("the second libvirtd does not listen")
		}
	}
}

// off takes the power away: libvirtd and its guests are gone at once.
func (h *second) off() {
	guests, _ := filepath.Glob(filepath.Join(h.dir, "run/qemu/*.pid"))
	for _, pid := range append(guests, filepath.Join(h.dir, "libvirtd.pid")) {
		kill(pid)
	}
	if h.daemon != nil {
		_ = h.daemon.Wait() // it was killed
		h.daemon = nil
	}
}

// domains are the names of those that it has, running or not.
func (h *second) domains() []string {
	out, _ := exec.Command("virsh", "-q", "-c", h.uri, "list", "--all", "--name").Output()
	return strings.Fields(string(out))
}

func (h *second) remove() {
	h.off()
	kill(filepath.Join(h.dir, "virtlogd.pid"))
	if err := os.RemoveAll(h.dir); err != nil {
		h.Error(err)
	}
}

// kill ends the process of a pid file; a missing one is fine.
func kill(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		for range 100 {
			if syscall.Kill(pid, 0) != nil || zombie(pid) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
