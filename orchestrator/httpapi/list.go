package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"iter"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Query is the input of a list call.
type Query struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items at most"`
	Sort   string `query:"sort" doc:"A field, with - in front for descending; by uuid, which is the order of creation, if left out" example:"-createDate"`
	Cursor string `query:"cursor" doc:"next of the page before, with the same sort"`
	all    url.Values
}

// Resolve keeps the whole query, for the filters.
func (q *Query) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	q.all = u.Query()
	return nil
}

// Page answers a list.
type Page[T any] struct {
	Body struct {
		Items []*T `json:"items" nullable:"false"`
		// Next is absent on the last page.
		Next string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last"`
	}
}

// listOperation is that of a call that takes a Query over items of a type.
func listOperation[T any](id, path, summary string) huma.Operation {
	op := operation(id, "GET", path, summary)
	op.Description = "Besides the parameters below, a field can be a filter: `field=value`, or `field~=text` for a part of it in any case. " +
		"Several filters all have to hold; of a field that is a list, one value has to. Fields are " + namesOf(fields(reflect.TypeFor[T]())) + "."
	op.Metadata = map[string]any{anyParameter: true}
	return op
}

func list[T any, P model.Resources[T]](v *model.View, q *Query) (*Page[T], error) {
	s, err := newSelection(reflect.TypeFor[T](), q)
	if err != nil {
		return nil, err
	}
	page := pageOf(s, q.Limit, func(yield func(string, *T) bool) {
		for r := range v.Seen(kindOf[T, P](), s.start()) {
			if !yield(r.GetMeta().UUID, (*T)(shown(v, r).(P))) {
				return
			}
		}
	})
	for i, r := range page.Body.Items {
		page.Body.Items[i] = (*T)(filled(v, P(r)))
	}
	return page, nil
}

// listOf is the page of things that are not in the store; id says which one is
// which, and in which order they are if the caller wants none.
func listOf[T any](all []*T, q *Query, id func(*T) string) (*Page[T], error) {
	s, err := newSelection(reflect.TypeFor[T](), q)
	if err != nil {
		return nil, err
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b *T) int { return strings.Compare(id(a), id(b)) })
	return pageOf(s, q.Limit, func(yield func(string, *T) bool) {
		for _, r := range all {
			if !yield(id(r), r) {
				return
			}
		}
	}), nil
}

// pageOf chooses, sorts and cuts the page out of all, which come in the order of
// their identities.
func pageOf[T any](s *selection, limit int, all iter.Seq2[string, *T]) *Page[T] {
	type item struct {
		resource *T
		at       position
	}
	var found []item
	for id, r := range all {
		v := reflect.ValueOf(r).Elem()
		at := s.positionOf(v, id)
		if s.after != nil && s.compare(at, *s.after) <= 0 || !s.wants(v) {
			continue
		}
		found = append(found, item{r, at})
		if s.ordered() && len(found) > limit {
			break
		}
	}
	slices.SortFunc(found, func(a, b item) int { return s.compare(a.at, b.at) })
	page := &Page[T]{}
	page.Body.Items = []*T{}
	if len(found) > limit {
		found = found[:limit]
		page.Body.Next = found[limit-1].at.encode()
	}
	for _, i := range found {
		page.Body.Items = append(page.Body.Items, i.resource)
	}
	return page
}

// position is where a page ends: the cursor before encoding.
type position struct {
	Order string `json:"s,omitempty"` // the sort that it is a place in
	Key   string `json:"k,omitempty"` // of the field that is sorted by
	ID    string `json:"u"`
}

func (p position) encode() string {
	b, _ := json.Marshal(p) // texts
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodePosition reads a cursor that was answered for the same order.
func decodePosition(cursor, order string) (*position, error) {
	if cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	var p position
	if err != nil || json.Unmarshal(b, &p) != nil || p.ID == "" {
		return nil, v1.Invalid("invalid-cursor", "cursor %q is none that a list answered; start without one", shorten(cursor))
	}
	if p.Order != order {
		return nil, v1.Invalid("invalid-cursor", "the cursor is of sort=%s, not of sort=%s; start without one", shorten(p.Order), shorten(order))
	}
	return &p, nil
}
