// Package kerneltest has what tests of the data plane need: a Fake kernel that
// keeps state, refuses what the real one refuses and prints itself; the
// conformance suite that fake and real pass; and network namespaces to try the
// real one in.
package kerneltest
