package model

import (
	"iter"
	"maps"
	"time"

	"github.com/google/uuid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Tx is a set of changes in the making: a private copy of a View that shows
// its own writes, and the list of what was written. The store commits it whole
// or not at all, and only if the view was still current; otherwise the rule
// runs again on a newer one. A rule must therefore have no other effect.
type Tx struct {
	*View
	// Now is the time of the operation.
	Now time.Time
	// Writes in order; a nil resource is a delete. One entry a key.
	writes map[Key]v1.Resource
	order  []Key
}

// Key names a resource.
type Key struct {
	Kind Kind
	UUID string
}

// NewTx starts on a view.
func NewTx(v *View, now time.Time) *Tx {
	return &Tx{View: v.Clone(), Now: now.UTC().Truncate(time.Millisecond), writes: map[Key]v1.Resource{}}
}

// Create stores a new resource, with dates set and a UUID made unless the
// request brought one. It is refused if the UUID is taken, and if its account
// has as many of the kind as it may (quota-exceeded).
func (tx *Tx) Create(r v1.Resource) error {
	m, kind := r.GetMeta(), KindOf(r)
	if m.UUID == "" {
		m.UUID = NewUUID()
	} else if parsed, err := uuid.Parse(m.UUID); err != nil || parsed.String() != m.UUID {
		return v1.Invalid("invalid-uuid", "uuid %q is not a lower-case UUID; leave it out to have one made", m.UUID)
	}
	if tx.Any(kind, m.UUID) != nil {
		return v1.Conflict("already-exists", "%s %s exists already; choose another uuid or leave it out", kind, m.UUID).On(m.UUID)
	}
	if err := checkQuota(tx.View, kind, r); err != nil {
		return err
	}
	m.CreateDate = tx.Now
	tx.Save(r)
	return nil
}

// Save stores a changed resource. Callers change a copy, never what a View
// handed out.
func (tx *Tx) Save(r v1.Resource) {
	tx.handOut(r)
	r.GetMeta().LastOpDate = tx.Now
	kind := KindOf(r)
	tx.View.Put(kind, r)
	tx.record(Key{kind, r.GetMeta().UUID}, r)
}

// Drop deletes a resource; a missing one is fine.
func (tx *Tx) Drop(kind Kind, uuid string) {
	if tx.Any(kind, uuid) == nil {
		return
	}
	tx.View.Remove(kind, uuid)
	tx.record(Key{kind, uuid}, nil)
}

func (tx *Tx) record(k Key, r v1.Resource) {
	if _, seen := tx.writes[k]; !seen {
		tx.order = append(tx.order, k)
	}
	tx.writes[k] = r
}

// atomic runs a rule of several steps; if one is refused, the steps before it
// are as if they had not been.
func (tx *Tx) atomic(rule func() error) error {
	view, writes, order := tx.View.Clone(), maps.Clone(tx.writes), len(tx.order)
	err := rule()
	if err != nil {
		tx.View, tx.writes, tx.order = view, writes, tx.order[:order]
	}
	return err
}

// Writes yields what changed, each key once; a nil resource is a delete.
func (tx *Tx) Writes() iter.Seq2[Key, v1.Resource] {
	return func(yield func(Key, v1.Resource) bool) {
		for _, k := range tx.order {
			if !yield(k, tx.writes[k]) {
				return
			}
		}
	}
}

// Changed reports whether anything was written.
func (tx *Tx) Changed() bool { return len(tx.order) > 0 }

// NewUUID makes a UUIDv7.
func NewUUID() string { return uuid.Must(uuid.NewV7()).String() }

// Copy is a shallow copy of a resource for changing; slices and maps in it
// must be replaced, not written into.
func Copy[T any](r *T) *T {
	c := *r
	return &c
}
