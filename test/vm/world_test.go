// Package vm tells the main job as stories on real libvirt and QEMU: a real
// server process, real routers, real clients.
package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/etcd"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/world"
)

func TestMain(m *testing.M) {
	var err error
	switch arg := append(os.Args[1:], "", "")[:2]; arg[0] {
	case "peer":
		err = lab.PeerMain(os.Args[2:])
	case "etcd":
		err = etcd.Run(context.Background(), arg[1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// site is a world, and the test that it is for.
type site struct {
	*testing.T
	*world.World
	edit *strings.Replacer // of the topology, besides the names
}

// newSite skips the test, with the reason, where routers were not asked for;
// otherwise it starts a server. All of it is removed when the test ends.
func newSite(t *testing.T, level string, flags ...string) *site {
	t.Helper()
	asked := os.Getenv("SLUICE_VM")
	if asked != "all" && asked != level {
		t.Skipf("boots real routers: run by `make test` (canary) and `make vm-test` (all), SLUICE_VM=%q here", asked)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sluice, err := filepath.Abs("../../bin/sluice")
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Open(t.Context(), world.Options{
		Instance: "sluice-vmtest", Prefix: "slt-", Management: "10.97.0.1/24",
		Sluice: sluice, Peer: []string{self, "peer"}, Flags: append(flags, "--log-level", "debug"),
	})
	s := &site{T: t, World: w}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server log:\n%s", w.Log())
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	s.check(err)
	return s
}

func (s *site) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// topology is the demonstration's, on this world's own names.
func (s *site) topology() []byte {
	s.Helper()
	b, err := os.ReadFile("../../hack/demo/topology.yaml")
	s.check(err)
	text := strings.NewReplacer("sl-", s.Prefix, "10.98.0.", "10.97.0.").Replace(string(b))
	if dir := os.Getenv("SLUICE_IMAGE_DIR"); dir != "" {
		text = strings.ReplaceAll(text, "/var/cache/sluice/image", dir)
	}
	if s.edit != nil {
		text = s.edit.Replace(text)
	}
	return []byte(text)
}

// apply applies the topology twice: the second time changes nothing.
func (s *site) apply() {
	s.Helper()
	out, err := s.Apply(s.Context(), s.topology())
	s.T.Log("\n" + out)
	s.check(err)
	out, err = s.Apply(s.Context(), s.topology())
	s.check(err)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "=") {
			s.Errorf("applied twice, and the second time: %s", line)
		}
	}
}

// tell runs the whole story.
func (s *site) tell() {
	s.Helper()
	for _, step := range s.Story.Steps() {
		began := time.Now()
		detail, err := step.Run(s.Context())
		if err != nil {
			s.Fatalf("%s: %v", step.Name, err)
		}
		s.Logf("✓ %6.2fs  %s  (%s)", time.Since(began).Seconds(), step.Name, detail)
	}
}

// start starts a VM and waits until it is served.
func (s *site) start(ctx context.Context, vm string) error {
	return begin(ctx, s.API, vm)
}

func (s *site) vm(name string) string {
	s.Helper()
	vms, err := client.List[v1.VMInstance](s.Context(), s.API, "/v1/vm-instances?name="+name, nil)
	s.check(err)
	if len(vms) != 1 {
		s.Fatalf("%d VMs are named %s", len(vms), name)
	}
	return vms[0].UUID
}

// oneRouter demands that there is one, also by libvirt's count.
func (s *site) oneRouter() v1.VirtualRouter {
	s.Helper()
	all, err := s.Routers(s.Context())
	s.check(err)
	domains := slices.DeleteFunc(s.Domains(s.Context()), func(name string) bool {
		return strings.Contains(name, "-probe-") // a server that has just started probes its host
	})
	if len(all) != 1 || len(domains) != 1 {
		s.Fatalf("%d routers and domains %v, want one of each", len(all), domains)
	}
	return all[0]
}

// nothingLeft deletes everything through the API and looks for remains.
func (s *site) nothingLeft() {
	s.Helper()
	s.check(s.DeleteAll(s.Context()))
	if left := s.Left(s.Context()); len(left) > 0 {
		s.Errorf("left behind: %v", left)
	}
}
