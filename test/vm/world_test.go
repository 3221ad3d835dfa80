// Package vm tells the main job as stories on real libvirt and QEMU: a real
// server process, real routers, real clients.
package vm

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/story"
)

const (
	instance   = "sluice-vmtest"
	management = "10.97.0.1/24"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		if err := lab.PeerMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// world is one server with its own data, on the machine's libvirt.
type world struct {
	*testing.T
	lab    *lab.Lab
	api    *client.Client
	story  *story.Story
	dir    string
	socket string
	sluice string
	flags  []string          // of the server, besides the usual ones
	edit   *strings.Replacer // of the topology, besides the names
}

// need skips the test, with the reason, where routers cannot run or were not
// asked for.
func need(t *testing.T, level string) {
	t.Helper()
	asked := os.Getenv("SLUICE_VM")
	if asked != "all" && asked != level {
		t.Skipf("boots real routers: run by `make test` (canary) and `make vm-test` (all), SLUICE_VM=%q here", asked)
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root: bridges, namespaces and libvirt")
	}
	if out, err := exec.Command("timeout", "10", "virsh", "-q", "-c", "qemu:///system", "version").CombinedOutput(); err != nil {
		t.Fatalf("libvirt does not answer; start it with hack/libvirt.sh start: %v: %s", err, out)
	}
}

// newWorld starts a server; all of it is removed when the test ends.
func newWorld(t *testing.T) *world {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &world{
		T: t, dir: dir, socket: filepath.Join(dir, "sluice.sock"),
		lab: &lab.Lab{Prefix: "slt-", Dir: "/run/sluice-vmtest", Peer: []string{self, "peer"}},
	}
	if w.sluice, err = filepath.Abs("../../bin/sluice"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.sluice); err != nil {
		t.Fatalf("%v; make build first", err)
	}
	if w.api, err = client.New(client.Config{Server: "unix://" + w.socket}); err != nil {
		t.Fatal(err)
	}
	w.story = &story.Story{Lab: w.lab, API: w.api, ManagementCIDR: management}
	w.check(w.lab.Down(t.Context())) // what a killed run left behind
	w.sweep()
	t.Cleanup(w.end)
	w.check(w.story.Stage(t.Context()))
	w.serve()
	return w
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v\nserver log:\n%s", err, tail(w.lab.Log("server"), 4000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// serve starts the server process and waits until it answers.
func (w *world) serve() {
	w.Helper()
	args := append([]string{
		w.sluice, "server", "--data-dir", filepath.Join(w.dir, "data"), "--socket", w.socket,
		"--listen", "", "--instance", instance, "--log-level", "debug",
	}, w.flags...)
	w.check(w.lab.Start(context.Background(), "", "server", args...))
	w.eventually(30*time.Second, "the server answers", func() bool {
		return w.api.Do(context.Background(), http.MethodGet, "/readyz", nil, nil) == nil
	})
}

// topology is the demonstration's, on this world's own names.
func (w *world) topology() string {
	w.Helper()
	b, err := os.ReadFile("../../hack/demo/topology.yaml")
	w.check(err)
	text := strings.NewReplacer("sl-", w.lab.Prefix, "10.98.0.", "10.97.0.").Replace(string(b))
	if dir := os.Getenv("SLUICE_IMAGE_DIR"); dir != "" {
		text = strings.ReplaceAll(text, "/var/cache/sluice/image", dir)
	}
	if w.edit != nil {
		text = w.edit.Replace(text)
	}
	file := filepath.Join(w.dir, "topology.yaml")
	w.check(os.WriteFile(file, []byte(text), 0o600))
	return file
}

// apply applies it twice: the second time changes nothing.
func (w *world) apply() {
	w.Helper()
	file := w.topology()
	w.Log("\n" + w.cli("apply", "-f", file))
	for line := range strings.Lines(w.cli("apply", "-f", file)) {
		if !strings.HasPrefix(line, "=") {
			w.Errorf("applied twice, and the second time: %s", line)
		}
	}
}

// tryApply applies it once and returns what was printed.
func (w *world) tryApply() (string, error) {
	out, err := exec.Command(w.sluice, "--server", "unix://"+w.socket, "apply", "-f", w.topology()).CombinedOutput()
	return string(out), err
}

func (w *world) cli(args ...string) string {
	w.Helper()
	cmd := exec.Command(w.sluice, append([]string{"--server", "unix://" + w.socket}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("sluice %s: %v: %s\nserver log:\n%s", strings.Join(args, " "), err, out, tail(w.lab.Log("server"), 4000))
	}
	return string(out)
}

func (w *world) eventually(patience time.Duration, what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.check(fmt.Errorf("not within %s: %s", patience, what))
		}
	}
}

// tell runs the whole story, a subtest a step.
func (w *world) tell() {
	w.Helper()
	for _, s := range w.story.Steps() {
		began := time.Now()
		detail, err := s.Run(w.Context())
		if err != nil {
			w.check(fmt.Errorf("%s: %w", s.Name, err))
		}
		w.Logf("✓ %6.2fs  %s  (%s)", time.Since(began).Seconds(), s.Name, detail)
	}
}

// routers are all routers there are.
func (w *world) routers() []v1.VirtualRouter {
	w.Helper()
	all, err := client.List[v1.VirtualRouter](w.Context(), w.api, "/v1/virtual-routers", nil)
	w.check(err)
	return all
}

// domains are the names of this world's domains that libvirt knows.
func (w *world) domains() []string {
	out, err := exec.Command("virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name").Output()
	w.check(err)
	var ours []string
	for name := range strings.FieldsSeq(string(out)) {
		xml, err := exec.Command("virsh", "-q", "-c", "qemu:///system", "dumpxml", name).Output()
		if err == nil && strings.Contains(string(xml), "/"+instance+"/") {
			ours = append(ours, name)
		}
	}
	return ours
}

// end removes everything, through the server as an administrator would, and
// then what would be left if that failed.
func (w *world) end() {
	if w.Failed() {
		w.Logf("server log:\n%s", tail(w.lab.Log("server"), 6000))
	}
	if err := w.lab.Down(context.Background()); err != nil {
		w.Error(err)
	}
	w.sweep()
}

// sweep removes domains, pool and bridges of this instance.
func (w *world) sweep() {
	for _, name := range w.domains() {
		_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "destroy", name).Run()
		_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "undefine", name).Run()
	}
	_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "pool-destroy", instance).Run()
	_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "pool-undefine", instance).Run()
	_ = os.RemoveAll("/var/lib/libvirt/images/" + instance)
	bridges, _ := os.ReadFile("/run/sluice-vmtest-bridges")
	for name := range strings.FieldsSeq(string(bridges)) {
		_ = exec.Command("ip", "link", "delete", name).Run()
	}
	_ = os.Remove("/run/sluice-vmtest-bridges")
}
