package dataplane

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Table is how full the kernel's table of connections is.
type Table struct {
	Entries, Max int
	// NoPort and NoRoom are connections that were dropped since the kernel
	// booted: those for which no port of the public address was free (the
	// kernel's insert_failed), and those for which the table was full (drop).
	NoPort, NoRoom uint64
}

// Pressed is whether the table is full enough to look who fills it.
func (t Table) Pressed() bool { return t.Max > 0 && 2*t.Entries > t.Max }

// share is the part of the table that one guest may fill when it is pressed.
const share = 4

// Holder is a guest with more connections than its share.
type Holder struct {
	Guest       netip.Addr
	Connections int
}

// Greedy are the guests that have more than a quarter of the table, worst
// first. It reads all of the table: only when pressed.
func (p *Plane) Greedy(ctx context.Context, t Table) ([]Holder, error) {
	count := map[netip.Addr]int{}
	_, err := p.kernel.Sweep(ctx, func(f Flow) bool {
		count[f.From.Addr()]++
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	var greedy []Holder
	for a, n := range count {
		if share*n > t.Max && p.serves(a) {
			greedy = append(greedy, Holder{a, n})
		}
	}
	slices.SortFunc(greedy, func(a, b Holder) int { return cmp.Compare(b.Connections, a.Connections) })
	return greedy, nil
}

// serves is whether an address is in a guest network, as of the last Apply.
func (p *Plane) serves(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.served {
		if g.Contains(a) {
			return true
		}
	}
	return false
}
