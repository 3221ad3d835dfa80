// Command sluice-init is process 1 of a router and, called as modprobe, what
// the kernel runs to load a module: package boot and nothing else.
//
// It is a binary of its own, though `sluice-agent init` runs the same code,
// because the agent's libraries read random bytes while they initialize, and
// that blocks for a second and more until the kernel has entropy: the driver
// that brings the entropy is loaded by process 1. A small process 1 also starts
// faster and has no code that listens to a network.
package main

import (
	"os"
	"path/filepath"

	"github.com/sluice-nfv/sluice/appliance/boot"
)

func main() {
	if filepath.Base(os.Args[0]) == "modprobe" {
		os.Exit(boot.Modprobe(os.Args[1:]))
	}
	os.Exit(boot.Main(os.Args[1:]))
}
