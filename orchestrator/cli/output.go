package cli

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"
)

// print shows objects of a noun as the user asked.
func (s *session) print(n *noun, items []object, single bool) error {
	switch s.output {
	case "json":
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		return enc.Encode(one(items, single))
	case "yaml":
		return yaml.NewEncoder(s.out).Encode(one(items, single))
	case "name":
		for _, o := range items {
			fmt.Fprintln(s.out, clean(fmt.Sprint(o["name"])))
		}
		return nil
	}
	if single && len(items) == 1 {
		return s.details(items[0])
	}
	return s.table(n.columns, items)
}

func one(items []object, single bool) any {
	if single && len(items) == 1 {
		return items[0]
	}
	return items
}

func (s *session) table(columns []string, items []object) error {
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = strings.ToUpper(strings.ReplaceAll(c, "/", "."))
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, o := range items {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cell(at(o, c))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// details shows one object, a field a line.
func (s *session) details(o object) error {
	keys := make([]string, 0, len(o))
	for k := range o {
		if k != "name" && k != "uuid" {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	for _, k := range append([]string{"name", "uuid"}, keys...) {
		values, ok := o[k].([]any)
		if !ok || len(values) == 0 || !isObject(values[0]) {
			fmt.Fprintf(w, "%s\t%s\n", k, cell(o[k]))
			continue
		}
		for i, v := range values {
			fmt.Fprintf(w, "%s[%d]\t%s\n", k, i, cell(v))
		}
	}
	return w.Flush()
}

func isObject(v any) bool { _, ok := v.(object); return ok }

// at follows a path such as nics/ip, into each element of lists.
func at(v any, path string) any {
	head, rest, more := strings.Cut(path, "/")
	switch v := v.(type) {
	case object:
		if !more {
			return v[head]
		}
		return at(v[head], rest)
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, at(e, path))
		}
		return out
	}
	return nil
}

// cell is a value on one line.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return clean(v)
	case float64:
		return fmt.Sprintf("%.0f", v)
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, cell(e))
		}
		if len(parts) == 0 {
			return "-"
		}
		return strings.Join(parts, ",")
	case object:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		parts := make([]string, 0, len(v))
		for _, k := range keys {
			parts = append(parts, k+"="+cell(v[k]))
		}
		return strings.Join(parts, " ")
	}
	return clean(fmt.Sprint(v))
}

// clean keeps control characters in a tenant's names from reaching the
// administrator's terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}
