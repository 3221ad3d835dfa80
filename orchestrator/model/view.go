// Package model is the resource model in memory and its rules. A View is an
// immutable picture of everything stored; a Tx is a private, writable copy of
// one. The rules (one file a resource) are pure functions of a Tx and a
// request: they either record changes or refuse, and do nothing else, so that
// a refusal leaves nothing behind.
package model

import (
	"iter"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model/tree"
)

// View is everything stored, at one revision. It is safe for any number of
// readers; nobody changes the resources that it hands out.
type View struct {
	// Revision is the store's revision that the view shows.
	Revision int64
	// Catalog is what the rules may offer; it does not change.
	Catalog Catalog
	tables  [kindCount]tree.Of[row]
	// links are the indexes, made by linksOf.
	links [indexCount]tree.Of[link]
	// addresses in use, made by holdingsOf.
	addresses addresses
	// account is that on whose behalf the view is looked at; see For.
	account string
}

// row is a resource in its table, by its UUID.
type row struct {
	uuid     string
	resource v1.Resource
}

// Compare is by UUID.
func (r row) Compare(o row) int { return strings.Compare(r.uuid, o.uuid) }

// NewView has the admin's account and nothing else.
func NewView() *View { return ViewOf(nil) }

// ViewOf has resources, each once, and the admin's account in any case.
func ViewOf(all []v1.Resource) *View {
	v := &View{}
	var rows [kindCount][]row
	for _, r := range all {
		pack(r)
		kind := KindOf(r)
		rows[kind] = append(rows[kind], row{r.GetMeta().UUID, r})
	}
	for kind, rows := range rows {
		v.tables[kind] = built(rows)
	}
	var links [indexCount][]link
	var held []holding
	for _, r := range all {
		v.share(r)
		linksOf(r, func(i Index, l link) { links[i] = append(links[i], l) })
		held = append(held, holdingsOf(r)...)
	}
	for i, links := range links {
		v.links[i] = built(links)
	}
	v.addresses = addresses{built(held)}
	if v.Any(Accounts, v1.AdminAccountUUID) == nil {
		v.Put(Accounts, &v1.Account{Meta: v1.Meta{UUID: v1.AdminAccountUUID, Name: "admin", Description: "the account of admins and operators"}})
	}
	return v
}

func built[T tree.Item[T]](items []T) tree.Of[T] {
	slices.SortFunc(items, T.Compare)
	return tree.Build(items)
}

// Clone is a writable copy, which shares what neither of both changes.
func (v *View) Clone() *View {
	c := *v
	return &c
}

// Put inserts or replaces a resource. Only the store and Tx call it, on a view
// that nobody else has seen yet.
func (v *View) Put(kind Kind, r v1.Resource) {
	uuid := r.GetMeta().UUID
	old := v.Any(kind, uuid)
	v.tables[kind] = v.tables[kind].With(row{uuid, r})
	v.index(old, r)
}

// Remove deletes a resource; a missing one is fine.
func (v *View) Remove(kind Kind, uuid string) {
	old := v.Any(kind, uuid)
	v.tables[kind] = v.tables[kind].Without(row{uuid: uuid})
	v.index(old, nil)
}

// index has the indexes list a resource as it is now, and no more as it was
// before; nil: it is not there.
func (v *View) index(before, now v1.Resource) {
	linksOf(before, func(i Index, l link) { v.links[i] = v.links[i].Without(l) })
	linksOf(now, func(i Index, l link) { v.links[i] = v.links[i].With(l) })
	for _, h := range holdingsOf(before) {
		v.addresses = addresses{v.addresses.Without(h)}
	}
	for _, h := range holdingsOf(now) {
		v.addresses = addresses{v.addresses.With(h)}
	}
}

// Any is the resource of a kind, or nil.
func (v *View) Any(kind Kind, uuid string) v1.Resource {
	r, _ := v.tables[kind].Get(row{uuid: uuid})
	return r.resource
}

// Len is the number of resources of a kind.
func (v *View) Len(kind Kind) int { return v.tables[kind].Len() }

// All yields the resources of a kind in order of UUID, after the given UUID.
func (v *View) All(kind Kind, after string) iter.Seq[v1.Resource] {
	return func(yield func(v1.Resource) bool) {
		for r := range v.tables[kind].From(row{uuid: after}) {
			if r.uuid != after && !yield(r.resource) {
				return
			}
		}
	}
}

// Get is the typed resource with the UUID, or nil.
func Get[T any, P resource[T]](v *View, uuid string) P {
	r, _ := v.Any(kindOf[T, P](), uuid).(P)
	return r
}

// List yields all typed resources in order of UUID.
func List[T any, P resource[T]](v *View) iter.Seq[P] {
	return func(yield func(P) bool) {
		for r := range v.All(kindOf[T, P](), "") {
			if !yield(r.(P)) {
				return
			}
		}
	}
}

// Related yields the typed resources that an index lists under a key, in order
// of UUID: Related[v1.VMNic](v, NicsOfL3, l3.UUID).
func Related[T any, P resource[T]](v *View, index Index, key string) iter.Seq[P] {
	return func(yield func(P) bool) {
		for r := range v.under(index, key) {
			if r, ok := r.(P); ok && !yield(r) {
				return
			}
		}
	}
}

// under yields what an index lists under a key, in order of UUID.
func (v *View) under(index Index, key string) iter.Seq[v1.Resource] {
	return func(yield func(v1.Resource) bool) {
		for l := range v.links[index].From(link{key: key}) {
			if l.key != key || !yield(l.resource) {
				return
			}
		}
	}
}

// First is the first of Related, or nil.
func First[T any, P resource[T]](v *View, index Index, key string) P {
	for r := range Related[T, P](v, index, key) {
		return r
	}
	return nil
}

type resource[T any] interface {
	*T
	v1.Resource
}

// Resources lets callers outside name the constraint of Get and List.
type Resources[T any] interface{ resource[T] }
