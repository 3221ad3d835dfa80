package httpapi

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// selection is a list call understood: which resources, in which order, from
// where on.
type selection struct {
	filters    []filter
	sort       []int  // index of the field; nil: by identity
	order      string // as the caller wrote it
	descending bool
	after      *position
}

// filter is one condition; all have to hold.
type filter struct {
	index []int
	text  string
	part  bool // anywhere in the value, in any case
}

// notFilters are parameters of lists with another meaning.
var notFilters = []string{"limit", "sort", "cursor"}

func newSelection(t reflect.Type, q *Query) (*selection, error) {
	s := &selection{}
	known := fields(t)
	for _, name := range slices.Sorted(maps.Keys(q.all)) {
		if slices.Contains(notFilters, name) {
			continue
		}
		for _, value := range q.all[name] {
			f, err := newFilter(known, name, value)
			if err != nil {
				return nil, err
			}
			s.filters = append(s.filters, f)
		}
	}
	name, descending := strings.CutPrefix(q.Sort, "-")
	if _, has := known["uuid"]; has && q.Sort == "uuid" {
		name = ""
	}
	if name != "" {
		f, ok := known[name]
		if !ok {
			return nil, v1.Invalid("unknown-sort-field", "%q is not a field to sort by; there are %s", shorten(name), namesOf(known))
		}
		s.sort, s.order, s.descending = f.index, q.Sort, descending
	}
	var err error
	s.after, err = decodePosition(q.Cursor, s.order)
	return s, err
}

func newFilter(known map[string]field, name, value string) (filter, error) {
	name, part := strings.CutSuffix(name, "~")
	f, ok := known[name]
	if !ok {
		return filter{}, v1.Invalid("unknown-filter", "%q is neither a parameter nor a field to filter by (FIELD=VALUE, or FIELD~=PART); fields are %s", shorten(name), namesOf(known))
	}
	if part {
		return filter{f.index, strings.ToLower(value), true}, nil
	}
	canonical, err := f.canonical(value)
	if err != nil {
		return filter{}, v1.Invalid("invalid-filter", "%s=%s: %v", name, shorten(value), err)
	}
	return filter{f.index, canonical, false}, nil
}

func namesOf(known map[string]field) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// ordered reports whether the order of identities is the wanted one.
func (s *selection) ordered() bool { return s.sort == nil }

// start is the identity after which to read.
func (s *selection) start() string {
	if s.ordered() && s.after != nil {
		return s.after.ID
	}
	return ""
}

func (s *selection) wants(v reflect.Value) bool {
	for _, f := range s.filters {
		if !slices.ContainsFunc(texts(v.FieldByIndex(f.index)), f.holds) {
			return false
		}
	}
	return true
}

func (f filter) holds(text string) bool {
	if f.part {
		return strings.Contains(strings.ToLower(text), f.text)
	}
	return text == f.text
}

func (s *selection) positionOf(v reflect.Value, id string) position {
	p := position{Order: s.order, ID: id}
	if !s.ordered() {
		p.Key = sortKey(v.FieldByIndex(s.sort))
	}
	return p
}

func (s *selection) compare(a, b position) int {
	if s.descending {
		a, b = b, a
	}
	return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID))
}
