package store

import (
	"context"
	"fmt"
	"sync"
)

// Lock is held by one holder among all orchestrators. A lease is not a lock:
// its holder may be the last to learn that it lost it. So each command carries
// Fence, and who receives it refuses a lower one than it has seen.
type Lock struct {
	// Fence is a store revision, higher for each later holder.
	Fence int64
	// Lost is closed when the lease behind the lock has ended.
	Lost <-chan struct{}

	release func()
	once    sync.Once
}

// Unlock lets the next one have it. Calling it again does nothing.
func (l *Lock) Unlock() { l.once.Do(l.release) }

// Lock waits for the lock of that name.
func (s *Store) Lock(ctx context.Context, name string) (*Lock, error) {
	free, err := s.locks.take(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	l, err := s.backend.acquire(ctx, name)
	if err != nil {
		free()
		if s.running.Err() != nil {
			return nil, errClosed
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	release := l.release
	l.release = func() {
		release()
		free()
	}
	return l, nil
}

// localLocks exclude each other within the process, because all locks of a
// process share one lease and are one holder in etcd's eyes.
type localLocks struct {
	mu   sync.Mutex
	held map[string]*localLock
}

type localLock struct {
	token chan struct{}
	users int
}

func (l *localLocks) take(ctx context.Context, name string) (free func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*localLock{}
	}
	one := l.held[name]
	if one == nil {
		one = &localLock{token: make(chan struct{}, 1)}
		l.held[name] = one
	}
	one.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case one.token <- struct{}{}:
		return func() { <-one.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
