// Command demo shows the main job on this machine: up builds a small internet,
// starts a server, applies a topology and tries everything that it promises,
// each with a tick and a time; down removes every trace.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/story"
	"github.com/sluice-nfv/sluice/test/world"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say up, down, or peer")
	}
	if args[0] == "peer" {
		return lab.PeerMain(args[1:])
	}
	o, err := options()
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, o)
	case "down":
		w, err := world.New(o)
		if err != nil {
			return err
		}
		return w.Close()
	}
	return fmt.Errorf("%q is none of up, down, peer", args[0])
}

// options name everything that the demonstration makes; the socket is the one
// that the command line uses by itself.
func options() (world.Options, error) {
	self, err := os.Executable()
	return world.Options{
		Instance: "sluice-demo", Prefix: "sl-", Management: "10.98.0.1/24",
		Sluice: filepath.Join(filepath.Dir(self), "sluice"), Peer: []string{self, "peer"},
		Socket: "/run/sluice/sluice.sock",
	}, err
}

func up(ctx context.Context, o world.Options) error {
	if err := alone(ctx, o); err != nil {
		return err
	}
	began := time.Now()
	var w *world.World
	err := show(ctx, story.Step{Name: "a small internet, and a server", Run: func(ctx context.Context) (_ string, err error) {
		w, err = world.Open(ctx, o)
		return o.Socket, err
	}})
	if err != nil {
		return err
	}
	if err := apply(ctx, w); err != nil {
		return err
	}
	for _, s := range w.Story.Steps() {
		if err := show(ctx, s); err != nil {
			return fmt.Errorf("%w\nthe server's log is %s/server.log", err, w.Lab.Dir)
		}
	}
	fmt.Printf("\nall of it held, in %.0fs\n", time.Since(began).Seconds())
	return tables(ctx, w)
}

// alone refuses to take the place of a server that is not the demonstration's,
// and removes an earlier demonstration.
func alone(ctx context.Context, o world.Options) error {
	w, err := world.New(o)
	if err != nil {
		return err
	}
	if err := w.Possible(ctx); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if w.API.Do(patience, http.MethodGet, "/healthz", nil, nil) == nil && !w.Lab.Running("server") {
		return fmt.Errorf("a server that is not the demonstration's answers at %s; stop it first", o.Socket)
	}
	if _, err := os.Stat(w.Lab.Dir); err == nil {
		fmt.Println("removing the last demonstration")
	}
	return w.Close()
}

func apply(ctx context.Context, w *world.World) error {
	const file = "hack/demo/topology.yaml"
	topology, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fmt.Println("\n$ sluice apply -f " + file)
	out, err := w.Apply(ctx, topology)
	fmt.Println(out)
	return err
}

// show runs a step and prints its tick and time.
func show(ctx context.Context, s story.Step) error {
	began := time.Now()
	detail, err := s.Run(ctx)
	took := time.Since(began).Seconds()
	if err != nil {
		fmt.Printf("  ✗ %6.2fs  %s\n", took, s.Name)
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	fmt.Printf("  ✓ %6.2fs  %s  (%s)\n", took, s.Name, detail)
	return nil
}

func tables(ctx context.Context, w *world.World) error {
	for _, noun := range []string{"l3-network", "virtual-router", "vm-instance", "eip", "port-forwarding-rule"} {
		fmt.Printf("\n$ sluice %s list\n", noun)
		cmd := exec.CommandContext(ctx, w.Sluice, noun, "list")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	fmt.Println(`
Everything is still running. Go on with
  bin/sluice virtual-router show vr-guest      its stages and how long each took
  bin/sluice virtual-router explain vr-guest   what is wanted, what is there
  ip netns exec sl-web curl http://outside.example/    from inside a guest
  virsh -c qemu:///system list
  make demo-down                               removes every trace`)
	return nil
}
