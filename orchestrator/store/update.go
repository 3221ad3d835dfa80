package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// commitTimeout bounds one transaction, also one whose caller has gone: a
// commit once sent is always followed to its end, so that its outcome is known.
const commitTimeout = 10 * time.Second

// Update runs a rule on the newest view and commits what it wrote, all or
// nothing. The rule runs again on a newer view if another orchestrator
// committed first, so it must have no effect besides the Tx. The returned view
// shows the commit. A rule that wrote nothing commits nothing; an error of the
// rule is returned as it is. Both are of the newest view that there is.
func (s *Store) Update(ctx context.Context, rule func(*model.Tx) error) (*model.View, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.running.Done():
		return nil, errClosed
	}
	for {
		view, committed, err := s.attempt(ctx, rule)
		if committed || err != nil {
			return view, err
		}
	}
}

// DryRun runs a rule on the newest view and forgets what it wrote.
func (s *Store) DryRun(rule func(*model.Tx) error) (*model.View, error) {
	tx := model.NewTx(s.View(), time.Now())
	if err := rule(tx); err != nil {
		return nil, err
	}
	return tx.View, nil
}

// attempt is one run of the rule; false without an error: somebody else
// committed first, and the view shows it now.
func (s *Store) attempt(ctx context.Context, rule func(*model.Tx) error) (*model.View, bool, error) {
	if s.running.Err() != nil {
		return nil, false, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	base := s.current.Load()
	tx := model.NewTx(base.view, time.Now())
	refusal := rule(tx)
	writes, err := writesOf(tx, base.view)
	if err != nil {
		return nil, false, err
	}
	var revision int64
	var ok bool
	if refusal != nil || len(writes) == 0 {
		if ok, err = s.isNewest(ctx, base); ok {
			return base.view, refusal == nil, refusal
		}
	} else {
		revision, ok, err = s.commit(base.epoch, writes)
	}
	if err != nil {
		return nil, false, err
	}
	if !ok {
		return nil, false, s.waitFor(ctx, func(f *frame) bool { return f.epoch > base.epoch })
	}
	var view *model.View
	err = s.waitFor(context.WithoutCancel(ctx), func(f *frame) bool { view = f.view; return view.Revision >= revision })
	return view, err == nil, err
}

// isNewest reports whether a frame shows the newest commit. What a rule refuses
// or finds done already is not guarded by a commit, and on a view that is
// behind it may be wrong: another orchestrator's commit may just have made what
// it misses.
func (s *Store) isNewest(ctx context.Context, f *frame) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	found, err := read(ctx, s.backend, epochKey, "")
	switch {
	case err == nil:
		return len(found) == 0 || found[0].revision <= f.epoch, nil
	case s.running.Err() != nil:
		return false, errClosed
	}
	return false, unavailable("read", err)
}

// writesOf is what a Tx changes in the store. Deleting what the view does not
// have (made and dropped in one Tx) is no change.
func writesOf(tx *model.Tx, base *model.View) ([]entry, error) {
	var writes []entry
	for k, r := range tx.Writes() {
		if r == nil {
			if base.Any(k.Kind, k.UUID) != nil {
				writes = append(writes, entry{key: resourceKey(k)})
			}
			continue
		}
		value, err := encode(r)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", k.Kind, k.UUID, err)
		}
		writes = append(writes, entry{key: resourceKey(k), value: value})
	}
	return writes, nil
}

// commit writes under the guard of the epoch. The epoch's value is new each
// time, so that after a lost answer it tells whether the commit was made.
func (s *Store) commit(epoch int64, writes []entry) (int64, bool, error) {
	mark := model.NewUUID()
	writes = append(writes, entry{key: epochKey, value: []byte(mark)})
	ctx, cancel := context.WithTimeout(s.running, commitTimeout)
	defer cancel()
	revision, ok, err := s.backend.commit(ctx, &guard{epochKey, epoch}, writes)
	if err == nil {
		return revision, ok, nil
	}
	if s.running.Err() != nil {
		return 0, false, errClosed
	}
	ctx, cancel = context.WithTimeout(s.running, commitTimeout)
	defer cancel()
	found, readErr := read(ctx, s.backend, epochKey, "")
	if readErr == nil && len(found) == 1 && string(found[0].value) == mark {
		return found[0].revision, true, nil
	}
	if v1.Code(err) == CodeFull { // refused, not lost
		return 0, false, err
	}
	return 0, false, unavailable("commit", errors.Join(err, readErr))
}

// waitFor waits until the feeder has published a frame with what is asked.
func (s *Store) waitFor(ctx context.Context, reached func(*frame) bool) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	for {
		f := s.current.Load()
		if reached(f) {
			return nil
		}
		select {
		case <-f.replaced:
		case <-s.running.Done():
			return errClosed
		case <-ctx.Done():
			return unavailable("follow store", errors.Join(ctx.Err(), s.Trouble()))
		}
	}
}

func unavailable(what string, err error) error {
	return v1.Unavailable("store-unavailable", "%s: %v; retry, and check etcd if it stays so", what, err).Because(err)
}
