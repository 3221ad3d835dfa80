// Package model is the resource model in memory and its rules. A View is an
// immutable picture of everything stored; a Tx is a private, writable copy of
// one. The rules (one file a resource) are pure functions of a Tx and a
// request: they either record changes or refuse, and do nothing else, so that
// a refusal leaves nothing behind.
package model

import (
	"iter"
	"sync"

	"github.com/tidwall/btree"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// View is everything stored, at one revision. It is safe for any number of
// readers; nobody changes the resources that it hands out.
type View struct {
	// Revision is the store's revision that the view shows.
	Revision int64
	// Catalog is what the rules may offer; it does not change.
	Catalog Catalog
	tables  [kindCount]btree.Map[string, v1.Resource]
	// links are the indexes, made by linksOf.
	links *btree.BTreeG[link]
	// addresses in use, made by holdingsOf.
	addresses addresses
	// account is that on whose behalf the view is looked at; see For.
	account string
	// cloning: btree's Copy marks its source too, so that two at once race,
	// while readers do not look at the mark.
	cloning sync.Mutex
}

// NewView has the admin's account and nothing else.
func NewView() *View {
	v := &View{links: btree.NewBTreeGOptions(link.before, btree.Options{NoLocks: true})}
	v.Put(Accounts, &v1.Account{Meta: v1.Meta{UUID: v1.AdminAccountUUID, Name: "admin", Description: "the account of admins and operators"}})
	return v
}

// Clone is a writable copy that shares all memory with v until one of both
// changes (the trees copy on write).
func (v *View) Clone() *View {
	v.cloning.Lock()
	defer v.cloning.Unlock()
	c := &View{Revision: v.Revision, account: v.account, Catalog: v.Catalog, links: v.links.Copy(), addresses: v.addresses}
	for i := range v.tables {
		c.tables[i] = *v.tables[i].Copy()
	}
	return c
}

// Put inserts or replaces a resource. Only the store and Tx call it, on a view
// that nobody else has seen yet.
func (v *View) Put(kind Kind, r v1.Resource) {
	uuid := r.GetMeta().UUID
	if old, ok := v.tables[kind].Set(uuid, r); ok {
		v.unindex(kind, old)
	}
	for _, l := range linksOf(r) {
		v.links.Set(l)
	}
	for _, h := range holdingsOf(r) {
		v.addresses.root = v.addresses.root.with(h)
	}
	for _, l := range accessLinks(kind, r) {
		v.links.Set(l)
	}
}

// Remove deletes a resource; a missing one is fine.
func (v *View) Remove(kind Kind, uuid string) {
	if old, ok := v.tables[kind].Delete(uuid); ok {
		v.unindex(kind, old)
	}
}

func (v *View) unindex(kind Kind, r v1.Resource) {
	for _, l := range linksOf(r) {
		v.links.Delete(l)
	}
	for _, h := range holdingsOf(r) {
		v.addresses.root = v.addresses.root.without(h)
	}
	for _, l := range accessLinks(kind, r) {
		v.links.Delete(l)
	}
}

// Any is the resource of a kind, or nil.
func (v *View) Any(kind Kind, uuid string) v1.Resource {
	r, _ := v.tables[kind].Get(uuid)
	return r
}

// Len is the number of resources of a kind.
func (v *View) Len(kind Kind) int { return v.tables[kind].Len() }

// All yields the resources of a kind in order of UUID, after the given UUID.
func (v *View) All(kind Kind, after string) iter.Seq[v1.Resource] {
	return func(yield func(v1.Resource) bool) {
		v.tables[kind].Ascend(after, func(uuid string, r v1.Resource) bool {
			return uuid == after || yield(r)
		})
	}
}

// Get is the typed resource with the UUID, or nil.
func Get[T any, P resource[T]](v *View, uuid string) P {
	r, ok := v.tables[kindOf[T, P]()].Get(uuid)
	if !ok {
		return nil
	}
	return r.(P)
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
		v.links.Ascend(link{index, key, ""}, func(l link) bool {
			if l.index != index || l.key != key {
				return false
			}
			r := Get[T, P](v, l.uuid)
			return r == nil || yield(r)
		})
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
