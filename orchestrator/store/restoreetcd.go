package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-nfv/sluice/orchestrator/backup"
)

// restoringKey is there while a store is being restored into an etcd. No server
// opens it then, and the next attempt begins anew.
const restoringKey = prefix + "restoring"

// prefixEnd is the first key behind all of the store's, locks too.
const prefixEnd = "/sluice/v10"

// RestoreInto makes a store in an etcd cluster that has none, from a backup that
// is checked first. What an attempt that was killed has left is removed.
func RestoreInto(ctx context.Context, c Config, from io.ReadSeeker) (backup.Info, error) {
	info, err := checked(from)
	if err != nil {
		return info, err
	}
	b, err := dialEtcd(c)
	if err != nil {
		return info, fmt.Errorf("restore store: %w", err)
	}
	if err := restoreInto(ctx, b, from, info); err != nil {
		return info, errors.Join(fmt.Errorf("restore store into %v: %w", c.Endpoints, err), b.close())
	}
	return info, b.close()
}

func restoreInto(ctx context.Context, b backend, from io.Reader, info backup.Info) error {
	if err := claimEmpty(ctx, b); err != nil {
		return err
	}
	return fill(ctx, b, from, info)
}

// claimEmpty makes the etcd ours to restore into: it has no store, or what is
// left of an attempt, which goes.
func claimEmpty(ctx context.Context, b backend) error {
	there, err := read(ctx, b, prefix, prefixEnd)
	if err != nil {
		return err
	}
	unfinished := false
	for _, e := range there {
		unfinished = unfinished || e.key == restoringKey
	}
	if len(there) > 0 && !unfinished {
		return fmt.Errorf("it has a store already, with %d keys below %s; give an etcd without one, or delete those if nobody needs them", len(there), prefix)
	}
	for len(there) > 0 {
		n := min(len(there), batchKeys)
		some := make([]entry, 0, n)
		for _, e := range there[:n] {
			if e.key != restoringKey { // it goes when all is there
				some = append(some, entry{key: e.key})
			}
		}
		if _, _, err := b.commit(ctx, nil, some); err != nil {
			return err
		}
		there = there[n:]
	}
	if unfinished {
		return nil
	}
	_, first, err := b.commit(ctx, &guard{restoringKey, 0}, []entry{{key: restoringKey, value: []byte{}}})
	if err == nil && !first {
		err = errors.New("another restore is under way")
	}
	return err
}

// checkWhole refuses a store that is being restored.
func checkWhole(ctx context.Context, b backend) error {
	found, err := read(ctx, b, restoringKey, "")
	if err == nil && len(found) > 0 {
		err = errors.New("a backup is being restored into it, or that was cut short; run `sluice restore` again")
	}
	return err
}
