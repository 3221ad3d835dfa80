// Package boot is process 1 of a router: the few steps between the kernel's
// hand-over and a running agent. It mounts the kernel's file systems, loads
// the modules that the drives and nics need, finds the config drive, starts
// the agent and keeps it running, reaps orphans and turns power requests into
// an orderly stop. A router has neither a shell nor an init system: nothing in
// it can be logged in to.
//
// Which modules are loaded, and in which order, is decided when the image is
// built (see package imagebuild): this package only walks the lists it finds
// in /usr/lib/sluice. It imports nothing that reads random bytes or waits for
// anything else while it initializes (see cmd/sluice-init).
package boot
