// Package tryboot boots a kernel or a disk in a throw-away QEMU, without
// libvirt and without a network to the outside, and waits for a line on its
// serial console. It serves the template's verification and its measurements.
package tryboot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Machine is the VM to boot: Kernel and Initrd, or Disk.
type Machine struct {
	Kernel, Initrd, Cmdline string
	Disk                    string // qcow2, used read-only
	Config                  string // ISO image attached as virtio drive, or ""
	Accel                   string // "tcg" (default) or "kvm"
	MemoryMiB               int    // 192 if 0
	CPUs                    int    // 1 if 0
	Mark                    string // an earlier line whose time is wanted too, or ""
}

// Boot is what was seen.
type Boot struct {
	Wall    time.Duration // from the start of QEMU to the line
	Mark    time.Duration // from the start of QEMU to Machine.Mark; 0 if not seen
	Line    string        // the line waited for
	Console string        // everything up to the end
}

// ErrPanic is returned when the kernel panics before the line.
var ErrPanic = errors.New("kernel panic")

const poll = 5 * time.Millisecond

// Until boots m and returns at the first console line that contains want. The
// VM is ended in any case. The error of a boot that ends, panics or outlives
// ctx carries the console's last lines; Boot.Console is set then too.
func Until(ctx context.Context, m Machine, want string) (Boot, error) {
	return Watch(ctx, m, want, nil)
}

// Watch is Until with a function that is called with the QEMU monitor's socket
// when the line was seen, before the VM is ended.
func Watch(ctx context.Context, m Machine, want string, then func(monitor string) error) (Boot, error) {
	dir, err := os.MkdirTemp("", "tryboot-")
	if err != nil {
		return Boot{}, fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(dir)
	serial, monitor := filepath.Join(dir, "serial"), filepath.Join(dir, "monitor")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", m.args(serial, monitor)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return Boot{}, fmt.Errorf("start qemu: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b, err := m.await(ctx, serial, want, begin, ended)
	if err == nil && then != nil {
		err = then(monitor)
	}
	_ = cmd.Process.Kill()
	if text, e := os.ReadFile(serial); e == nil {
		b.Console = string(text)
	}
	if err != nil {
		err = fmt.Errorf("boot until %q: %w: %s%s", want, err, stderr.String(), tail(b.Console, 12))
	}
	return b, err
}

// await polls the console file: QEMU writes it unbuffered, and 5 ms are well
// below what is measured here.
func (m Machine) await(ctx context.Context, serial, want string, begin time.Time, ended chan error) (Boot, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var b Boot
	for {
		var end error
		select {
		case <-ctx.Done():
			return b, ctx.Err()
		case err := <-ended:
			ended <- err
			end = errors.Join(errors.New("qemu ended"), err)
		case <-tick.C:
		}
		text, _ := os.ReadFile(serial)
		if _, ok := findLine(string(text), m.Mark); ok && b.Mark == 0 && m.Mark != "" {
			b.Mark = time.Since(begin)
		}
		if line, ok := findLine(string(text), want); ok {
			b.Wall, b.Line = time.Since(begin), line
			return b, nil
		}
		if strings.Contains(string(text), "Kernel panic") {
			return b, ErrPanic
		}
		if end != nil {
			return b, end
		}
	}
}

// findLine returns the first complete line that contains want.
func findLine(text, want string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, want) {
			return strings.TrimSpace(line[strings.Index(line, want):]), true
		}
	}
	return "", false
}

// args are QEMU's. The devices are those of a small router: one nic, a random
// number source and, if there is one, the config drive.
func (m Machine) args(serial, monitor string) []string {
	a := []string{
		"-accel", cmp.Or(m.Accel, "tcg"), "-M", "q35", "-m", strconv.Itoa(cmp.Or(m.MemoryMiB, 192)),
		"-smp", strconv.Itoa(cmp.Or(m.CPUs, 1)), "-nodefaults", "-no-reboot", "-display", "none",
		"-serial", "file:" + serial, "-monitor", "unix:" + monitor + ",server=on,wait=off",
		"-netdev", "user,id=n0,restrict=on", "-device", "virtio-net-pci,netdev=n0,romfile=",
		"-device", "virtio-rng-pci",
	}
	if m.Kernel != "" {
		a = append(a, "-kernel", m.Kernel, "-initrd", m.Initrd, "-append", m.Cmdline)
	}
	if m.Disk != "" {
		a = append(a, "-drive", "file="+m.Disk+",if=virtio,format=qcow2,snapshot=on")
	}
	if m.Config != "" {
		a = append(a, "-drive", "file="+m.Config+",if=virtio,format=raw,readonly=on")
	}
	return a
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return "\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
