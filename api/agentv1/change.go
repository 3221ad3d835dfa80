package agentv1

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// SpecChange is the body of PATCH PathSpec: the differences that make one spec
// of the one before. A router may have tens of thousands of bindings, names and
// mappings, of which a change is about few; sending, checking and applying one
// costs what it changes. An agent that has accepted anything but BaseHash
// refuses it with CodeOtherBase and changes nothing; the sender then puts the
// whole spec.
type SpecChange struct {
	// Version, RouterUUID, Generation and Fence are those of a RouterSpec.
	Version    int    `json:"version"`
	RouterUUID string `json:"routerUuid"`
	Generation uint64 `json:"generation"`
	Fence      int64  `json:"fence"`
	// BaseHash is the hash of the content that Change starts from, Hash that of
	// the content it leads to; the agent checks both.
	BaseHash string `json:"baseHash"`
	Hash     string `json:"hash"`
	Change   Change `json:"change"`
}

// Change is what differs between two contents, in the lists that may be long.
// All else is the head of a content; where that differs, the whole is sent.
type Change struct {
	DHCP            []BindingsEdit       `json:"dhcp,omitempty"`
	DNS             []RecordsEdit        `json:"dns,omitempty"`
	EIPs            Edit[EIP]            `json:"eips,omitzero"`
	PortForwardings Edit[PortForwarding] `json:"portForwardings,omitzero"`
}

// BindingsEdit changes the bindings of one DHCP network.
type BindingsEdit struct {
	// Interface names the network, as in DHCPNetwork.
	Interface string            `json:"interface"`
	Bindings  Edit[DHCPBinding] `json:"bindings"`
}

// RecordsEdit changes the records of one DNS network.
type RecordsEdit struct {
	// Interface names the network, as in DNSNetwork.
	Interface string          `json:"interface"`
	Records   Edit[DNSRecord] `json:"records"`
}

// Edit changes a sorted list. An entry that changes is removed as it was and
// added as it is.
type Edit[T any] struct {
	Remove []T `json:"remove,omitempty"`
	Add    []T `json:"add,omitempty"`
}

// Len is the number of entries removed and added.
func (e Edit[T]) Len() int { return len(e.Remove) + len(e.Add) }

// IsZero reports whether the edit changes nothing.
func (e Edit[T]) IsZero() bool { return e.Len() == 0 }

// Len is the number of entries removed and added.
func (c Change) Len() int {
	n := c.EIPs.Len() + c.PortForwardings.Len()
	for _, e := range c.DHCP {
		n += e.Bindings.Len()
	}
	for _, e := range c.DNS {
		n += e.Records.Len()
	}
	return n
}

// Len is the number of entries in the lists that may be long.
func (c Content) Len() int {
	n := len(c.EIPs) + len(c.PortForwardings)
	for _, d := range c.DHCP {
		n += len(d.Bindings)
	}
	for _, d := range c.DNS {
		n += len(d.Records)
	}
	return n
}

// Difference is the change that makes next of c; ok is false where they differ
// in more than a Change can say. It costs one comparison an entry. Both must
// have their lists sorted (see Sort).
func (c Content) Difference(next Content) (change Change, ok bool) {
	if c.head() != next.head() {
		return Change{}, false
	}
	for i := range c.DHCP { // the same networks, or the heads would differ
		if e := difference(c.DHCP[i].Bindings, next.DHCP[i].Bindings, compareBindings, equalBindings); !e.IsZero() {
			change.DHCP = append(change.DHCP, BindingsEdit{c.DHCP[i].Interface, e})
		}
	}
	for i := range c.DNS {
		if e := difference(c.DNS[i].Records, next.DNS[i].Records, CompareRecords, equal); !e.IsZero() {
			change.DNS = append(change.DNS, RecordsEdit{c.DNS[i].Interface, e})
		}
	}
	change.EIPs = difference(c.EIPs, next.EIPs, CompareEIPs, equal)
	change.PortForwardings = difference(c.PortForwardings, next.PortForwardings, comparePortForwardings, equal)
	return change, true
}

// Changed is the content that the change leads to; c is left as it is. It fails
// where an entry to be removed is not there as it was, or one to be added is.
func (c Content) Changed(change Change) (Content, error) {
	var errs []error
	c.EIPs = edited(c.EIPs, change.EIPs, CompareEIPs, equal, "EIP", &errs)
	c.PortForwardings = edited(c.PortForwardings, change.PortForwardings, comparePortForwardings, equal, "port forwarding", &errs)
	if len(change.DHCP) > 0 {
		c.DHCP = slices.Clone(c.DHCP)
	}
	for _, e := range change.DHCP {
		i := slices.IndexFunc(c.DHCP, func(n DHCPNetwork) bool { return n.Interface == e.Interface })
		if i < 0 {
			errs = append(errs, fmt.Errorf("no DHCP network on interface %q", e.Interface))
			continue
		}
		c.DHCP[i].Bindings = edited(c.DHCP[i].Bindings, e.Bindings, compareBindings, equalBindings, "binding", &errs)
	}
	if len(change.DNS) > 0 {
		c.DNS = slices.Clone(c.DNS)
	}
	for _, e := range change.DNS {
		i := slices.IndexFunc(c.DNS, func(n DNSNetwork) bool { return n.Interface == e.Interface })
		if i < 0 {
			errs = append(errs, fmt.Errorf("no DNS network on interface %q", e.Interface))
			continue
		}
		c.DNS[i].Records = edited(c.DNS[i].Records, e.Records, CompareRecords, equal, "record", &errs)
	}
	if err := errors.Join(errs...); err != nil {
		return Content{}, err
	}
	return c, nil
}

// Sort puts the lists that may be long into their order.
func (c Content) Sort() {
	for i := range c.DHCP {
		slices.SortFunc(c.DHCP[i].Bindings, compareBindings)
	}
	for i := range c.DNS {
		slices.SortFunc(c.DNS[i].Records, CompareRecords)
	}
	slices.SortFunc(c.EIPs, CompareEIPs)
	slices.SortFunc(c.PortForwardings, comparePortForwardings)
}

// CompareEIPs is the order of a content's EIPs: those that go out first, first.
func CompareEIPs(a, b EIP) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.UUID, b.UUID))
}

// CompareRecords is the order of a DNS network's records.
func CompareRecords(a, b DNSRecord) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), a.IP.Compare(b.IP))
}

func compareBindings(a, b DHCPBinding) int           { return cmp.Compare(a.MAC, b.MAC) }
func comparePortForwardings(a, b PortForwarding) int { return cmp.Compare(a.UUID, b.UUID) }

func equal[T comparable](a, b T) bool { return a == b }

func equalBindings(a, b DHCPBinding) bool { return a.Equal(&b) }

// difference walks two sorted lists, unless they are one in memory.
func difference[T any](was, is []T, order func(a, b T) int, same func(a, b T) bool) (e Edit[T]) {
	if len(was) == len(is) && len(was) > 0 && &was[0] == &is[0] {
		return e
	}
	for len(was) > 0 || len(is) > 0 {
		var turn int
		switch {
		case len(was) == 0:
			turn = 1
		case len(is) == 0:
			turn = -1
		default:
			turn = order(was[0], is[0])
		}
		if turn == 0 && same(was[0], is[0]) {
			was, is = was[1:], is[1:]
			continue
		}
		if turn <= 0 {
			e.Remove, was = append(e.Remove, was[0]), was[1:]
		}
		if turn >= 0 {
			e.Add, is = append(e.Add, is[0]), is[1:]
		}
	}
	return e
}

// edited is a sorted list after an edit, in memory of its own.
func edited[T any](list []T, e Edit[T], order func(a, b T) int, same func(a, b T) bool, what string, errs *[]error) []T {
	if e.IsZero() {
		return list
	}
	remove, add := slices.SortedFunc(slices.Values(e.Remove), order), slices.SortedFunc(slices.Values(e.Add), order)
	out := make([]T, 0, max(len(list)-len(remove)+len(add), 0))
	for _, gone := range remove {
		i, found := slices.BinarySearchFunc(list, gone, order)
		if !found || !same(list[i], gone) {
			*errs = append(*errs, fmt.Errorf("%s %s is to be removed and is not there as it was", what, brief(gone)))
			return list
		}
		out, add = merged(out, list[:i], add, order)
		list = list[i+1:]
	}
	out, add = merged(out, list, add, order)
	out = append(out, add...)
	for i := range e.Add {
		if at, _ := slices.BinarySearchFunc(out, e.Add[i], order); at+1 < len(out) && order(out[at], out[at+1]) == 0 {
			*errs = append(*errs, fmt.Errorf("%s %s is to be added and is there already", what, brief(e.Add[i])))
		}
	}
	return out
}

// merged appends a stretch of the list and what is to be added before its end;
// the rest of add is returned.
func merged[T any](out, stretch, add []T, order func(a, b T) int) (into, rest []T) {
	for len(add) > 0 && len(stretch) > 0 {
		i, _ := slices.BinarySearchFunc(stretch, add[0], order)
		if i == len(stretch) {
			break
		}
		out = append(append(out, stretch[:i]...), add[0])
		stretch, add = stretch[i:], add[1:]
	}
	return append(out, stretch...), add
}

// brief names an entry in an error.
func brief(entry any) string {
	switch e := entry.(type) {
	case DHCPBinding:
		return e.MAC
	case DNSRecord:
		return strings.Join([]string{e.Name, e.IP.String()}, " ")
	case EIP:
		return named(e.UUID, e.VIP)
	case PortForwarding:
		return named(e.UUID, e.VIP)
	}
	return ""
}

func named(uuid string, vip netip.Addr) string { return fmt.Sprintf("%s (%s)", uuid, vip) }
