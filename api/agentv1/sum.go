package agentv1

import (
	"maps"
	"net/netip"
	"slices"
)

// Sum is changes in a row, taken together; zero is none. It costs what they
// change, not what the content has.
type Sum struct {
	dhcp            map[string]sum[string, DHCPBinding] // by interface
	dns             map[string]sum[recordKey, DNSRecord]
	eips            sum[eipKey, EIP]
	portForwardings sum[string, PortForwarding]
}

// The keys by which the lists are sorted.
type (
	recordKey struct {
		name string
		ip   netip.Addr
	}
	eipKey struct {
		order int64
		uuid  string
	}
)

// Add takes in the change that comes next.
func (s *Sum) Add(c Change) {
	for _, e := range c.DHCP {
		s.dhcp = with(s.dhcp, e.Interface)
		s.dhcp[e.Interface].add(e.Bindings, func(b DHCPBinding) string { return b.MAC })
	}
	for _, e := range c.DNS {
		s.dns = with(s.dns, e.Interface)
		s.dns[e.Interface].add(e.Records, func(r DNSRecord) recordKey { return recordKey{r.Name, r.IP} })
	}
	if s.eips == nil {
		s.eips, s.portForwardings = sum[eipKey, EIP]{}, sum[string, PortForwarding]{}
	}
	s.eips.add(c.EIPs, func(e EIP) eipKey { return eipKey{e.Order, e.UUID} })
	s.portForwardings.add(c.PortForwardings, func(f PortForwarding) string { return f.UUID })
}

// Change is the one change that does what all of them do.
func (s *Sum) Change() (c Change) {
	for _, nic := range slices.Sorted(maps.Keys(s.dhcp)) {
		if e := s.dhcp[nic].edit(compareBindings, equalBindings); !e.IsZero() {
			c.DHCP = append(c.DHCP, BindingsEdit{nic, e})
		}
	}
	for _, nic := range slices.Sorted(maps.Keys(s.dns)) {
		if e := s.dns[nic].edit(CompareRecords, equal); !e.IsZero() {
			c.DNS = append(c.DNS, RecordsEdit{nic, e})
		}
	}
	c.EIPs = s.eips.edit(CompareEIPs, equal)
	c.PortForwardings = s.portForwardings.edit(comparePortForwardings, equal)
	return c
}

// sum is what became of the entries that were touched: as they were before all
// changes, and as they are; nil where there was, or is, none.
type sum[K comparable, T any] map[K]fate[T]

type fate[T any] struct{ was, is *T }

func with[K comparable, T any](all map[string]sum[K, T], nic string) map[string]sum[K, T] {
	if all == nil {
		all = map[string]sum[K, T]{}
	}
	if all[nic] == nil {
		all[nic] = sum[K, T]{}
	}
	return all
}

func (s sum[K, T]) add(e Edit[T], key func(T) K) {
	for i := range e.Remove {
		k := key(e.Remove[i])
		f, touched := s[k]
		if !touched {
			f.was = &e.Remove[i]
		}
		f.is = nil
		s[k] = f
	}
	for i := range e.Add {
		k := key(e.Add[i])
		f := s[k]
		f.is = &e.Add[i]
		s[k] = f
	}
}

func (s sum[K, T]) edit(order func(a, b T) int, same func(a, b T) bool) (e Edit[T]) {
	for _, f := range s {
		if f.was != nil && f.is != nil && same(*f.was, *f.is) {
			continue
		}
		if f.was != nil {
			e.Remove = append(e.Remove, *f.was)
		}
		if f.is != nil {
			e.Add = append(e.Add, *f.is)
		}
	}
	slices.SortFunc(e.Remove, order)
	slices.SortFunc(e.Add, order)
	return e
}

// Reversed undoes the change.
func (c Change) Reversed() Change {
	c.DHCP, c.DNS = slices.Clone(c.DHCP), slices.Clone(c.DNS)
	for i := range c.DHCP {
		c.DHCP[i].Bindings = c.DHCP[i].Bindings.reversed()
	}
	for i := range c.DNS {
		c.DNS[i].Records = c.DNS[i].Records.reversed()
	}
	c.EIPs, c.PortForwardings = c.EIPs.reversed(), c.PortForwardings.reversed()
	return c
}

func (e Edit[T]) reversed() Edit[T] { return Edit[T]{Remove: e.Add, Add: e.Remove} }
