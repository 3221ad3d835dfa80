package doctor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bridgePrefix begins the names of all bridges that the server makes.
const bridgePrefix = "slbr"

// LookAtMachine observes the kernel and the files of this machine. It leaves
// nothing behind: a file that it writes to time the disk is deleted.
func LookAtMachine(ctx context.Context, c Config) Machine {
	root := os.DirFS("/")
	m := Machine{
		Root: os.Geteuid() == 0, Now: time.Now(), Modules: map[string]string{},
		Bridges: bridges(root), AdminToken: LookAtSecret(filepath.Join(c.DataDir, "admin-token")), Data: lookAtData(c.DataDir),
	}
	m.ClockSynced, m.ClockError = clockSynced()
	release := kernelRelease()
	for _, w := range wanted {
		m.Modules[w.name] = moduleState(root, release, w.name)
	}
	m.Tun, m.KVM = exists(root, "dev/net/tun"), exists(root, "dev/kvm")
	if filter, err := fs.ReadFile(root, "proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil && strings.TrimSpace(string(filter)) == "1" {
		m.BridgeFilter = true
		m.ForwardPolicy, m.ForwardError = forwardPolicy(ctx)
	}
	if c.Listen != "" {
		if l, err := net.Listen("tcp", c.Listen); err != nil {
			m.ListenError = err.Error()
		} else {
			_ = l.Close()
		}
	}
	return m
}

// LookAtSecret is a file's mode; one that is not there has none, and no error.
func LookAtSecret(file string) SecretFile {
	s := SecretFile{Path: file}
	info, err := os.Stat(file)
	switch {
	case err == nil:
		s.Mode = uint32(info.Mode().Perm())
	case !errors.Is(err, fs.ErrNotExist):
		s.Error = err.Error()
	}
	return s
}

func exists(root fs.FS, name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

// clockSynced asks the kernel (adjtimex(2)); reading needs no right.
func clockSynced() (bool, string) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, err.Error()
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, ""
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// moduleState finds a module: loaded, built-in, loadable or missing. A kernel
// without folder of modules tells in /proc/config.gz, if at all.
func moduleState(root fs.FS, release, name string) string {
	file := func(line string) bool {
		base, _, _ := strings.Cut(path.Base(strings.SplitN(line, ":", 2)[0]), ".ko")
		return strings.ReplaceAll(base, "-", "_") == name
	}
	switch {
	case exists(root, "sys/module/"+name):
		return "loaded"
	case slices.ContainsFunc(lines(root, "lib/modules/"+release+"/modules.builtin"), file):
		return "built-in"
	case slices.ContainsFunc(lines(root, "lib/modules/"+release+"/modules.dep"), file):
		return "loadable"
	case slices.Contains(lines(root, "proc/config.gz"), configName[name]+"=y"):
		return "built-in"
	}
	return missing
}

// configName is what a kernel's configuration calls a module.
var configName = map[string]string{"bridge": "CONFIG_BRIDGE", "tun": "CONFIG_TUN", "8021q": "CONFIG_VLAN_8021Q", "vhost_net": "CONFIG_VHOST_NET"}

// lines of a text file, unpacked if it is gzip; none if it cannot be read.
func lines(root fs.FS, name string) []string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil
		}
		if b, err = io.ReadAll(z); err != nil {
			return nil
		}
	}
	var all []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func bridges(root fs.FS) []string {
	var all []string
	found, _ := fs.Glob(root, "sys/class/net/"+bridgePrefix+"*") // the pattern is sound
	for _, name := range found {
		all = append(all, path.Base(name))
	}
	return all
}

// forwardPolicy is the policy of iptables' FORWARD chain.
func forwardPolicy(ctx context.Context) (policy, trouble string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "iptables", "-w", "2", "-S", "FORWARD").Output()
	if err != nil {
		return "", err.Error()
	}
	return policyOf(string(out)), ""
}

// policyOf is ACCEPT also if a rule lets all bridged frames pass.
func policyOf(rules string) string {
	for line := range strings.Lines(rules) {
		if strings.TrimSpace(line) == "-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT" {
			return "ACCEPT"
		}
	}
	first, _, _ := strings.Cut(rules, "\n")
	return strings.TrimPrefix(first, "-P FORWARD ")
}

// fsyncs are how many writes are timed.
const fsyncs = 12

func lookAtData(dir string) Data {
	d := Data{Dir: dir}
	at := dir
	for !exists(os.DirFS("/"), strings.TrimPrefix(filepath.Clean(at), "/")) && at != "/" && at != "." {
		at, d.Missing = filepath.Dir(at), true
	}
	if info, err := os.Stat(filepath.Join(dir, "etcd", "etcd", "member", "snap", "db")); err == nil {
		d.DBSize = info.Size()
	}
	var st unix.Statfs_t
	err := unix.Statfs(at, &st)
	if err == nil {
		d.Free = int64(st.Bavail) * st.Bsize
		d.FsyncMedian, d.FsyncWorst, err = timeFsync(at)
	}
	if err != nil {
		d.Error = err.Error()
	}
	return d
}

func timeFsync(dir string) (median, worst time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".sluice-doctor-*")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range fsyncs {
		began := time.Now()
		if _, err = f.Write(make([]byte, 4096)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1], nil
}
