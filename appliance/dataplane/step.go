package dataplane

import (
	"fmt"
	"net/netip"
	"strings"
)

// Step is one change of the kernel's state, as data.
type Step interface {
	fmt.Stringer
	// Owner is the service that wants it.
	owner() string
	// writes is the number of objects it changes.
	writes() int
}

// SetLink brings a link up with an MTU (0 leaves it).
type SetLink struct {
	Link string
	MTU  int
	By   string
}

// AddAddress puts an address of ours on a link.
type AddAddress struct {
	LinkAddress
	By string
}

// DelAddress removes an address of ours; missing is fine.
type DelAddress struct {
	LinkAddress
	By string
}

// AddRoute makes a route of ours; Source may be unset.
type AddRoute struct {
	Route
	Source netip.Addr
	By     string
}

// DelRoute removes a route of ours; missing is fine.
type DelRoute struct {
	Route
	By string
}

// AddRule adds a rule of ours.
type AddRule struct {
	Rule
	By string
}

// DelRule removes a rule of ours; missing is fine.
type DelRule struct {
	Rule
	By string
}

// SetSysctl writes a value below /proc/sys.
type SetSysctl struct {
	Key, Value string
	By         string
}

// SetPolicy changes tables of iptables, each in one transaction, in order and
// only as far as none is refused. It is one step because it is one process:
// in a small emulated VM each costs 100 ms, which guests wait for.
type SetPolicy []TableChange

// TableChange is what iptables-restore reads between a table and COMMIT.
type TableChange struct {
	Table string
	Lines []string
}

// SetMappings changes the sluice table in one transaction. With Rebuild it is
// made anew, and Gone and Del are empty.
type SetMappings struct {
	Rebuild bool
	// Gone are removed, and then Chains get these rules in the place of those
	// they have. Only those of a State's Chains are meant.
	Chains   map[string][]string
	Gone     []string
	Del, Add Elements
}

func (s SetMappings) empty() bool {
	return !s.Rebuild && len(s.Chains)+len(s.Gone)+s.Del.Len()+s.Add.Len() == 0
}

func (s SetLink) String() string    { return fmt.Sprintf("link %s up mtu %d", s.Link, s.MTU) }
func (s AddAddress) String() string { return "add " + s.LinkAddress.String() }
func (s DelAddress) String() string { return "delete " + s.LinkAddress.String() }
func (s AddRoute) String() string   { return "add route " + s.Route.String() }
func (s DelRoute) String() string   { return "delete route " + s.Route.String() }
func (s AddRule) String() string    { return "add rule " + s.Rule.String() }
func (s DelRule) String() string    { return "delete rule " + s.Rule.String() }
func (s SetSysctl) String() string  { return fmt.Sprintf("set %s = %s", s.Key, s.Value) }
func (s SetPolicy) String() string {
	parts := make([]string, len(s))
	for i, t := range s {
		parts[i] = fmt.Sprintf("change table %s: %s", t.Table, strings.Join(t.Lines, "; "))
	}
	return strings.Join(parts, ", ")
}
func (s SetMappings) String() string {
	if s.Rebuild {
		return fmt.Sprintf("rebuild mappings with %d elements", s.Add.Len())
	}
	text := fmt.Sprintf("change mappings: %d elements deleted, %d added", s.Del.Len(), s.Add.Len())
	for _, name := range sortedKeys(s.Chains, strings.Compare) {
		text += fmt.Sprintf("; chain %s: %s", name, strings.Join(s.Chains[name], ", "))
	}
	for _, name := range s.Gone {
		text += "; no chain " + name
	}
	return text
}

func (s SetLink) owner() string     { return s.By }
func (s AddAddress) owner() string  { return s.By }
func (s DelAddress) owner() string  { return s.By }
func (s AddRoute) owner() string    { return s.By }
func (s DelRoute) owner() string    { return s.By }
func (s AddRule) owner() string     { return s.By }
func (s DelRule) owner() string     { return s.By }
func (s SetSysctl) owner() string   { return s.By }
func (s SetPolicy) owner() string   { return ownerPlane }
func (s SetMappings) owner() string { return ownerPlane }

func (s SetLink) writes() int    { return 1 }
func (s AddAddress) writes() int { return 1 }
func (s DelAddress) writes() int { return 1 }
func (s AddRoute) writes() int   { return 1 }
func (s DelRoute) writes() int   { return 1 }
func (s AddRule) writes() int    { return 1 }
func (s DelRule) writes() int    { return 1 }
func (s SetSysctl) writes() int  { return 1 }
func (s SetPolicy) writes() (n int) {
	for _, t := range s {
		n += len(t.Lines)
	}
	return n
}
func (s SetMappings) writes() int { return max(1, len(s.Chains)+len(s.Gone)+s.Del.Len()+s.Add.Len()) }

// ownerPlane is the owner of what belongs to no service.
const ownerPlane = "dataplane"
