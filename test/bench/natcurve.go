package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// sizes of the curve: half of them EIPs, half forwarded ports.
var sizes = []int{10, 100, 1_000, 10_000, 50_000}

// curveChanges is how many changes each point has.
const curveChanges = 200

// curve prints what grows with the number of mappings, and what does not.
func curve(ctx context.Context, b *bench) ([]result, error) {
	for _, n := range sizes {
		err := b.withManaged(ctx, func(m *managed) error { return m.point(ctx, n) })
		if err != nil {
			return nil, fmt.Errorf("%d mappings: %w", n, err)
		}
	}
	return nil, nil
}

func (m *managed) point(ctx context.Context, n int) error {
	half := n / 2
	p, changes, err := m.moves(half, curveChanges)
	if err != nil {
		return err
	}
	first, err := m.put(ctx, p)
	if err != nil {
		return err
	}
	var took []time.Duration
	for _, p := range changes {
		t, err := m.put(ctx, p)
		if err != nil {
			return err
		}
		took = append(took, t)
	}
	rss, peak, err := m.memory()
	if err != nil {
		return err
	}
	if err := m.rack.house(ctx, m.name, guestOf(m.k, half-1)); err != nil {
		return err
	}
	if err := m.rack.accepting(ctx, m.b); err != nil {
		return err
	}
	rate, err := m.b.connects(ctx, m.rack.Lab, netip.AddrPortFrom(vipOf(m.k, half-1), echoPort), 2*slice)
	if err != nil {
		return err
	}
	remark("nat-curve: %d mappings: from nothing %.3f s, one change p50 %.1f ms, p99 %.1f ms, resident %.1f MB, at most %.1f MB, %.0f connections/s, load=%s",
		n, first.Seconds(), percentile(took, 50).Seconds()*1e3, percentile(took, 99).Seconds()*1e3, rss, peak, rate, load())
	return nil
}
