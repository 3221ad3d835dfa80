// Package lab builds small networks out of namespaces and veth pairs, and puts
// real clients and servers into them: an internet with names and a web server,
// and guests that lease their address with Debian's own DHCP client. Only
// namespaces and links that a lab made itself are touched.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Lab is a set of namespaces, links and processes that go together.
type Lab struct {
	// Prefix of all names, such as "sl-": at most 5 characters, because a link
	// name has 15.
	Prefix string
	// Dir holds pid files, leases and logs, so that a later process can clean up.
	Dir string
	// Peer is the command of the peer server (see Serve), without arguments.
	Peer []string
}

// Namespace is the full name of one of the lab's namespaces.
func (l *Lab) Namespace(name string) string { return l.Prefix + name }

// Link is the full name of one of the lab's links on the host.
func (l *Lab) Link(name string) string { return l.Prefix + name }

// AddNamespace makes a namespace with loopback up; an old one is replaced.
func (l *Lab) AddNamespace(ctx context.Context, name string) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	ns := l.Namespace(name)
	if err := l.note(name, "ns"); err != nil {
		return err
	}
	_, _ = run(ctx, "ip", "netns", "delete", ns)
	if _, err := run(ctx, "ip", "netns", "add", ns); err != nil {
		return err
	}
	_, err := l.In(ctx, name, "ip", "link", "set", "lo", "up")
	return err
}

// note remembers what is about to be made, so that Down removes just that.
func (l *Lab) note(name, kind string) error {
	return os.WriteFile(filepath.Join(l.Dir, name+"."+kind), nil, 0o600)
}

func (l *Lab) noted(kind string) []string {
	files, _ := filepath.Glob(filepath.Join(l.Dir, "*."+kind))
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), "."+kind)
	}
	return files
}

// Veth makes a link on the host whose other end stands in a namespace, both up.
func (l *Lab) Veth(ctx context.Context, link, ns, inside string, mac string) error {
	host := l.Link(link)
	if err := l.note(link, "link"); err != nil {
		return err
	}
	_, _ = run(ctx, "ip", "link", "delete", host)
	args := []string{"ip", "link", "add", host, "type", "veth", "peer", "name", inside, "netns", l.Namespace(ns)}
	if mac != "" {
		args = append(args, "address", mac)
	}
	if _, err := run(ctx, args...); err != nil {
		return err
	}
	// Checksums left to hardware that is not there are refused by guests that
	// read packets raw; a real uplink completes them.
	_, _ = l.In(ctx, ns, "ethtool", "-K", inside, "tx", "off")
	if _, err := run(ctx, "ip", "link", "set", host, "up"); err != nil {
		return err
	}
	_, err := l.In(ctx, ns, "ip", "link", "set", inside, "up")
	return err
}

// Host runs a command in the host's own namespace.
func (l *Lab) Host(ctx context.Context, args ...string) (string, error) { return run(ctx, args...) }

// In runs a command in a namespace and returns what it printed.
func (l *Lab) In(ctx context.Context, ns string, args ...string) (string, error) {
	return run(ctx, append([]string{"ip", "netns", "exec", l.Namespace(ns)}, args...)...)
}

// run runs a command; an error carries what it said.
func run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()+" "+out.String()))
	}
	return out.String(), nil
}

// Start starts a long-running command in a namespace (the host's if empty) and
// remembers its pid, so that Down ends it, also from another process.
func (l *Lab) Start(ctx context.Context, ns, name string, args ...string) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	if ns != "" {
		args = append([]string{"ip", "netns", "exec", l.Namespace(ns)}, args...)
	}
	log, err := os.Create(filepath.Join(l.Dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...) // outlives ctx: Down ends it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }()
	return os.WriteFile(l.pidFile(name), fmt.Appendf(nil, "%d %s", cmd.Process.Pid, startTime(cmd.Process.Pid)), 0o600)
}

func (l *Lab) pidFile(name string) string { return filepath.Join(l.Dir, name+".pid") }

// startTime tells a process from a later one with the same pid (proc(5), stat
// field 22). Empty: it does not run.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" { // ended; process 1 does not reap everywhere
		return ""
	}
	return fields[19]
}

// Running reports whether a started command still runs.
func (l *Lab) Running(name string) bool { return l.pid(name) != 0 }

// PID is the process id of a started command that still runs, or 0. In a
// namespace it is the command's own: `ip netns exec` becomes it.
func (l *Lab) PID(name string) int { return l.pid(name) }

func (l *Lab) pid(name string) int {
	b, err := os.ReadFile(l.pidFile(name))
	if err != nil {
		return 0
	}
	var pid int
	var started string
	if n, _ := fmt.Sscan(string(b), &pid, &started); n != 2 || started == "" || startTime(pid) != started {
		return 0
	}
	return pid
}

// Stop ends a started command: politely, then by force after the grace.
func (l *Lab) Stop(name string, grace time.Duration) {
	pid := l.pid(name)
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		for end := time.Now().Add(grace); l.pid(name) != 0 && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
		if l.pid(name) != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = os.Remove(l.pidFile(name))
}

// Kill ends a started command without warning.
func (l *Lab) Kill(name string) {
	if pid := l.pid(name); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = os.Remove(l.pidFile(name))
}

// Log is what a started command printed.
func (l *Lab) Log(name string) string {
	b, _ := os.ReadFile(filepath.Join(l.Dir, name+".log"))
	return string(b)
}

// Down ends all commands and removes all namespaces and links of the lab.
func (l *Lab) Down(ctx context.Context) error {
	files, _ := filepath.Glob(filepath.Join(l.Dir, "*.pid"))
	for _, f := range files {
		l.Stop(strings.TrimSuffix(filepath.Base(f), ".pid"), 15*time.Second)
	}
	var errs []error
	for _, name := range l.noted("link") {
		if _, gone := net.InterfaceByName(l.Link(name)); gone == nil {
			_, err := run(ctx, "ip", "link", "delete", l.Link(name))
			errs = append(errs, err)
		}
	}
	for _, name := range l.noted("ns") {
		ns := l.Namespace(name)
		if _, gone := os.Stat("/run/netns/" + ns); gone == nil {
			_, err := run(ctx, "ip", "netns", "delete", ns)
			errs = append(errs, err)
		}
		errs = append(errs, os.RemoveAll(filepath.Join("/etc/netns", ns)))
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}
