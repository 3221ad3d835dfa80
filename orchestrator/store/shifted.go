package store

import (
	"context"
	"fmt"
	"strconv"
)

// baseKey is what is added to every revision of a store that was restored from a
// backup. Its etcd counts from 1 again, but routers refuse a lower fence than
// they have seen, and clients hold ETags and places in the stream of events: so
// the store goes on above all that anybody has seen before.
const baseKey = prefix + "base"

// baseOf is 0 for a store that was never restored.
func baseOf(ctx context.Context, b backend) (base int64, err error) {
	found, err := read(ctx, b, baseKey, "")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	if base, err = strconv.ParseInt(string(found[0].value), 10, 64); err != nil || base < 0 {
		return 0, fmt.Errorf("decode key %s: %q is no revision", baseKey, found[0].value)
	}
	return base, nil
}

// shifted is a backend whose revisions are higher by base.
type shifted struct {
	backend
	base int64
}

func (s shifted) scan(ctx context.Context, from, end string, each func([]entry) error) (int64, error) {
	revision, err := s.backend.scan(ctx, from, end, func(page []entry) error { return each(s.shift(page)) })
	return revision + s.base, err
}

// shift changes entries that nobody else has.
func (s shifted) shift(entries []entry) []entry {
	for i := range entries {
		entries[i].revision += s.base
	}
	return entries
}

func (s shifted) watch(ctx context.Context, from, end string, after int64) <-chan batch {
	out := make(chan batch)
	go func() {
		defer close(out)
		for b := range s.backend.watch(ctx, from, end, after-s.base) {
			if b.err == nil {
				b.revision += s.base
				b.entries = s.shift(b.entries)
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (s shifted) commit(ctx context.Context, g *guard, writes []entry) (int64, bool, error) {
	if g != nil && g.revision != 0 { // 0: it does not exist
		g = &guard{g.key, g.revision - s.base}
	}
	revision, ok, err := s.backend.commit(ctx, g, writes)
	return revision + s.base, ok, err
}

func (s shifted) acquire(ctx context.Context, name string) (*Lock, error) {
	l, err := s.backend.acquire(ctx, name)
	if err == nil {
		l.Fence += s.base
	}
	return l, err
}
