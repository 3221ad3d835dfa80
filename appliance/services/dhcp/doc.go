// Package dhcp is the router's own DHCPv4 server (RFC 2131). Every guest nic
// has a fixed address in the spec and there is no pool, so the whole service is
// a function: Prepare turns a network of the spec into an immutable Config,
// parse and decide say what a request deserves, and compose writes the answer,
// all without allocating and without touching anything outside their
// arguments. The effects are a packet socket for each guest link (wire.go) and
// one goroutine on it (listener.go), which reads the present Config through one
// atomic pointer. What the server remembers - leases seen, addresses declined -
// is for people and for sixty seconds; losing it changes no answer that
// matters.
package dhcp
