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

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/story"
)

const (
	stateDir = "/run/sluice-demo"
	dataDir  = "/var/lib/sluice-demo"
	socket   = "/run/sluice/sluice.sock"
	instance = "sluice-demo"
	// managementCIDR is the server's own address on the management network.
	managementCIDR = "10.98.0.1/24"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
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
	d, err := newDemo()
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return d.up(ctx)
	case "down":
		return d.down(ctx)
	}
	return fmt.Errorf("%q is none of up, down, peer", args[0])
}

type demo struct {
	lab    *lab.Lab
	api    *client.Client
	sluice string // path of the binary
	story  *story.Story
}

func newDemo() (*demo, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.Config{Server: "unix://" + socket})
	if err != nil {
		return nil, err
	}
	l := &lab.Lab{Prefix: "sl-", Dir: stateDir, Peer: []string{self, "peer"}}
	return &demo{
		lab: l, api: api, sluice: filepath.Join(filepath.Dir(self), "sluice"),
		story: &story.Story{Lab: l, API: api, ManagementCIDR: managementCIDR},
	}, nil
}

func (d *demo) up(ctx context.Context) error {
	if d.answers(ctx) && !d.lab.Running("server") {
		return fmt.Errorf("a server that is not the demo's answers at %s; stop it first", socket)
	}
	if _, err := os.Stat(stateDir); err == nil {
		fmt.Println("removing the last demo")
		if err := d.down(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, s := range []story.Step{
		{Name: "a small internet: three interfaces, a web server, names", Run: d.stage},
		{Name: "sluice server", Run: d.serve},
	} {
		if err := show(ctx, s); err != nil {
			return err
		}
	}
	fmt.Println("\n$ sluice apply -f hack/demo/topology.yaml")
	if err := d.cli(ctx, "apply", "-f", "hack/demo/topology.yaml"); err != nil {
		return err
	}
	fmt.Println()
	for _, s := range d.story.Steps() {
		if err := show(ctx, s); err != nil {
			return fmt.Errorf("%w\nthe server's log is %s/server.log", err, stateDir)
		}
	}
	fmt.Printf("\nall of it held, in %.0fs\n", time.Since(began).Seconds())
	return d.tables(ctx)
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
	fmt.Printf("  ✓ %6.2fs  %s", took, s.Name)
	if detail != "" {
		fmt.Printf("  (%s)", detail)
	}
	fmt.Println()
	return nil
}

func (d *demo) stage(ctx context.Context) (string, error) {
	return "", d.story.Stage(ctx)
}

// serve starts the server and waits until it answers.
func (d *demo) serve(ctx context.Context) (string, error) {
	if d.lab.Running("server") {
		return "running already", nil
	}
	err := d.lab.Start(ctx, "", "server", d.sluice, "server", "--data-dir", dataDir, "--socket", socket,
		"--listen", "127.0.0.1:8743", "--instance", instance)
	if err != nil {
		return "", err
	}
	for range 300 {
		if d.answers(ctx) {
			return socket, nil
		}
		if !d.lab.Running("server") {
			return "", fmt.Errorf("the server ended: %s", d.lab.Log("server"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", fmt.Errorf("the server does not answer: %s", d.lab.Log("server"))
}

func (d *demo) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return d.api.Do(ctx, http.MethodGet, "/readyz", nil, nil) == nil
}

func (d *demo) cli(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, d.sluice, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func (d *demo) tables(ctx context.Context) error {
	for _, noun := range []string{"l3-network", "virtual-router", "vm-instance", "eip", "port-forwarding-rule"} {
		fmt.Printf("\n$ sluice %s list\n", noun)
		if err := d.cli(ctx, noun, "list"); err != nil {
			return err
		}
	}
	fmt.Printf(`
Everything is still running. Go on with
  bin/sluice virtual-router show NAME        its stages and how long each took
  bin/sluice virtual-router status NAME      what the agent in it says
  ip netns exec sl-web curl http://%s/   from inside a guest
  virsh -c qemu:///system list
  make demo-down                             removes every trace
`, "outside.example")
	return nil
}

// down removes every trace, also after a crash: a server that is gone is
// started once more, because it knows what it made.
func (d *demo) down(ctx context.Context) error {
	if _, err := os.Stat(dataDir); err == nil {
		if _, err := d.serve(ctx); err != nil {
			return fmt.Errorf("start the server to clean up: %w", err)
		}
		if err := d.deleteAll(ctx); err != nil {
			return err
		}
	}
	err := d.lab.Down(ctx)
	for _, args := range [][]string{{"pool-destroy", instance}, {"pool-undefine", instance}} {
		_ = exec.CommandContext(ctx, "virsh", append([]string{"-q", "-c", "qemu:///system"}, args...)...).Run() // gone is fine
	}
	return errors.Join(err, os.RemoveAll(dataDir), os.RemoveAll("/var/lib/libvirt/images/"+instance))
}

// deleteAll deletes what stands at the roots of the model and waits until the
// routers are gone.
func (d *demo) deleteAll(ctx context.Context) error {
	for _, path := range []string{"vm-instances", "l2-networks"} {
		all, err := client.List[v1.Zone](ctx, d.api, "/v1/"+path, nil)
		if err != nil {
			return err
		}
		for _, o := range all {
			if err := d.api.Do(ctx, http.MethodDelete, "/v1/"+path+"/"+o.UUID, nil, nil); err != nil {
				return err
			}
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		left, err := client.List[v1.VirtualRouter](ctx, d.api, "/v1/virtual-routers", nil)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d routers are still there", len(left))
		}
	}
}
