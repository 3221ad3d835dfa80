package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Merge makes one Want of all services' (by name), sorted and without
// duplicates. It fails where two of them want what cannot be had together;
// the error names both owners and every conflict.
func Merge(wants map[string]Want) (Want, error) {
	var m Want
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		m.add(name, wants[name])
	}
	m.sort()
	err := errors.Join(m.nics(), m.addresses(), m.snats(), m.eips(), m.forwards())
	if err != nil {
		return Want{}, err
	}
	m.Inputs = slices.CompactFunc(m.Inputs, func(a, b Input) bool {
		return a.Link == b.Link && a.Protocol == b.Protocol && a.Port == b.Port
	})
	return m, nil
}

func (m *Want) add(owner string, w Want) {
	m.Nics = appendOwned(m.Nics, w.Nics, owner, func(x *Nic) *string { return &x.Owner })
	m.Addresses = appendOwned(m.Addresses, w.Addresses, owner, func(x *Address) *string { return &x.Owner })
	m.Inputs = appendOwned(m.Inputs, w.Inputs, owner, func(x *Input) *string { return &x.Owner })
	m.SNAT = appendOwned(m.SNAT, w.SNAT, owner, func(x *SNAT) *string { return &x.Owner })
	m.EIPs = appendOwned(m.EIPs, w.EIPs, owner, func(x *EIP) *string { return &x.Owner })
	m.Missing = appendOwned(m.Missing, w.Missing, owner, func(x *Missing) *string { return &x.Owner })
	m.Forwards = appendOwned(m.Forwards, w.Forwards, owner, func(x *Forward) *string { return &x.Owner })
}

func appendOwned[T any](to, from []T, owner string, field func(*T) *string) []T {
	for _, x := range from {
		if f := field(&x); *f == "" {
			*f = owner
		}
		to = append(to, x)
	}
	return to
}

func (m *Want) sort() {
	slices.SortFunc(m.Nics, func(a, b Nic) int { return cmp.Compare(a.Link, b.Link) })
	slices.SortFunc(m.Addresses, func(a, b Address) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Owner, b.Owner))
	})
	slices.SortFunc(m.Inputs, func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Owner, b.Owner))
	})
	slices.SortFunc(m.SNAT, func(a, b SNAT) int { // longest prefix first: the order of the rules
		return cmp.Or(cmp.Compare(b.Source.Bits(), a.Source.Bits()), a.Source.Addr().Compare(b.Source.Addr()), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Owner, b.Owner))
	})
	slices.SortFunc(m.EIPs, func(a, b EIP) int {
		return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Owner, b.Owner))
	})
	slices.SortFunc(m.Forwards, func(a, b Forward) int {
		return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First), cmp.Compare(a.Owner, b.Owner))
	})
}

func (m *Want) nics() error {
	var errs []error
	var gateway *Nic
	for i := range m.Nics {
		n := &m.Nics[i]
		if i > 0 && m.Nics[i-1].Link == n.Link {
			errs = append(errs, fmt.Errorf("nic %s wanted twice, by %s and %s", n.Link, m.Nics[i-1].Owner, n.Owner))
		}
		if !n.Gateway.IsValid() {
			continue
		}
		if gateway != nil {
			errs = append(errs, fmt.Errorf("two default routes: by %s on %s (%s) and by %s on %s (%s)",
				gateway.Gateway, gateway.Link, gateway.Owner, n.Gateway, n.Link, n.Owner))
		}
		gateway = n
	}
	return errors.Join(errs...)
}

// addresses keeps one entry an address, the one with the widest subnet: a VIP
// that is the router's own address needs no /32 beside it.
func (m *Want) addresses() error {
	var errs []error
	var kept []Address
	for _, a := range m.Addresses {
		if n := len(kept); n > 0 && kept[n-1].Prefix.Addr() == a.Prefix.Addr() {
			if b := kept[n-1]; b.Link != a.Link {
				errs = append(errs, fmt.Errorf("address %s wanted on %s by %s and on %s by %s", a.Prefix.Addr(), b.Link, b.Owner, a.Link, a.Owner))
			}
			continue
		}
		kept = append(kept, a)
	}
	m.Addresses = kept
	return errors.Join(errs...)
}

func (m *Want) snats() error {
	var errs []error
	var kept []SNAT
	for _, s := range m.SNAT {
		if n := len(kept); n > 0 && kept[n-1].Source == s.Source && kept[n-1].Link == s.Link {
			if b := kept[n-1]; b.Address != s.Address {
				errs = append(errs, fmt.Errorf("source %s out of %s wanted as %s by %s and as %s by %s", s.Source, s.Link, b.Address, b.Owner, s.Address, s.Owner))
			}
			continue
		}
		kept = append(kept, s)
	}
	m.SNAT = kept
	return errors.Join(errs...)
}

// eips refuses an EIP on an address that a nic itself has: it would take the
// router's own connections away.
func (m *Want) eips() error {
	own := map[netip.Addr]Address{}
	for _, a := range m.Addresses {
		if !a.Prefix.IsSingleIP() {
			own[a.Prefix.Addr()] = a
		}
	}
	var errs []error
	for i, e := range m.EIPs {
		if a, ok := own[e.VIP]; ok {
			errs = append(errs, fmt.Errorf("eip %s (%s) is the router's own address on %s (%s)", e.VIP, e.Owner, a.Link, a.Owner))
		}
		if i > 0 && m.EIPs[i-1].VIP == e.VIP {
			b := m.EIPs[i-1]
			errs = append(errs, fmt.Errorf("eip %s wanted for %s by %s and for %s by %s", e.VIP, b.Guest, b.Owner, e.Guest, e.Owner))
		}
	}
	return errors.Join(errs...)
}

func (m *Want) forwards() error {
	var errs []error
	links := map[netip.Addr]string{}
	for _, a := range m.Addresses {
		links[a.Prefix.Addr()] = a.Link
	}
	for i, f := range m.Forwards {
		if i > 0 {
			if b := m.Forwards[i-1]; b.VIP == f.VIP && b.Protocol == f.Protocol && b.Last >= f.First {
				errs = append(errs, fmt.Errorf("%s ports %d-%d of %s (%s) overlap %d-%d (%s)", f.Protocol, f.First, f.Last, f.VIP, f.Owner, b.First, b.Last, b.Owner))
			}
		}
		for _, in := range m.Inputs { // few
			if in.Link == links[f.VIP] && in.Protocol == f.Protocol && f.First <= in.Port && in.Port <= f.Last {
				errs = append(errs, fmt.Errorf("%s ports %d-%d of %s (%s) would take port %d on %s from the router itself (%s)",
					f.Protocol, f.First, f.Last, f.VIP, f.Owner, in.Port, in.Link, in.Owner))
			}
		}
	}
	return errors.Join(errs...)
}
