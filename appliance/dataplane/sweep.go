package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// late are the connections to be looked at once more: packets that were on
// their way while mappings changed can have made some that no mapping wants.
type late struct {
	// all, or those with one of these addresses at the public end.
	all   bool
	about map[netip.Addr]struct{}
}

func (l *late) add(vip netip.Addr) {
	if l.about == nil {
		l.about = map[netip.Addr]struct{}{}
	}
	l.about[vip] = struct{}{}
}

// concerns is whether a connection is one of those.
func (l *late) concerns(f Flow) bool {
	if l.all {
		return true
	}
	_, to := l.about[f.To.Addr()]
	_, by := l.about[f.ReplyTo.Addr()]
	return to || by
}

// sweep ends the connections that the plan does not explain, where mappings
// changed since that was done last.
func (p *Plane) sweep(ctx context.Context, plan Plan, r *Reached) error {
	if !p.unswept {
		return nil
	}
	n, err := p.kernel.Sweep(ctx, Stale(plan, p.guests))
	r.FlowsEnded += n
	if err != nil {
		err = fmt.Errorf("end connections without a mapping: %w", err)
		r.fail(ownerPlane, err)
		return err
	}
	p.unswept, p.late.all = false, true
	return nil
}

// end ends the connections of mappings that were changed, and no others.
func (p *Plane) end(ctx context.Context, s SetMappings, r *Reached) error {
	ends, exact := p.endsOf(s)
	if len(ends) == 0 && !exact {
		p.unswept = false
		return nil
	}
	err := errors.ErrUnsupported
	if !exact && len(ends) <= manyEnds {
		err = p.kernel.End(ctx, ends)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		var n int
		n, err = p.kernel.Sweep(ctx, Stale(*p.plan, p.guests))
		r.FlowsEnded += n
	}
	if err != nil {
		return fmt.Errorf("end connections without a mapping: %w", err)
	}
	p.unswept = false
	for _, e := range ends {
		p.late.add(e.Addr)
	}
	for _, g := range touched(s.Del.Grants, s.Add.Grants) {
		p.late.add(g.VIP)
	}
	return nil
}

// manyEnds: so many requests to the kernel cost as much as reading its table.
const manyEnds = 64

// endsOf are the ends of connections that a change of the mappings leaves
// without one. With exact, some of what they name may go on: who is still granted
// a port, and where an EIP and forwarded ports take turns at an address.
func (p *Plane) endsOf(s SetMappings) (ends []End, exact bool) {
	exact = len(s.Del.Grants)+len(s.Add.Grants) > 0
	eips := map[netip.Addr]bool{}
	for _, vip := range touched(s.Del.Inbound, s.Add.Inbound) {
		eips[vip] = true
		exact = exact || p.plan.forwards[vip] > 0
		ends = append(ends, End{Addr: vip}, End{Addr: vip, Answer: true})
	}
	for _, m := range [][2]map[Endpoint]Target{{s.Del.Forward, s.Add.Forward}, {s.Del.Limited, s.Add.Limited}} {
		for _, at := range touched(m[0], m[1]) {
			exact = exact || eips[at.Addr]
			if _, below := p.plan.Mappings.Inbound[at.Addr]; !below {
				ends = append(ends, End{Addr: at.Addr, Protocol: at.Protocol, Port: at.Port})
			}
		}
	}
	return ends, exact
}

func touched[K comparable, V any](del, add map[K]V) []K {
	var keys []K
	for k := range del {
		keys = append(keys, k)
	}
	for k := range add {
		if _, twice := del[k]; !twice {
			keys = append(keys, k)
		}
	}
	return keys
}

// SweepLate looks once more at connections that changes concerned, and ends
// those that no mapping wants; it is due a moment after them. It holds up no
// change: reading the table can take as long as a hundred of them.
func (p *Plane) SweepLate(ctx context.Context) (ended int, err error) {
	p.mu.Lock()
	now := p.late
	p.late = late{}
	p.mu.Unlock()
	if !now.all && len(now.about) == 0 {
		return 0, nil
	}
	undecided := false
	ended, err = p.kernel.Sweep(ctx, func(f Flow) bool {
		if !now.concerns(f) {
			return false
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		undecided = undecided || p.plan == nil
		return p.plan != nil && Stale(*p.plan, p.guests)(f)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || undecided {
		p.late.all = p.late.all || now.all
		for vip := range now.about {
			p.late.add(vip)
		}
		return ended, err
	}
	if now.all && !p.late.all { // what was left of former guest networks is gone
		p.guests = map[netip.Prefix]struct{}{}
	}
	return ended, nil
}
