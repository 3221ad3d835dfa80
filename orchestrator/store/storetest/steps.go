package storetest

import (
	"fmt"
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// told is a change in short.
func told(c store.Change) string {
	what, r := "changed", c.After
	switch {
	case c.After == nil:
		what, r = "deleted", c.Before
	case c.Before == nil:
		what = "created"
	}
	return fmt.Sprintf("%d %s %s", c.Index, what, r.GetMeta().Name)
}

// write makes three commits: two zones, a change with a delete, a delete. It
// returns the revision of the last.
func write(t *testing.T, s *store.Store) (revision int64) {
	t.Helper()
	var a, b string
	for _, rule := range []func(*model.Tx) error{
		func(tx *model.Tx) error {
			if err := createZone("a", &a)(tx); err != nil {
				return err
			}
			return createZone("b", &b)(tx)
		},
		func(tx *model.Tx) error {
			z := model.Copy(model.Get[v1.Zone](tx.View, a))
			z.Name = "A"
			tx.Save(z)
			tx.Drop(model.Zones, b)
			return nil
		},
		func(tx *model.Tx) error { tx.Drop(model.Zones, a); return nil },
	} {
		view, err := s.Update(t.Context(), rule)
		must(t, err)
		revision = view.Revision
	}
	return revision
}

var written = []string{"0 created a", "1 created b", "0 changed A", "1 deleted b", "0 deleted A"}

// steps also holds while watches break: then a step says that there is a gap.
func steps(t *testing.T, s *store.Store) {
	check := follow(t, s)
	must(t, s.Private().Put(t.Context(), "x", nil))
	check(write(t, s))
	must(t, s.Close())
	_, seq := s.Steps(t.Context())
	for range seq {
		t.Error("a closed store steps on")
	}
}

func stepsAgree(t *testing.T, all []*store.Store) {
	first, second := follow(t, all[0]), follow(t, all[1])
	end := write(t, all[0])
	first(end)
	second(end)
}

// follow checks the steps from now up to a revision against what was written.
func follow(t *testing.T, s *store.Store) (check func(end int64)) {
	t.Helper()
	from, seq := s.Steps(t.Context())
	return func(end int64) {
		var all []string
		last, gap := from.Revision, false
		for step := range seq {
			if step.View.Revision <= last && !step.Gap && len(step.Changes) > 0 {
				t.Errorf("step to revision %d after %d", step.View.Revision, last)
			}
			for _, c := range step.Changes {
				if step.Gap || c.Revision <= last || c.Revision > step.View.Revision {
					t.Errorf("a change of revision %d between the views %d and %d, gap %v", c.Revision, last, step.View.Revision, step.Gap)
				}
				all = append(all, told(c))
			}
			gap = gap || step.Gap
			if last = step.View.Revision; last >= end {
				break
			}
		}
		if !gap && !slices.Equal(all, written) {
			t.Errorf("told %q, want %q", all, written)
		}
	}
}
