package httpapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
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

// item is a resource with what it is sorted by.
type item[P v1.Resource] struct {
	resource P
	at       position
}

// position is where a page ends: the cursor before encoding.
type position struct {
	Key  string `json:"k,omitempty"`
	UUID string `json:"u"`
}

func comparePositions(a, b position) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.UUID, b.UUID))
}

func list[T any, P model.Resources[T]](v *model.View, q *Query) (*Page[T], error) {
	s, err := newSelection(reflect.TypeFor[T](), q)
	if err != nil {
		return nil, err
	}
	var found []item[P]
	for r := range v.Seen(kindOf[T, P](), s.start()) {
		value := reflect.ValueOf(r).Elem()
		if !s.wants(value) {
			continue
		}
		found = append(found, item[P]{r.(P), s.positionOf(value, r.GetMeta().UUID)})
		if s.ordered() && len(found) > q.Limit {
			break
		}
	}
	return pageOf[T](v, s, found, q.Limit), nil
}

// pageOf sorts, and cuts the page out.
func pageOf[T any, P model.Resources[T]](v *model.View, s *selection, found []item[P], limit int) *Page[T] {
	if !s.ordered() {
		slices.SortFunc(found, func(a, b item[P]) int { return s.compare(a.at, b.at) })
		if s.after != nil {
			found = slices.DeleteFunc(found, func(i item[P]) bool { return s.compare(i.at, *s.after) <= 0 })
		}
	}
	page := &Page[T]{}
	page.Body.Items = []*T{}
	if len(found) > limit {
		found = found[:limit]
		page.Body.Next = found[limit-1].at.encode()
	}
	for _, i := range found {
		page.Body.Items = append(page.Body.Items, (*T)(filled(v, i.resource)))
	}
	return page
}

func (p position) encode() string {
	b, _ := json.Marshal(p) // two strings
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodePosition(cursor string) (*position, error) {
	if cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	var p position
	if err != nil || json.Unmarshal(b, &p) != nil || p.UUID == "" {
		return nil, v1.Invalid("invalid-cursor", "cursor %q is none that a list answered; start without one", shorten(cursor))
	}
	return &p, nil
}
