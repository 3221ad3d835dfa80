// Package world is one Sluice server with data of its own on the machine's
// libvirt, and a small internet around it: what a programme needs that measures
// or shows real routers beside others on the same machine. Closing it removes
// every trace, also of an earlier world that was killed.
package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/story"
)

// Options of a world. Instance and Prefix are its own alone on the machine.
type Options struct {
	Instance   string   // the server's --instance; also names the directories
	Prefix     string   // of namespaces and links, see lab.Lab
	Management string   // the server's own address on the management network, as a prefix
	Sluice     string   // path of the binary
	Peer       []string // command that ends in lab.PeerMain
	Socket     string   // of the server; one in the lab's directory if empty
	Flags      []string // of the server, besides the usual ones
}

// World is a running server.
type World struct {
	Options
	Lab   *lab.Lab
	API   *client.Client
	Story *story.Story
}

// New describes a world, which may be running; it touches nothing.
func New(o Options) (*World, error) {
	w := &World{Options: o, Lab: &lab.Lab{Prefix: o.Prefix, Dir: filepath.Join("/run", o.Instance), Peer: o.Peer}}
	if w.Socket == "" {
		w.Socket = filepath.Join(w.Lab.Dir, "sluice.sock")
	}
	var err error
	w.API, err = client.New(client.Config{Server: w.Server()})
	w.Story = &story.Story{Lab: w.Lab, API: w.API, ManagementCIDR: o.Management}
	return w, err
}

// Open makes a new world in place of an earlier one of the same instance, with
// its stage built and its server running. The caller closes it, also after an
// error.
func Open(ctx context.Context, o Options) (*World, error) {
	w, err := New(o)
	if err != nil {
		return w, err
	}
	if err := w.Possible(ctx); err != nil {
		return w, err
	}
	if err := w.remove(ctx); err != nil {
		return w, fmt.Errorf("remove an earlier world: %w", err)
	}
	if err := w.Story.Stage(ctx); err != nil {
		return w, fmt.Errorf("build stage: %w", err)
	}
	return w, w.Serve(ctx)
}

// Server is what --server of the command line takes.
func (w *World) Server() string { return "unix://" + w.Socket }

func (w *World) data() string { return filepath.Join("/var/lib", w.Instance) }

// pool is the directory of the instance's volumes on this machine.
func (w *World) pool() string { return filepath.Join("/var/lib/libvirt/images", w.Instance) }

// Possible says what is missing for a world here; it touches nothing.
func (w *World) Possible(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: bridges, namespaces and libvirt")
	}
	if _, err := os.Stat(w.Sluice); err != nil {
		return fmt.Errorf("%w; make build first", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := virsh(ctx, "version").CombinedOutput(); err != nil {
		return fmt.Errorf("libvirt does not answer, start it with hack/libvirt.sh start: %w: %s", err, out)
	}
	return nil
}

func virsh(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "virsh", append([]string{"-q", "-c", "qemu:///system"}, args...)...)
}

// Serve starts the server and waits until it answers.
func (w *World) Serve(ctx context.Context) error {
	args := append([]string{
		w.Sluice, "server", "--data-dir", w.data(), "--socket", w.Socket, "--listen", "127.0.0.1:0", "--instance", w.Instance,
	}, w.Flags...)
	if err := w.Lab.Start(ctx, "", "server", args...); err != nil {
		return err
	}
	err := until(ctx, 30*time.Second, func() (bool, error) {
		if !w.Lab.Running("server") {
			return false, errors.New("the server ended")
		}
		return w.API.Do(ctx, http.MethodGet, "/readyz", nil, nil) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("start server: %w: %s", err, w.Log())
	}
	return nil
}

// Log is the end of the server's log.
func (w *World) Log() string {
	s := w.Lab.Log("server")
	return s[max(0, len(s)-3000):]
}

// Apply applies a topology, remembers the bridges that came with it, and
// returns what the command printed.
func (w *World) Apply(ctx context.Context, topology []byte) (string, error) {
	file := filepath.Join(w.Lab.Dir, "topology.yaml")
	if err := os.WriteFile(file, topology, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, w.Sluice, "--server", w.Server(), "apply", "-f", file).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("apply topology: %w: %s", err, out)
	}
	return string(out), errors.Join(err, w.noteBridges(ctx))
}

// Bridge is the bridge of an L2 network on this machine.
func (w *World) Bridge(ctx context.Context, l2 string) (string, error) {
	all, err := client.List[v1.L2Network](ctx, w.API, "/v1/l2-networks", nil)
	if err != nil {
		return "", err
	}
	for _, n := range all {
		if n.Name == l2 && len(n.Realizations) > 0 {
			return n.Realizations[0].Bridge, nil
		}
	}
	return "", fmt.Errorf("L2 network %s has no bridge", l2)
}

// Routers are all routers there are.
func (w *World) Routers(ctx context.Context) ([]v1.VirtualRouter, error) {
	return client.List[v1.VirtualRouter](ctx, w.API, "/v1/virtual-routers", nil)
}

// NoRouters waits until routers that were deleted are gone.
func (w *World) NoRouters(ctx context.Context, patience time.Duration) error {
	err := until(ctx, patience, func() (bool, error) {
		all, err := w.Routers(ctx)
		return err == nil && len(all) == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait until routers are gone: %w", err)
	}
	return nil
}

// until polls a condition.
func until(ctx context.Context, patience time.Duration, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
