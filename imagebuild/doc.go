// Package imagebuild makes the template that every router boots: Debian's
// cloud kernel, an initial RAM disk with the few programs and modules that a
// router uses, the agent, and the same on a small bootable disk.
//
// What goes in is a value, Recipe, that a golden test pins. Build executes it:
// it asks apt what the packages are (resolve), takes the wanted files out of
// them (layout), and writes archives (cpio, disk). The result of everything
// but the agent is kept by content, so that a new agent costs a compression.
// Nothing is booted to build; Verify boots the result.
package imagebuild
