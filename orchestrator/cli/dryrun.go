package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// preview makes a call as a dry run and prints what would come of it.
func (s *session) preview(ctx context.Context, method, path string, body any) error {
	p, err := s.wouldDo(ctx, method, path, body)
	if err != nil {
		return err
	}
	if s.output == "json" || s.output == "yaml" {
		return s.printValue(asAnswered(p))
	}
	for _, line := range s.planLines(ctx, p) {
		fmt.Fprintln(s.out, line)
	}
	return nil
}

func (s *session) wouldDo(ctx context.Context, method, path string, body any) (p v1.Plan, err error) {
	sign := "?"
	if strings.Contains(path, "?") {
		sign = "&"
	}
	return p, s.api.Do(ctx, method, path+sign+"dryRun=true", body, &p)
}

// planLines are a plan in the signs of apply, with names for references. No
// line: nothing would change.
func (s *session) planLines(ctx context.Context, p v1.Plan) []string {
	var lines []string
	known := map[string]map[string]string{}
	for _, c := range p.Changes {
		noun := c.Kind
		if n := nounByName(c.Kind); n != nil {
			noun = n.name
		}
		line := fmt.Sprintf("%s %s %s", signs[c.Change], noun, cell(c.Name))
		switch c.Change {
		case v1.EventChanged:
			for i, f := range c.Fields {
				line += fmt.Sprintf("%s %s %s -> %s", []string{":", ";"}[min(i, 1)], stem(f.Field), cell(s.nameOfRef(ctx, known, f.Field, f.From)), cell(s.nameOfRef(ctx, known, f.Field, f.To)))
			}
		case v1.EventCreated:
			line += ": " + cell(s.essence(ctx, known, c.Resource))
		}
		lines = append(lines, clean(line))
	}
	for _, r := range p.Routers {
		line := "router " + r.Name
		if len(r.Actions) > 0 {
			line += ": " + strings.Join(r.Actions, ", ")
		}
		if r.Error != "" {
			line += ": cannot be planned: " + r.Error
		}
		lines = append(lines, clean(line))
		for _, row := range r.Rows {
			lines = append(lines, "  "+clean(row))
		}
	}
	return lines
}

// stem is a field without the end that says that it holds UUIDs, if its names
// are shown.
func stem(field string) string {
	if references[field] == "" {
		return field
	}
	return strings.TrimSuffix(strings.TrimSuffix(field, "s"), "Uuid")
}

// nameOfRef is the name behind a field's UUID, if it is one and has one.
func (s *session) nameOfRef(ctx context.Context, known map[string]map[string]string, field string, v any) any {
	noun := references[field]
	if noun == "" || v == nil {
		return v
	}
	if known[noun] == nil {
		known[noun] = s.namesOf(ctx, noun)
	}
	return nameIn(known[noun], v)
}

// essence is a new object without what says nothing yet.
func (s *session) essence(ctx context.Context, known map[string]map[string]string, v any) any {
	o, ok := brief(v).(object)
	if !ok {
		return v
	}
	out := object{}
	for key, value := range o {
		if slices.Contains([]string{"uuid", "name"}, key) || cell(value) == "-" || cell(value) == "" {
			continue
		}
		if inner, ok := value.([]any); ok {
			list := make([]any, len(inner))
			for i := range inner {
				list[i] = s.essence(ctx, known, inner[i])
			}
			value = list
		}
		out[stem(key)] = s.nameOfRef(ctx, known, key, value)
	}
	return out
}
