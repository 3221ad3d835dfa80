package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Plane is the data plane of one network namespace.
type Plane struct {
	kernel Kernel
	log    *slog.Logger

	mu sync.Mutex // one apply at a time
	// plan is what was wanted last; nil: unknown.
	plan *Plan
	// reached: the plan was, completely, when the kernel had the version.
	reached bool
	version uint64
	// have is the kernel as it was read last.
	have State
	// unswept: mappings changed, and connections were not compared with them yet.
	unswept bool
	late    late
	// guests are networks that flows may be left of.
	guests map[netip.Prefix]struct{}
	// announce are addresses still to be made known.
	announce []LinkAddress
	// served are the guest networks of the last apply.
	served []netip.Prefix
	// forwards: forwarding was on after the last apply, by these rules.
	forwards bool
	rules    map[ChainID][]string
}

var _ Applier = (*Plane)(nil)

// New is the data plane over a kernel; log may be nil.
func New(k Kernel, log *slog.Logger) *Plane {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// At the start nobody knows what was left behind: sweep.
	return &Plane{kernel: k, log: log, unswept: true, guests: map[netip.Prefix]struct{}{}}
}

// rounds of observing and changing before an apply gives up. A change can undo
// another (an MTU or a removed address takes routes along); two are common.
const rounds = 3

// Apply makes the kernel as wanted, and returns what was reached even together
// with an error. It goes on with what does not depend on what failed; without
// policy and mappings nothing is forwarded. Applying the same twice writes
// nothing.
func (p *Plane) Apply(ctx context.Context, w Want) (Reached, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Flowtables = p.kernel.Flowtables()
	want := Planned(w)
	p.plan, p.reached = &want, false
	p.served = slices.Collect(maps.Keys(want.Mappings.Guests))
	r := Reached{Failed: map[string]error{}}
	errs := []error{missing(w, &r)}
	have, err := p.converge(ctx, want.State, &r)
	p.have, p.forwards, p.rules = have, have.Sysctls[keyForward] == "1", have.Chains
	if have.Links != nil { // else nothing is known of the kernel
		errs = append(errs, err, p.sweep(ctx, want, &r), p.announceNew(ctx, want.State, have, &r))
	} else {
		r.fail(ownerPlane, err)
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	p.reached, p.version = err == nil, have.Version
	return r, err
}

func missing(w Want, r *Reached) error {
	var errs []error
	for _, m := range w.Missing {
		err := fmt.Errorf("find nic %s: not present", m.MAC)
		r.fail(m.Owner, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Resync makes the next Apply read everything anew.
func (p *Plane) Resync() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kernel.Forget()
	p.reached, p.unswept = false, true
}

// Lockdown closes the router until there is a spec. It leaves addresses and
// mappings as they are.
func (p *Plane) Lockdown(ctx context.Context, inputs ...Input) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = false
	want := Render(Want{Inputs: inputs})
	have, err := p.kernel.Observe(ctx, slices.Sorted(maps.Keys(want.Sysctls)))
	if err != nil {
		return fmt.Errorf("observe kernel: %w", err)
	}
	closing, _ := diffForwarding(have, want)
	steps := slices.Concat(closing, diffPolicy(have, want))
	if rules := diffTable(have, want); !rules.empty() {
		steps = append(steps, rules)
	}
	for _, s := range steps {
		if err := p.kernel.Do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (p *Plane) converge(ctx context.Context, want State, r *Reached) (State, error) {
	keys := slices.Sorted(maps.Keys(want.Sysctls))
	for range rounds {
		have, err := p.kernel.Observe(ctx, keys)
		if err != nil {
			return have, fmt.Errorf("observe kernel: %w", err)
		}
		maps.Copy(p.guests, guestsOf(have))
		steps := Diff(have, want)
		if len(steps) == 0 {
			return have, nil
		}
		if err := p.do(ctx, steps, r); err != nil {
			have, _ = p.kernel.Observe(ctx, keys) // what was reached, as far as can be said
			return have, errors.Join(err, p.failClosed(ctx, have, r))
		}
	}
	have, err := p.kernel.Observe(ctx, keys)
	if left := Diff(have, want); err == nil && len(left) > 0 {
		err = fmt.Errorf("still different after %d rounds: %s", rounds, left[0])
		r.fail(left[0].owner(), err)
	}
	return have, err
}

// do carries out steps, going on after a failure with what may go on.
func (p *Plane) do(ctx context.Context, steps []Step, r *Reached) error {
	var errs []error
	closed := false
	for _, s := range steps {
		if on, ok := s.(SetSysctl); ok && closed && on.Value == "1" && strings.HasPrefix(on.Key, "net/ipv4/") &&
			(on.Key == keyForward || strings.HasSuffix(on.Key, "/forwarding")) {
			continue // never forward without policy and mappings
		}
		if err := p.kernel.Do(ctx, s); err != nil {
			err = fmt.Errorf("%s: %w", s, err)
			r.fail(s.owner(), err)
			errs = append(errs, err)
			switch s.(type) {
			case SetPolicy, SetMappings:
				closed = true
			}
			continue
		}
		p.log.Debug("changed", "step", s.String())
		r.Steps = append(r.Steps, s.String())
		r.Writes += s.writes()
		p.note(s)
	}
	return errors.Join(errs...)
}

// failClosed ends forwarding where a stranger removed the policy and it could
// not be put back.
func (p *Plane) failClosed(ctx context.Context, have State, r *Reached) error {
	if _, closed := have.Chains[chainForward]; have.Sysctls[keyForward] != "1" || closed { // drops what no rule accepts
		return nil
	}
	off := SetSysctl{keyForward, "0", ownerPlane}
	if err := p.kernel.Do(ctx, off); err != nil {
		return fmt.Errorf("%s, for want of a policy: %w", off, err)
	}
	r.Steps, r.Writes = append(r.Steps, off.String()), r.Writes+1
	return nil
}

// note remembers what a step makes necessary later.
func (p *Plane) note(s Step) {
	switch s := s.(type) {
	case SetMappings, SetPolicy:
		p.unswept = true
	case AddAddress:
		p.announce = append(p.announce, s.LinkAddress)
	}
}

// announceNew makes new addresses known: neighbours may still have the MAC of
// the router that had them before. What failed is announced again next time.
func (p *Plane) announceNew(ctx context.Context, want, have State, r *Reached) error {
	now := slices.DeleteFunc(p.announce, func(at LinkAddress) bool {
		_, still := want.Addresses[at]
		return !still || !have.Links[at.Link].Up
	})
	if p.announce = now; len(now) == 0 {
		return nil
	}
	if err := p.kernel.Announce(ctx, now); err != nil {
		err = fmt.Errorf("announce addresses: %w", err)
		r.fail(ownerPlane, err)
		return err
	}
	for _, at := range now {
		r.Announced = append(r.Announced, at.Prefix.Addr())
	}
	p.announce = nil
	return nil
}

func (r *Reached) fail(owner string, err error) {
	r.Failed[owner] = errors.Join(r.Failed[owner], err)
}

// Links finds the nics of this network namespace by MAC.
func (p *Plane) Links(ctx context.Context) (Links, error) { return p.kernel.Links(ctx) }

// Rename gives nics (by MAC) their names.
func (p *Plane) Rename(ctx context.Context, names map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kernel.Rename(ctx, names)
}
