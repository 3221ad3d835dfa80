package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"
)

// print shows objects of a noun as the user asked.
func (s *session) print(n *noun, items []object, single bool) error {
	switch s.output {
	case "json", "yaml":
		if single && len(items) == 1 {
			return s.printValue(items[0])
		}
		if items == nil {
			items = []object{} // not null
		}
		return s.printValue(items)
	case "name":
		for _, o := range items {
			fmt.Fprintln(s.out, nameOrUUID(o))
		}
		return nil
	}
	if single && len(items) == 1 {
		return details(s.out, items[0])
	}
	columns := n.columns
	if s.wide {
		columns = slices.Concat(columns, n.wide, []string{"uuid"})
	}
	if s.api != nil {
		items = s.named(columns, items)
	}
	return table(s.out, columns, items)
}

func nameOrUUID(o object) string {
	if name, ok := o["name"].(string); ok && name != "" {
		return clean(name)
	}
	return cell(o["uuid"])
}

// printValue writes any value as JSON or YAML.
func (s *session) printValue(v any) error {
	if s.output == "yaml" {
		return s.writeYAML(yamlValue(asAnswered(v)))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(s.out, escaped(b.String()))
	return err
}

func (s *session) writeYAML(v any) error {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(s.out, escaped(b.String()))
	return err
}

// escaped writes as \u what JSON and quoted YAML allow and a terminal would
// obey.
func escaped(doc string) string {
	var b strings.Builder
	for _, r := range doc {
		if r != '\n' && commands(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// asAnswered is a value as it would come from the server.
func asAnswered(v any) any {
	b, err := json.Marshal(v)
	if err != nil { // what was read or typed here can be written
		panic(fmt.Sprintf("cli: encode: %v", err))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		panic(fmt.Sprintf("cli: decode: %v", err))
	}
	return out
}

// yamlValue makes numbers of json.Number, which YAML would quote, and has
// texts quoted in which something is to be escaped.
func yamlValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	case string:
		if strings.ContainsFunc(v, commands) {
			return scalar(v)
		}
	case object:
		for key := range v {
			v[key] = yamlValue(v[key])
		}
	case []any:
		for i := range v {
			v[i] = yamlValue(v[i])
		}
	}
	return v
}

// scalar is a text, quoted where YAML would read it as something else or
// something in it is to be escaped.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	if strings.ContainsFunc(text, commands) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func table(to io.Writer, columns []string, items []object) error {
	rows := make([][]string, 0, len(items))
	for _, o := range items {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = short(c, at(o, c))
		}
		rows = append(rows, cells)
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = head(c)
	}
	return grid(to, heads, rows)
}

// grid aligns columns of cells, without spaces at the ends of lines.
func grid(to io.Writer, heads []string, rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	if heads != nil {
		rows = slices.Concat([][]string{heads}, rows)
	}
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

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
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, cell(e))
		}
		if len(parts) == 0 {
			return "-"
		}
		return strings.Join(parts, ",")
	case []object, []string:
		return cell(asAnswered(v))
	case object:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, clean(k)+"="+cell(v[k]))
		}
		return strings.Join(parts, " ")
	}
	return clean(fmt.Sprint(v))
}
