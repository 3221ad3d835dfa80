package store

import (
	"context"
	"errors"
	"sort"
	"sync"
)

// memory is a backend with etcd's behaviour as far as the store relies on it:
// one growing revision, atomic guarded commits, watches from the past, and
// history that can be compacted away.
type memory struct {
	mu        sync.Mutex
	revision  int64
	keys      map[string]entry
	history   []batch // one a revision, ascending
	compacted int64
	changed   chan struct{} // closed and replaced at each commit and on compaction
	locks     localLocks
	closed    chan struct{}
	closing   sync.Once
}

func newMemory() *memory {
	return &memory{revision: 1, keys: map[string]entry{}, changed: make(chan struct{}), closed: make(chan struct{})}
}

func inRange(key, from, end string) bool {
	return key == from || end != "" && key >= from && key < end
}

func (m *memory) scan(ctx context.Context, from, end string, each func([]entry) error) (int64, error) {
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	all, revision := m.inRange(from, end)
	return revision, each(all)
}

func (m *memory) inRange(from, end string) ([]entry, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []entry
	for k, e := range m.keys {
		if inRange(k, from, end) {
			all = append(all, e)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].key < all[j].key })
	return all, m.revision
}

func (m *memory) usable(ctx context.Context) error {
	select {
	case <-m.closed:
		return errClosed
	default:
		return ctx.Err()
	}
}

func (m *memory) commit(ctx context.Context, g *guard, writes []entry) (int64, bool, error) {
	if err := m.usable(ctx); err != nil {
		return 0, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if g != nil && m.keys[g.key].revision != g.revision {
		return m.revision, false, nil
	}
	m.revision++
	b := batch{revision: m.revision}
	for _, e := range writes {
		_, existed := m.keys[e.key]
		e.revision = m.revision
		if e.value == nil {
			delete(m.keys, e.key)
		} else {
			e.value = append([]byte{}, e.value...)
			m.keys[e.key] = e
		}
		if e.value != nil || existed {
			b.entries = append(b.entries, e)
		}
	}
	m.history = append(m.history, b)
	m.wake()
	return m.revision, true, nil
}

func (m *memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

var errCompacted = errors.New("watch memory: revision was compacted")

// compact forgets the history up to now: who has not seen it all loses its
// watch, and so does who has, as after a broken connection.
func (m *memory) compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history, m.compacted = nil, m.revision+1
	m.revision++
	m.wake()
}

// since is what a watcher gets next, and what to wait for if that is nothing.
func (m *memory) since(after int64, from, end string) (batch, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after < m.compacted {
		return batch{err: errCompacted}, nil
	}
	i := sort.Search(len(m.history), func(i int) bool { return m.history[i].revision > after })
	for ; i < len(m.history); i++ {
		out := batch{revision: m.history[i].revision}
		for _, e := range m.history[i].entries {
			if inRange(e.key, from, end) {
				out.entries = append(out.entries, e)
			}
		}
		if len(out.entries) > 0 {
			return out, nil
		}
	}
	return batch{}, m.changed
}

func (m *memory) watch(ctx context.Context, from, end string, after int64) <-chan batch {
	batches := make(chan batch)
	go func() {
		defer close(batches)
		for {
			b, changed := m.since(after, from, end)
			if changed != nil {
				select {
				case <-changed:
					continue
				case <-ctx.Done():
					return
				case <-m.closed:
					return
				}
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
			after = b.revision
		}
	}()
	return batches
}

func (m *memory) acquire(ctx context.Context, name string) (*Lock, error) {
	free, err := m.locks.take(ctx, name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision++ // as writing the lock's key would
	return &Lock{Fence: m.revision, Lost: m.closed, release: free}, nil
}

func (m *memory) close() error {
	m.closing.Do(func() { close(m.closed) })
	return nil
}
