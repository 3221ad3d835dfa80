package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// schema is what the server says of a field that changes.
type schema struct {
	// Type is one JSON type, or that and "null".
	Type  any
	Items *schema
}

func (c schema) is(kind string) bool {
	types, several := c.Type.([]any)
	return c.Type == kind || several && slices.Contains(types, any(kind))
}

// changeable are the fields of a noun that change: the server's own
// description of PATCH says so.
func (s *session) changeable(ctx context.Context, n *noun) (map[string]schema, error) {
	var api struct {
		Paths map[string]struct {
			Patch struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct{ Properties map[string]schema }
					}
				}
			}
		}
	}
	if err := s.api.Do(ctx, http.MethodGet, "/openapi.json", nil, &api); err != nil {
		return nil, err
	}
	fields := api.Paths["/v1/"+n.path+"/{uuid}"].Patch.RequestBody.Content["application/json"].Schema.Properties
	if len(fields) == 0 {
		return nil, fmt.Errorf("the server at %s does not say what changes of a %s; is it of this version? see `sluice version`", s.server, n.name)
	}
	return fields, nil
}

func (s *session) updateCommand(n *noun) *cobra.Command {
	words := []string{"name", "description", "state"}
	cmd := &cobra.Command{
		Use: "update NAME|UUID [FIELD=VALUE...]", Short: "change fields of it", Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(n),
		Long: `update changes the fields that edit shows, by the names that -o json has. A list
of texts may be given with commas, other lists and objects as YAML or JSON;
nothing after the = takes a field away.`,
		Example: "  sluice " + n.name + " update NAME name=other 'description=words for people'",
		RunE: func(cmd *cobra.Command, args []string) error {
			said := map[string]string{}
			for _, word := range words {
				if f := cmd.Flags().Lookup(word); f.Changed {
					said[word] = f.Value.String()
				}
			}
			for _, arg := range args[1:] {
				field, value, ok := strings.Cut(arg, "=")
				if _, twice := said[field]; !ok || field == "" || twice {
					return usagef("%s: %q: want FIELD=VALUE, each field once", cmd.CommandPath(), arg)
				}
				said[field] = value
			}
			if len(said) == 0 {
				return usagef("%s: say what to change, as FIELD=VALUE or with --name, --description or --state", cmd.CommandPath())
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			body, err := s.patch(cmd.Context(), n, said)
			if err != nil {
				return err
			}
			if !s.dryRun {
				path += n.settled()
			}
			return s.call(cmd, n, http.MethodPatch, path, body)
		},
	}
	cmd.Flags().String("name", "", "another name")
	cmd.Flags().String("description", "", "words for people")
	cmd.Flags().String("state", "", "Enabled or Disabled; hosts also Maintenance")
	return cmd
}

// patch is what PATCH wants of what was said about a noun.
func (s *session) patch(ctx context.Context, n *noun, said map[string]string) (object, error) {
	fields, err := s.changeable(ctx, n)
	if err != nil {
		return nil, err
	}
	body := object{}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		value := said[name]
		i := slices.IndexFunc(n.fields, func(f field) bool { return f.json == name && f.ref != "" })
		if c, known := fields[name]; i >= 0 && known {
			body[name], err = s.resolve(ctx, nounByName(n.fields[i].ref), value)
		} else {
			body[name], err = c.value(value) // the server says that it does not know a field
		}
		if err != nil {
			return nil, fmt.Errorf("%s of a %s: %w", name, n.name, err)
		}
	}
	return body, nil
}

// value is a text as JSON wants it. No text is null, but for a text that has to
// be there: the server refuses that with its own words.
func (c schema) value(text string) (any, error) {
	switch {
	case text == "" && !c.is("string"), text == "" && c.is("null"):
		return nil, nil
	case c.Type == nil || c.is("string"):
		return text, nil
	case c.is("array") && c.Items != nil && c.Items.is("string") && !strings.HasPrefix(text, "["):
		return strings.Split(text, ","), nil
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, fmt.Errorf("read %q: %w", text, err)
	}
	return value, nil
}
