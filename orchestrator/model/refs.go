package model

import (
	"iter"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// need is the resource that a request names, or the refusal that it is missing.
// One that the view's account does not see is missing to it.
func need[T any, P resource[T]](v *View, uuid string) (P, error) {
	noun := kindOf[T, P]().Noun()
	if uuid == "" {
		return nil, v1.Invalid("missing-uuid", "the request names no %s; give its uuid", noun)
	}
	if r := Get[T, P](v, uuid); r != nil && v.Sees(r) {
		return r, nil
	}
	return nil, v1.NotFound(noun, uuid)
}

// newMeta checks what every create request carries and makes a Meta of it, owned
// by the view's account.
func newMeta(v *View, kind Kind, req v1.CreateMeta) (v1.Meta, error) {
	if err := v1.ValidateName(req.Name); err != nil {
		return v1.Meta{}, err
	}
	if err := v1.ValidateDescription(req.Description); err != nil {
		return v1.Meta{}, err
	}
	if err := checkTags(v, kind, req.SystemTags); err != nil {
		return v1.Meta{}, err
	}
	return v1.Meta{UUID: req.UUID, Name: req.Name, Description: req.Description, SystemTags: slices.Clone(req.SystemTags), AccountUUID: v.account}, nil
}

// uuidsOf collects the UUIDs of resources.
func uuidsOf[R v1.Resource](rs iter.Seq[R]) []string {
	var all []string
	for r := range rs {
		all = append(all, r.GetMeta().UUID)
	}
	return all
}

// with is a copy of the list that has the item once; the list is not changed.
func with[E comparable](list []E, item E) []E {
	if slices.Contains(list, item) {
		return list
	}
	return append(slices.Clone(list), item)
}

// without is a copy of the list that lacks the item, never nil.
func without[E comparable](list []E, item E) []E {
	left := make([]E, 0, len(list))
	for _, e := range list {
		if e != item {
			left = append(left, e)
		}
	}
	return left
}

// orEmpty makes a nil list an empty one, which JSON shows as [].
func orEmpty[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}

// oneOf checks a word against a list and puts the default for an empty one.
func oneOf(field, value, fallback string, allowed ...string) (string, error) {
	if value == "" {
		value = fallback
	}
	if !slices.Contains(allowed, value) {
		return "", v1.Invalid("invalid-value", "%s %q is not one of %v", field, value, allowed)
	}
	return value, nil
}
