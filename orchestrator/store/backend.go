package store

import "context"

// backend is what the store needs of etcd: revisions that only grow, ordered
// watches, and a guarded transaction. Ranges are [from, end); an empty end
// means the one key.
type backend interface {
	// scan hands out everything in the range, ascending and at one revision, a
	// page at a time, until each fails.
	scan(ctx context.Context, from, end string, each func([]entry) error) (revision int64, err error)
	// watch yields the changes in the range after a revision, whole revisions
	// at a time, until the context ends or the watch is lost; the last batch
	// may carry the reason.
	watch(ctx context.Context, from, end string, after int64) <-chan batch
	// commit writes all entries if the guard holds, else nothing (false).
	commit(ctx context.Context, g *guard, writes []entry) (revision int64, ok bool, err error)
	// acquire waits for the lock of that name. Nobody in this process holds it.
	acquire(ctx context.Context, name string) (*Lock, error)
	close() error
}

// read is everything in a range that is small.
func read(ctx context.Context, b backend, from, end string) (all []entry, err error) {
	_, err = b.scan(ctx, from, end, func(page []entry) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// entry is a key with its value; a nil value is a deleted key.
type entry struct {
	key      string
	value    []byte
	revision int64
}

// batch is the changes up to and with a revision.
type batch struct {
	entries  []entry
	revision int64
	err      error
}

// guard is the revision that a key was last modified in; 0: it does not exist.
type guard struct {
	key      string
	revision int64
}
