package httpapi

import (
	"reflect"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// selection is a list call understood: which resources, in which order, from
// where on.
type selection struct {
	filters    []filter
	sort       []int // index of the field; nil: by uuid
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
	for name, values := range q.all {
		if slices.Contains(notFilters, name) {
			continue
		}
		field, part := strings.CutSuffix(name, "~")
		index, ok := known[field]
		if !ok {
			return nil, v1.Invalid("unknown-filter", "%q is neither a parameter nor a field to filter by", shorten(name))
		}
		for _, text := range values {
			s.filters = append(s.filters, filter{index, text, part})
		}
	}
	field, descending := strings.CutPrefix(q.Sort, "-")
	if field == "uuid" && !descending {
		field = ""
	}
	if field != "" {
		index, ok := known[field]
		if !ok {
			return nil, v1.Invalid("unknown-sort-field", "%q is not a field to sort by", shorten(field))
		}
		s.sort, s.descending = index, descending
	}
	var err error
	s.after, err = decodePosition(q.Cursor)
	return s, err
}

// ordered reports whether the store's own order is the wanted one.
func (s *selection) ordered() bool { return s.sort == nil }

// start is the uuid after which the store is read.
func (s *selection) start() string {
	if s.ordered() && s.after != nil {
		return s.after.UUID
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
		return strings.Contains(strings.ToLower(text), strings.ToLower(f.text))
	}
	return text == f.text
}

func (s *selection) positionOf(v reflect.Value, uuid string) position {
	if s.ordered() {
		return position{UUID: uuid}
	}
	return position{Key: sortKey(v.FieldByIndex(s.sort)), UUID: uuid}
}

func (s *selection) compare(a, b position) int {
	if s.descending {
		a, b = b, a
	}
	return comparePositions(a, b)
}
