package store

import (
	"context"
	"iter"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Change is one resource made, changed or deleted.
type Change struct {
	model.Key
	Revision int64
	// Index counts the changes of a revision from 0, the same in every
	// orchestrator on the store.
	Index int
	// Before is nil for what was made, After for what was deleted.
	Before, After v1.Resource
}

// Step leads from one view to the next.
type Step struct {
	View    *model.View
	Changes []Change
	// Gap: the watch was lost and everything read again, so that it is not
	// known what changed; Changes is empty then.
	Gap bool
}

// Steps is the current view and every step from it on, none left out, until
// the context ends or the store is closed. A reader that falls behind keeps
// the views in between in memory, so it must not wait for anybody else.
func (s *Store) Steps(ctx context.Context) (*model.View, iter.Seq[Step]) {
	at := s.current.Load()
	return at.view, func(yield func(Step) bool) {
		for at := at; ; {
			select {
			case <-at.replaced:
			case <-ctx.Done():
				return
			case <-s.running.Done():
				return
			}
			at = at.next
			if !yield(at.step) {
				return
			}
		}
	}
}

// applied is what entries made of a view.
type applied struct {
	epoch   int64 // 0: the entries do not have it
	changes []Change
}

func (a *applied) add(c Change) {
	if n := len(a.changes); n > 0 && a.changes[n-1].Revision == c.Revision {
		c.Index = a.changes[n-1].Index + 1
	}
	a.changes = append(a.changes, c)
}
