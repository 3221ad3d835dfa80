package dataplane

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
)

// Kernel is the way to the kernel of one network namespace. What it does not
// own (other chains, tables, addresses, routes) it neither reports as ours nor
// changes.
type Kernel interface {
	// Observe reads the present state; sysctls are the keys whose values are
	// wanted, and those that this kernel does not have are left out. What it
	// returns is for reading, and holds until the next Do.
	Observe(ctx context.Context, sysctls []string) (State, error)
	// Do carries out one step: whole, or with an error not at all. An error of
	// SetMappings names the element that was refused.
	Do(ctx context.Context, s Step) error
	// Sweep ends the connections for which stale is true and returns their
	// number. It may be called beside anything else, and reads all of the table.
	Sweep(ctx context.Context, stale func(Flow) bool) (int, error)
	// End ends all connections that the ends name, without reading the table. It
	// fails with errors.ErrUnsupported where the kernel cannot.
	End(ctx context.Context, ends []End) error
	// Announce sends gratuitous ARP for addresses of links that are up. It
	// goes on after one that fails.
	Announce(ctx context.Context, at []LinkAddress) error
	// Forget drops what the implementation remembers, so that the next
	// Observe reads everything.
	Forget()
	// Flowtables is whether the kernel has them, and may use them.
	Flowtables() bool
	// Links finds nics by MAC.
	Links(ctx context.Context) (Links, error)
	// Rename gives nics (by MAC) names.
	Rename(ctx context.Context, names map[string]string) error
}

// State is the part of the kernel's state that the data plane deals with.
type State struct {
	// Links by name, all but loopback.
	Links     map[string]LinkState
	Addresses map[LinkAddress]AddressState
	Routes    map[Route]RouteState
	// Rules lead to tables other than the main one.
	Rules map[Rule]RuleState
	// Sysctls by path below /proc/sys.
	Sysctls map[string]string
	// Builtins are the kernel's chains that we hook into.
	Builtins map[ChainID]Builtin
	// Chains are our own, with rules as iptables prints them, without "-A
	// CHAIN ", and in the sluice table as nft does.
	Chains map[ChainID][]string
	// Layout is whether the sluice table has exactly the chains and sets that
	// it has on every router, with their rules; where false, Mappings means
	// nothing, and no chain of the table is in Chains.
	Layout   bool
	Mappings Elements
	// Version is another one whenever anything but Sysctls may have changed
	// otherwise than by SetMappings, AddAddress or DelAddress of ours.
	Version uint64
}

// LinkState is an interface.
type LinkState struct {
	MAC string
	Up  bool
	// MTU in bytes.
	MTU int
}

// LinkAddress is an address on a link.
type LinkAddress struct {
	Link   string
	Prefix netip.Prefix
	// Routed: a route to the router itself is all that there is of it (type
	// local, in the table local).
	Routed bool
}

// AddressState says whose an address is.
type AddressState struct {
	// Ours: we added it, and so may remove it.
	Ours bool
	// Owner names the service that wants it; it is not observed.
	Owner string
}

// Route is the way to a network by a Gateway, such as the default route (Prefix
// 0.0.0.0/0), or to a subnet that an address of the link is in (without). The
// kernel makes the latter with the address, but a stranger can remove it alone.
type Route struct {
	// Table is 0 for the main one; else the route is there for packets that a
	// Rule leads to it, and whoever removes the address leaves it.
	Table   int
	Link    string
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// RouteState says whose a route is.
type RouteState struct {
	Ours bool
	// Source is the address that a subnet is reached from; not observed.
	Source netip.Addr
	Owner  string
}

// Rule leads packets with a mark to a routing table.
type Rule struct {
	// Priority: the lower, the earlier; the main table's is 32766.
	Priority   int
	Mark, Mask uint32
	Table      int
}

// RuleState says whose a rule is.
type RuleState struct {
	Ours  bool
	Owner string
}

// DefaultRoute is the route to everywhere by a gateway.
func DefaultRoute(link string, gateway netip.Addr) Route {
	return Route{Link: link, Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: gateway}
}

// ChainID names a chain of iptables, or of the sluice table.
type ChainID struct{ Table, Chain string }

// Compare orders by table, then chain.
func (c ChainID) Compare(d ChainID) int {
	return cmp.Or(cmp.Compare(c.Table, d.Table), cmp.Compare(c.Chain, d.Chain))
}

// Builtin is a built-in chain as far as it is our business.
type Builtin struct {
	// Policy is ACCEPT or DROP; on the wanted side, "" leaves it.
	Policy string
	// Jumps is how many rules of it are exactly a jump to Target.
	Target string
	Jumps  int
}

// Endpoint is a port of an address.
type Endpoint struct {
	Addr     netip.Addr
	Protocol uint8
	Port     uint16
}

// Target is where a forwarded port leads.
type Target struct {
	Addr netip.Addr
	Port uint16
}

// Grant lets Source connect to ports of a limited forward.
type Grant struct {
	VIP         netip.Addr
	Protocol    uint8
	First, Last uint16
	Source      netip.Prefix
}

// Elements are the contents of the sets and maps of the sluice table.
type Elements struct {
	// Public are the links that lead out.
	Public map[string]struct{}
	// Guests are the guest networks.
	Guests map[netip.Prefix]struct{}
	// Inbound is VIP to guest, Outbound guest to VIP.
	Inbound, Outbound map[netip.Addr]netip.Addr
	// Ways is the mark of the nic that a guest with an EIP leaves by, where
	// there are several to choose from.
	Ways map[netip.Addr]uint32
	// Forward is for everybody, Limited only for those with a Grant.
	Forward, Limited map[Endpoint]Target
	Grants           map[Grant]struct{}
}

// Len is the number of elements.
func (e Elements) Len() int {
	return len(e.Public) + len(e.Guests) + len(e.Inbound) + len(e.Outbound) + len(e.Ways) + len(e.Forward) + len(e.Limited) + len(e.Grants)
}

// NewElements has empty maps.
func NewElements() Elements {
	return Elements{
		Public: map[string]struct{}{}, Guests: map[netip.Prefix]struct{}{},
		Inbound: map[netip.Addr]netip.Addr{}, Outbound: map[netip.Addr]netip.Addr{}, Ways: map[netip.Addr]uint32{},
		Forward: map[Endpoint]Target{}, Limited: map[Endpoint]Target{},
		Grants: map[Grant]struct{}{},
	}
}

// Change removes and then adds elements.
func (e Elements) Change(del, add Elements) {
	change(e.Public, del.Public, add.Public)
	change(e.Guests, del.Guests, add.Guests)
	change(e.Inbound, del.Inbound, add.Inbound)
	change(e.Outbound, del.Outbound, add.Outbound)
	change(e.Ways, del.Ways, add.Ways)
	change(e.Forward, del.Forward, add.Forward)
	change(e.Limited, del.Limited, add.Limited)
	change(e.Grants, del.Grants, add.Grants)
}

// ChangeChains does to Chains what a step does to the sluice table's.
func (s State) ChangeChains(step SetMappings) {
	for _, name := range step.Gone {
		delete(s.Chains, ChainID{TableName, name})
	}
	for name, rules := range step.Chains {
		s.Chains[ChainID{TableName, name}] = rules
	}
}

func change[K comparable, V any](m, del, add map[K]V) {
	for k := range del {
		delete(m, k)
	}
	maps.Copy(m, add)
}

// Clone is a copy that shares nothing.
func (e Elements) Clone() Elements {
	return Elements{
		Public: maps.Clone(e.Public), Guests: maps.Clone(e.Guests),
		Inbound: maps.Clone(e.Inbound), Outbound: maps.Clone(e.Outbound), Ways: maps.Clone(e.Ways),
		Forward: maps.Clone(e.Forward), Limited: maps.Clone(e.Limited),
		Grants: maps.Clone(e.Grants),
	}
}

func sortedKeys[K comparable, V any](m map[K]V, less func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), less)
}

// sortedIf sorts what is chosen: of thousands, few.
func sortedIf[K comparable, V any](m map[K]V, chosen func(K) bool, less func(a, b K) int) []K {
	var keys []K
	for k := range m {
		if chosen(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, less)
	return keys
}
