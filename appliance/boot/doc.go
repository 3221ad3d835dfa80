// Package boot is process 1 of a router: the few steps between the kernel's
// hand-over and a running agent. It mounts the kernel's file systems, loads
// the modules that the drives and nics need, finds the config drive, starts
// the agent and keeps it running, reaps orphans and turns power requests into
// an orderly stop. A router has neither a shell nor an init system: nothing in
// it can be logged in to.
//
// Which modules are loaded, and in which order, is decided when the image is
// built (see package imagebuild): this package only walks the lists it finds
// in /usr/lib/sluice, and then closes the kernel to modules for good.
//
// It is a part of the agent's binary: an emulated CPU then translates Go's
// runtime once and not twice, which is 0.1 s, and the RAM disk is 2 MB smaller.
// So no package of the agent may read random bytes while it initializes: it
// would wait 1.2 s for entropy whose driver process 1 has yet to load.
package boot
