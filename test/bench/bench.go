package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-nfv/sluice/test/boot"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/world"
)

const (
	instance   = "sluice-bench"
	prefix     = "slb-"
	management = "10.96.0.1/24"
	template   = "/var/cache/sluice/image"
)

//go:embed topology.yaml
var topology string

// bench is what benchmarks share: a world with a server, made when the first
// one asks for it, and a wire between two namespaces for the packet ones.
type bench struct {
	runs  int
	kills int // of the agent, for nat-restart
	self  string
	bin   string // directory of our binaries
	wire  *lab.Lab
	world *world.World
	boots boot.Result // boots measured so far, see boots.go
	image string      // directory of the router template
}

func newBench(runs, kills int) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(bin, "sluice")); err != nil {
		return nil, fmt.Errorf("%w; run this from the repository's root, after make build", err)
	}
	b := &bench{runs: runs, kills: kills, self: self, bin: bin, image: template, wire: &lab.Lab{Prefix: prefix, Dir: "/run/" + instance + "-wire"}}
	if dir := os.Getenv("SLUICE_IMAGE_DIR"); dir != "" {
		b.image = dir
	}
	if err := b.wire.Down(context.Background()); err != nil {
		return nil, fmt.Errorf("remove an earlier run: %w", err)
	}
	return b, nil
}

// site is the world with the topology applied.
func (b *bench) site(ctx context.Context) (*world.World, error) {
	if b.world != nil {
		return b.world, nil
	}
	progress("a server with a world of its own")
	w, err := world.Open(ctx, world.Options{
		Instance: instance, Prefix: prefix, Management: management,
		Sluice: filepath.Join(b.bin, "sluice"), Peer: []string{b.self, "peer"},
	})
	if err == nil {
		_, err = w.Apply(ctx, []byte(strings.ReplaceAll(topology, template, b.image)))
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	b.world = w
	return w, nil
}

func (b *bench) close() error {
	err := b.wire.Down(context.Background())
	if b.world != nil {
		err = errors.Join(err, b.world.Close())
	}
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
