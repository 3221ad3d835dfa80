package dhcp

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

var defaultRoute = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// shards of the binding table: the unit that a change copies.
const shards = 256

// bindingTable finds bindings by MAC. It is never written after it was made.
type bindingTable struct {
	shard [shards]map[hw]*binding
	len   int
}

// shardOf spreads MACs; the last bytes are the ones that differ.
func shardOf(h hw) int { return int(h[5] ^ h[4]*31 ^ h[3]*17) }

// find gives the binding of a MAC, or nil.
func (t *bindingTable) find(h hw) *binding { return t.shard[shardOf(h)][h] }

// each calls f with every binding, in no order.
func (t *bindingTable) each(f func(*binding)) {
	for _, s := range t.shard {
		for _, b := range s {
			f(b)
		}
	}
}

// tableEdit makes a new table out of an old one, copying only the shards that
// it writes to.
type tableEdit struct {
	table bindingTable
	ours  [shards]bool
}

func editTable(from bindingTable) *tableEdit { return &tableEdit{table: from} }

func (e *tableEdit) writable(i int) map[hw]*binding {
	if !e.ours[i] {
		e.ours[i] = true
		e.table.shard[i] = maps.Clone(e.table.shard[i])
		if e.table.shard[i] == nil {
			e.table.shard[i] = map[hw]*binding{}
		}
	}
	return e.table.shard[i]
}

// add prepares and puts a binding of a network.
func (e *tableEdit) add(n agentv1.DHCPNetwork, s *agentv1.DHCPBinding) error {
	b, err := prepareBinding(n, s)
	if err != nil {
		return fmt.Errorf("prepare binding %s: %w", s.MAC, err)
	}
	e.put(b)
	return nil
}

// drop removes a binding, if it ever was one.
func (e *tableEdit) drop(s *agentv1.DHCPBinding) {
	if h, ok := parseMAC(s.MAC); ok {
		e.remove(h)
	}
}

func (e *tableEdit) put(b *binding) {
	m := e.writable(shardOf(b.mac))
	before := len(m)
	m[b.mac] = b
	e.table.len += len(m) - before
}

func (e *tableEdit) remove(h hw) {
	m := e.writable(shardOf(h))
	before := len(m)
	delete(m, h)
	e.table.len += len(m) - before
}

// walkBindings calls change for each binding that came (was nil), went (is
// nil) or is not the same. Both lists are sorted by MAC as the contract says; a list
// that is not makes more calls, a removal before the addition of the same MAC,
// never a wrong result.
func walkBindings(old, now []agentv1.DHCPBinding, same func(was, is *agentv1.DHCPBinding) bool, change func(was, is *agentv1.DHCPBinding) error) error {
	if !sorted(old) || !sorted(now) {
		for i := range old {
			if err := change(&old[i], nil); err != nil {
				return err
			}
		}
		old = nil
	}
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		var was, is *agentv1.DHCPBinding
		switch {
		case j == len(now) || i < len(old) && old[i].MAC < now[j].MAC:
			was, i = &old[i], i+1
		case i == len(old) || now[j].MAC < old[i].MAC:
			is, j = &now[j], j+1
		default:
			was, is, i, j = &old[i], &now[j], i+1, j+1
		}
		if was != nil && is != nil && same(was, is) {
			continue
		}
		if err := change(was, is); err != nil {
			return err
		}
	}
	return nil
}

// sameNetwork says that two networks are surely the same. The list of bindings
// is compared by identity: an agent that applies its spec again to heal has the
// very same one.
func sameNetwork(a, b agentv1.DHCPNetwork) bool {
	if len(a.Bindings) != len(b.Bindings) || len(a.Bindings) > 0 && &a.Bindings[0] != &b.Bindings[0] {
		return false
	}
	a.Bindings, b.Bindings = nil, nil
	return reflect.DeepEqual(a, b)
}

func sorted(list []agentv1.DHCPBinding) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1].MAC >= list[i].MAC {
			return false
		}
	}
	return true
}
