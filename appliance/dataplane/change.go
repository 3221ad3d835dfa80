package dataplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Change makes the kernel as wanted by the last Apply, or Change, with an edit,
// at the cost of the edit. An empty one only sees that nobody else changed
// anything. It fails with ErrWhole where it does not know what else there is
// to do: nothing was applied completely yet, somebody else changed something,
// or the edit concerns more than mappings. After any error Apply has to follow.
func (p *Plane) Change(ctx context.Context, e Edit) (Reached, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Reached{Failed: map[string]error{}}
	err := p.change(ctx, e, &r)
	p.reached = err == nil
	return r, err
}

func (p *Plane) change(ctx context.Context, e Edit, r *Reached) error {
	if !p.reached {
		return fmt.Errorf("the last apply is not done: %w", ErrWhole)
	}
	if err := p.still(ctx, e.empty()); err != nil || e.empty() {
		return err
	}
	mappings, add, remove, err := p.plan.Edit(e)
	if err != nil {
		p.plan = nil
		return err
	}
	if err := p.do(ctx, p.steps(mappings, add, remove), r); err != nil {
		return err
	}
	if err := p.still(ctx, false); err != nil {
		return err
	}
	return errors.Join(p.end(ctx, mappings, r), p.announceNew(ctx, p.plan.State, p.have, r))
}

// still fails where the kernel is not as it was left.
func (p *Plane) still(ctx context.Context, sysctls bool) error {
	var keys []string
	if sysctls {
		keys = slices.Collect(maps.Keys(p.plan.Sysctls))
	}
	have, err := p.kernel.Observe(ctx, keys)
	if err != nil {
		return fmt.Errorf("observe kernel: %w", err)
	}
	if have.Version != p.version {
		return fmt.Errorf("somebody else changed the kernel: %w", ErrWhole)
	}
	for key, is := range have.Sysctls {
		if is != p.plan.Sysctls[key] {
			return fmt.Errorf("%s is %s: %w", key, is, ErrWhole)
		}
	}
	p.have = have
	return nil
}

// steps are in the order of Diff: mappings, and then addresses.
func (p *Plane) steps(mappings SetMappings, add, remove []LinkAddress) (steps []Step) {
	if mappings.Del.Len()+mappings.Add.Len() > 0 {
		steps = append(steps, mappings)
	}
	for _, at := range add {
		if _, there := p.have.Addresses[at]; !there {
			steps = append(steps, AddAddress{at, p.plan.Addresses[at].Owner})
		}
	}
	for _, at := range remove {
		if p.have.Addresses[at].Ours {
			steps = append(steps, DelAddress{at, ownerPlane})
		}
	}
	return steps
}

func (e Edit) empty() bool {
	return len(e.Remove.EIPs)+len(e.Add.EIPs)+len(e.Remove.Forwards)+len(e.Add.Forwards)+
		len(e.Remove.Addresses)+len(e.Add.Addresses) == 0
}
