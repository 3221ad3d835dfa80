package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Plan is the State that is wanted, with what it takes to change it in part: an
// edit costs what it edits.
type Plan struct {
	State
	sources []SNAT
	// eips of a guest, the one that it goes out by first.
	eips map[netip.Addr][]EIP
	// forwards is how many there are of an address.
	forwards map[netip.Addr]int
	// ways are the marks of links, where there are several that lead out.
	ways map[string]uint32
	// grants by public address.
	grants map[netip.Addr][]Grant
	// singles are those of the Want.
	singles singles
}

// Edit is what of a Want is wanted no more, and what newly: EIPs, Forwards and
// the addresses that they need, and nothing else. An address is named with each
// mapping that goes or comes; it goes with the last.
type Edit struct{ Remove, Add Want }

// Append takes in another edit.
func (e *Edit) Append(f Edit) {
	e.Remove.add("", f.Remove)
	e.Add.add("", f.Add)
}

// ErrWhole is the answer to an edit whose consequences go beyond its mappings,
// or that fits not what there is: apply all that is wanted.
var ErrWhole = errors.New("the whole has to be applied")

// Planned renders a Want.
func Planned(w Want) Plan {
	p := Plan{State: Render(w), sources: w.SNAT, eips: make(map[netip.Addr][]EIP, len(w.EIPs)),
		forwards: map[netip.Addr]int{}, grants: map[netip.Addr][]Grant{}}
	p.singles = w.singles()
	if ways := w.ways(); len(ways) > 0 {
		p.ways = map[string]uint32{}
		for _, x := range ways {
			p.ways[x.Link] = x.mark()
		}
	}
	for _, e := range w.EIPs {
		p.eips[e.Guest] = append(p.eips[e.Guest], e)
	}
	for _, all := range p.eips {
		slices.SortFunc(all, firstOut)
	}
	for _, f := range w.Forwards {
		p.forwards[f.VIP]++
	}
	for g := range p.Mappings.Grants {
		p.grants[g.VIP] = append(p.grants[g.VIP], g)
	}
	return p
}

func firstOut(a, b EIP) int { return cmp.Or(cmp.Compare(a.Order, b.Order), a.VIP.Compare(b.VIP)) }

// maps is whether anything is mapped or translated.
func (p *Plan) maps() bool {
	return len(p.sources)+len(p.Mappings.Inbound)+len(p.forwards) > 0
}

// Edit changes the plan, and returns what that changes in the kernel: elements
// to be removed and added (changed ones are in both), and addresses. After an
// error the plan is of no use any more.
func (p *Plan) Edit(e Edit) (mappings SetMappings, add, remove []LinkAddress, err error) {
	mapped := p.maps()
	mappings = SetMappings{Del: NewElements(), Add: NewElements()}
	if err := errors.Join(p.editEIPs(e, &mappings), p.editForwards(e, &mappings)); err != nil {
		return mappings, nil, nil, err
	}
	p.Mappings.Change(mappings.Del, mappings.Add)
	if p.maps() != mapped { // forwarding itself goes on or off
		return mappings, nil, nil, fmt.Errorf("first or last mapping: %w", ErrWhole)
	}
	if add, remove, err = p.editAddresses(e); err != nil {
		return mappings, nil, nil, err
	}
	p.editWays(&mappings)
	return mappings, add, remove, nil
}

// editWays has guests leave by the nic that carries their public address.
func (p *Plan) editWays(s *SetMappings) {
	if len(p.ways) == 0 {
		return
	}
	for _, guest := range touched(s.Del.Outbound, s.Add.Outbound) {
		vip, has := p.Mappings.Outbound[guest]
		mark, known := uint32(0), false
		for link, of := range p.ways {
			if _, carries := p.Addresses[LinkAddress{Link: link, Prefix: netip.PrefixFrom(vip, 32)}]; has && carries {
				mark, known = of, true
			}
		}
		became(guest, mark, known, p.Mappings.Ways, s.Del.Ways, s.Add.Ways)
	}
	change(p.Mappings.Ways, s.Del.Ways, s.Add.Ways)
}

func (p *Plan) editEIPs(e Edit, s *SetMappings) error {
	inbound, guests := map[netip.Addr]netip.Addr{}, map[netip.Addr]bool{}
	for _, x := range e.Remove.EIPs {
		all := p.eips[x.Guest]
		i := slices.IndexFunc(all, func(y EIP) bool { return y.VIP == x.VIP && y.Order == x.Order })
		if i < 0 {
			return fmt.Errorf("EIP %s of %s: not there: %w", x.VIP, x.Guest, ErrWhole)
		}
		if p.eips[x.Guest] = slices.Delete(all, i, i+1); len(all) == 1 {
			delete(p.eips, x.Guest)
		}
		inbound[x.VIP], guests[x.Guest] = netip.Addr{}, true
	}
	for _, x := range e.Add.EIPs {
		_, removed := inbound[x.VIP]
		if _, taken := p.Mappings.Inbound[x.VIP]; taken && !removed {
			return fmt.Errorf("EIP %s: taken: %w", x.VIP, ErrWhole)
		}
		all := p.eips[x.Guest]
		i, _ := slices.BinarySearchFunc(all, x, firstOut)
		p.eips[x.Guest] = slices.Insert(all, i, x)
		inbound[x.VIP], guests[x.Guest] = x.Guest, true
	}
	for vip, guest := range inbound {
		became(vip, guest, guest.IsValid(), p.Mappings.Inbound, s.Del.Inbound, s.Add.Inbound)
	}
	for guest := range guests {
		var vip netip.Addr
		if all := p.eips[guest]; len(all) > 0 {
			vip = all[0].VIP
		}
		became(guest, vip, vip.IsValid(), p.Mappings.Outbound, s.Del.Outbound, s.Add.Outbound)
	}
	return nil
}

// became notes what turns an element into what it is now; there: it is.
func became[K, V comparable](k K, v V, there bool, have, del, add map[K]V) {
	was, had := have[k]
	if had == there && was == v {
		return
	}
	if had {
		del[k] = was
	}
	if there {
		add[k] = v
	}
}

func (p *Plan) editForwards(e Edit, s *SetMappings) error {
	gone, come := NewElements(), NewElements()
	for _, f := range e.Remove.Forwards {
		f.elements(gone)
		if p.forwards[f.VIP]--; p.forwards[f.VIP] <= 0 {
			delete(p.forwards, f.VIP)
		}
	}
	for _, f := range e.Add.Forwards {
		f.elements(come)
		p.forwards[f.VIP]++
	}
	err := errors.Join(
		exchanged(gone.Forward, come.Forward, p.Mappings.Forward, s.Del.Forward, s.Add.Forward),
		exchanged(gone.Limited, come.Limited, p.Mappings.Limited, s.Del.Limited, s.Add.Limited),
		exchanged(gone.Grants, come.Grants, p.Mappings.Grants, s.Del.Grants, s.Add.Grants))
	for g := range s.Del.Grants {
		all := p.grants[g.VIP]
		if p.grants[g.VIP] = slices.DeleteFunc(all, func(h Grant) bool { return h == g }); len(p.grants[g.VIP]) == 0 {
			delete(p.grants, g.VIP)
		}
	}
	for g := range s.Add.Grants {
		p.grants[g.VIP] = append(p.grants[g.VIP], g)
	}
	return err
}

// exchanged notes what goes and comes, but for what does both.
func exchanged[K, V comparable](gone, come, have, del, add map[K]V) error {
	for k, v := range gone {
		if is, ok := have[k]; !ok || is != v {
			return fmt.Errorf("forwarding %v: not there: %w", k, ErrWhole)
		}
		if w, stays := come[k]; !stays || w != v {
			del[k] = v
		}
	}
	for k, v := range come {
		was, goes := gone[k]
		if _, taken := have[k]; taken && !goes {
			return fmt.Errorf("forwarding %v: taken: %w", k, ErrWhole)
		}
		if !goes || was != v {
			add[k] = v
		}
	}
	return nil
}

// editAddresses returns the addresses that come, and those whose last mapping
// went. All are of single addresses on ways out, on which no rule depends.
func (p *Plan) editAddresses(e Edit) (add, remove []LinkAddress, err error) {
	on, routed := map[netip.Addr]string{}, p.singles.routed()
	for _, a := range e.Add.Addresses {
		at := a.on(routed)
		if link, twice := on[a.Prefix.Addr()]; twice && link != a.Link {
			return nil, nil, fmt.Errorf("address %s on two links: %w", a.Prefix, ErrWhole)
		}
		on[a.Prefix.Addr()] = a.Link
		if _, there := p.Addresses[at]; !there {
			p.Addresses[at] = AddressState{Owner: a.Owner}
			add = append(add, at)
		}
	}
	for _, a := range e.Remove.Addresses {
		at := a.on(routed)
		if link, moves := on[a.Prefix.Addr()]; moves && link != a.Link {
			return nil, nil, fmt.Errorf("address %s moves to another link: %w", a.Prefix, ErrWhole)
		}
		_, eip := p.Mappings.Inbound[a.Prefix.Addr()]
		if _, there := p.Addresses[at]; there && !eip && p.forwards[a.Prefix.Addr()] == 0 {
			delete(p.Addresses, at)
			remove = append(remove, at)
		}
	}
	for _, at := range slices.Concat(add, remove) {
		if _, out := p.Mappings.Public[at.Link]; !out || !at.Prefix.IsSingleIP() {
			return nil, nil, fmt.Errorf("address %s on %s is no mapping's: %w", at.Prefix, at.Link, ErrWhole)
		}
	}
	if p.singles.n += len(add) - len(remove); p.singles.routed() != routed {
		return nil, nil, fmt.Errorf("%d addresses on %s: %w", p.singles.n, p.singles.link, ErrWhole)
	}
	return add, remove, nil
}
