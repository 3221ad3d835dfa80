package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// loadList loads the modules named in the list `modules.<name>` of ListDir, in
// its order: the image's builder has put dependencies first. A missing list is
// an empty one. It goes on after a module that fails and joins the errors.
func loadList(name string) error {
	b, err := os.ReadFile(filepath.Join(ListDir, "modules."+name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read module list %s: %w", name, err)
	}
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	return loadAll(filepath.Join("/lib/modules", release), parseList(string(b)))
}

func loadAll(dir string, files []string) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, loadModule(filepath.Join(dir, f)))
	}
	return errors.Join(errs...)
}

// parseList returns the non-empty lines that are no comments.
func parseList(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// loadModule loads one module file; one that is loaded already is no error.
// finit_module in this process, because a fork of modprobe costs some 30 ms
// under emulation and the lists are long. The modules bear no signature: what
// vouches for them is the RAM disk that process 1 itself came from.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

// Settings of the kernel (Documentation/admin-guide/sysctl/kernel.rst).
const (
	// modulesDisabled takes 1, and then no other value until the next boot.
	modulesDisabled = "/proc/sys/kernel/modules_disabled"
	// modprobePath is the program that the kernel starts for a module that it
	// misses; empty for none.
	modprobePath = "/proc/sys/kernel/modprobe"
)

// noRequests keeps the kernel from starting a program for each name that it
// does not know: there is none in a router, and looking costs a process.
func noRequests() error { return setKernel(modprobePath, "") }

// closeModules ends loading for good, for everybody: stronger than asking for
// signatures, an intruder with all rights in a router loads nothing at all.
func closeModules() error { return setKernel(modulesDisabled, "1") }

// The table of connections takes a tenth of the memory at most: an entry has
// some 400 bytes. The kernel's own choice for a machine as small as a router
// is a few thousand, which one guest's browser fills.
const (
	conntrackMax     = "/proc/sys/net/netfilter/nf_conntrack_max"
	conntrackBuckets = "/proc/sys/net/netfilter/nf_conntrack_buckets"
	bytesPerEntry    = 4096
)

// sizeConnections makes room for a connection every 4 KiB of memory.
func sizeConnections() error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("read size of memory: %w", err)
	}
	entries := connections(info.Totalram * uint64(info.Unit))
	return errors.Join(setKernel(conntrackBuckets, entries), setKernel(conntrackMax, entries))
}

func connections(memory uint64) string {
	return strconv.FormatUint(min(max(memory/bytesPerEntry, 16<<10), 1<<20), 10)
}

func setKernel(file, value string) error {
	if err := os.WriteFile(file, []byte(value+"\n"), 0); err != nil {
		return fmt.Errorf("set %s to %q: %w", file, value, err)
	}
	return nil
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read kernel release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
