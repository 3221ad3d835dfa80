package dataplane

import (
	"context"
	"fmt"
	"net/netip"
)

// Links finds a nic's present interface name by its MAC (lower case, colon
// separated).
type Links map[string]string

// Want is the kernel state that one service wants. Zero is "nothing". What no
// service wants is removed, as far as it is ours.
type Want struct {
	// Nics are the interfaces of the router; only the interfaces service has any.
	Nics []Nic
	// Addresses to carry. The same address wanted by several services is one.
	Addresses []Address
	// Inputs is what INPUT lets in, besides ICMP echo, loopback, and answers.
	Inputs []Input
	// SNAT is general source NAT, the longest Source winning.
	SNAT []SNAT
	// EIPs are 1:1 mappings in both directions; they go before Forwards (in)
	// and SNAT (out).
	EIPs []EIP
	// Forwards are ranges of forwarded ports.
	Forwards []Forward
	// Missing are nics that the spec has and the router does not, yet. What
	// needs them is left out; Apply does the rest and reports them.
	Missing []Missing
	// Flowtables has connections of general SNAT take the kernel's fast path.
	Flowtables bool
}

// Missing is a nic that was not found.
type Missing struct {
	MAC   string
	Owner string
}

// Nic is an interface of the router.
type Nic struct {
	// Link is the present interface name.
	Link string
	// Management, Public and Guest are its roles. Nothing is forwarded to or
	// from a nic that has only the first.
	Management, Public, Guest bool
	// MTU in bytes; 0 leaves it.
	MTU int
	// Gateway is the next hop of the default route; unset on all but one.
	Gateway netip.Addr
	// NextHop, of a public nic, is that of what leaves by this nic because it
	// came in on it or has its public address there; the default route's on one.
	NextHop netip.Addr
	// Routes are ways beyond gateways in the nic's subnets.
	Routes []GatewayRoute
	// Subnets are the networks that senders on a guest nic may belong to.
	Subnets []netip.Prefix
	Owner   string
}

// GatewayRoute is the way to a network.
type GatewayRoute struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Address is an address of the router with the length of its subnet; a VIP
// is a /32.
type Address struct {
	Link   string
	Prefix netip.Prefix
	Owner  string
}

// Input is an open port of the router itself.
type Input struct {
	// Link is the interface it is open on.
	Link string
	// Protocol is "tcp", "udp" or "icmp".
	Protocol string
	// Port is 1 to 65535, and 0 with icmp.
	Port uint16
	// Owner names who opened it; Merge fills it with the service where empty.
	Owner string
}

// SNAT gives what Source sends out of Link the source address Address.
type SNAT struct {
	Source  netip.Prefix
	Link    string
	Address netip.Addr
	Owner   string
}

// EIP maps VIP to Guest. Of several EIPs of one guest, the one with the lowest
// Order (then the lowest VIP) gives the source address of what it sends.
type EIP struct {
	VIP   netip.Addr
	Guest netip.Addr
	Order int64
	Owner string
}

// Forward maps ports First to Last of VIP to the ports of Guest that begin at
// To, one to one.
type Forward struct {
	VIP netip.Addr
	// Protocol is "tcp" or "udp".
	Protocol string
	// First to Last, inclusive, 1 to 65535.
	First, Last uint16
	Guest       netip.Addr
	To          uint16
	// Allowed limits who may connect; unset: everybody. Guests of the router
	// itself come with their own address.
	Allowed netip.Prefix
	Owner   string
}

// FieldError is a wrong value in a spec, found before anything was changed.
type FieldError struct {
	// Field is a JSON pointer into the RouterSpec, such as /content/eips/3/vip.
	Field string
	Err   error
}

// Error gives pointer and cause.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// Fieldf makes a FieldError; args are those of fmt.Errorf.
func Fieldf(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Applier is what an agent needs of the data plane; *Plane is one.
type Applier interface {
	// Links finds the nics of this network namespace by MAC.
	Links(ctx context.Context) (Links, error)
	// Rename gives nics (by MAC) their names, where the name is free or the
	// nic that has it is being renamed too. For a router VM only, and before
	// Links: in a namespace nics keep their names. A link is down for a
	// moment; its addresses and routes are as before afterwards.
	Rename(ctx context.Context, names map[string]string) error
	// Apply makes the kernel as wanted, and returns what was reached even
	// together with an error. Applying the same twice writes nothing.
	Apply(ctx context.Context, w Want) (Reached, error)
	// Change does what Apply would of all that is wanted after an edit of what
	// was applied last, at the cost of the edit. Where that cannot be had the
	// error is ErrWhole; after any error Apply has to follow.
	Change(ctx context.Context, e Edit) (Reached, error)
	// Nics are the interfaces as the last Apply or Change left them.
	Nics() []NicState
	// Offloads is whether connections of general SNAT took the kernel's fast
	// path after the last Apply.
	Offloads() bool
	// Lockdown closes the router until there is a spec: nothing is forwarded,
	// and only inputs, ICMP echo, loopback and answers get in. An Input with
	// an empty Link is open on all links.
	Lockdown(ctx context.Context, inputs ...Input) error
	// Resync makes the next Apply read everything anew, whatever it believes
	// to know.
	Resync()
}
