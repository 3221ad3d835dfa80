// Package dataplane turns what the services want of a router's kernel into
// what the kernel does. The way is one line: each service gives a Want, Merge
// makes one of all, Render says it in the kernel's own terms, Diff compares
// that with what was observed, and Plane.Apply carries out the difference.
// All but the last are pure. The effects are behind the Kernel interface;
// package kernel has the real one, package kerneltest one that keeps its state
// in memory, and a conformance suite that both pass.
package dataplane
