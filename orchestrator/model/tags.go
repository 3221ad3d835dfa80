package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// tagKinds says which kinds may carry a pattern, and what its first argument
// names there (-1: nothing).
var tagKinds = map[string]struct {
	on  []Kind
	ref Kind
}{
	v1.TagGuestL3Network:            {[]Kind{Offerings}, L3Networks},
	v1.TagVirtualRouterOffering:     {[]Kind{L3Networks}, Offerings},
	v1.TagStaticIP:                  {[]Kind{VMs}, L3Networks},
	v1.TagCustomMAC:                 {[]Kind{VMs}, L3Networks},
	v1.TagHostname:                  {[]Kind{VMs}, -1},
	v1.TagCleanTraffic:              {[]Kind{VMs}, -1},
	v1.TagDedicatedHost:             {[]Kind{Offerings}, Hosts},
	v1.TagCommandsParallelismDegree: {[]Kind{Offerings, Routers}, -1},
	v1.TagDisabledService:           {[]Kind{Routers}, -1},
}

// checkTags checks the tags of a resource of a kind. Codes unknown-tag,
// invalid-tag, tag-not-for-kind, duplicate-tag, not-found.
func checkTags(v *View, kind Kind, tags []string) error {
	for i, s := range tags {
		if slices.Contains(tags[:i], s) {
			return v1.Refused("duplicate-tag", "system tag %q is given twice; give it once", s)
		}
		t, err := v1.ParseTag(s)
		if err != nil {
			return err
		}
		where := tagKinds[t.Pattern]
		if !slices.Contains(where.on, kind) {
			return v1.Refused("tag-not-for-kind", "system tag %q belongs on %v, not on %s", s, where.on, kind)
		}
		if where.ref < 0 {
			continue
		}
		if named := v.Any(where.ref, t.Args[0]); named == nil || !v.Sees(named) {
			return v1.NotFound(where.ref.Noun(), t.Args[0])
		}
	}
	return nil
}

// AddSystemTag tags a resource; a tag that it has already is fine.
//
// VM tags say how a VM's nics are allocated, so they are taken on create only
// (tag-on-create-only), but for cleanTraffic.
func AddSystemTag(tx *Tx, kind Kind, uuid, tag string) error {
	r := tx.Any(kind, uuid)
	if r == nil {
		return v1.NotFound(kind.Noun(), uuid)
	}
	tags := r.GetMeta().SystemTags
	if slices.Contains(tags, tag) {
		return nil
	}
	if err := checkTags(tx.View, kind, []string{tag}); err != nil {
		return err
	}
	if kind == VMs && tag != v1.TagCleanTraffic {
		return v1.Refused("tag-on-create-only", "system tag %q is taken only when the VM is created", tag).On(uuid)
	}
	saveTags(tx, kind, r, with(tags, tag))
	return nil
}

// RemoveSystemTag takes a tag off; a missing tag or resource is fine.
func RemoveSystemTag(tx *Tx, kind Kind, uuid, tag string) error {
	r := tx.Any(kind, uuid)
	if r != nil && slices.Contains(r.GetMeta().SystemTags, tag) {
		saveTags(tx, kind, r, without(r.GetMeta().SystemTags, tag))
	}
	return nil
}

// stripTags takes off the tags that name a resource which is being deleted.
func stripTags(tx *Tx, uuid string) {
	for _, kind := range []Kind{Offerings, L3Networks, VMs} {
		for _, r := range slices.Collect(tx.All(kind, "")) {
			left := slices.DeleteFunc(slices.Clone(r.GetMeta().SystemTags), func(s string) bool {
				t, err := v1.ParseTag(s)
				return err == nil && len(t.Args) > 0 && t.Args[0] == uuid
			})
			if len(left) != len(r.GetMeta().SystemTags) {
				saveTags(tx, kind, r, left)
			}
		}
	}
}

func saveTags(tx *Tx, kind Kind, r v1.Resource, tags []string) {
	c := copyOf(kind, r)
	c.GetMeta().SystemTags = tags
	tx.Save(c)
}
