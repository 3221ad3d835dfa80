package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// entry is one object of a topology file: a noun and what is said about it,
// in the words of the flags of create.
type entry struct {
	noun *noun
	name string
	said object
	line int
}

// extraKeys are what an entry may say beyond the flags of create.
var extraKeys = map[string][]string{
	"l2-network":  {"clusters"},
	"l3-network":  {"cidr", "gateway", "services"},
	"vm-instance": {"nics", "state"},
}

// parseTopology reads a list of one-key maps, in the order in which they are
// to be made, and refuses every word that it does not know.
func parseTopology(b []byte) ([]entry, error) {
	var nodes []map[string]yaml.Node
	if err := yaml.Unmarshal(b, &nodes); err != nil {
		return nil, fmt.Errorf("want a list such as `- zone: {name: demo}`: %w", err)
	}
	var out []entry
	for _, m := range nodes {
		if len(m) != 1 {
			return nil, fmt.Errorf("an entry has %d nouns; write each as an item of its own", len(m))
		}
		for key, node := range m {
			e, err := parseEntry(key, node)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", node.Line, err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func parseEntry(key string, node yaml.Node) (entry, error) {
	n := nounByName(key)
	if n == nil {
		return entry{}, fmt.Errorf("%q is no noun; see `sluice --help`", key)
	}
	e := entry{noun: n, said: object{}, line: node.Line}
	if err := node.Decode(&e.said); err != nil {
		return e, err
	}
	name, ok := e.said["name"].(string)
	if !ok || name == "" {
		return e, fmt.Errorf("%s without a name", key)
	}
	e.name = name
	for word := range e.said {
		known := word == "name" || word == "description" || word == "tags" || slices.Contains(extraKeys[n.name], word) ||
			slices.ContainsFunc(n.fields, func(f field) bool { return f.flag == word })
		if !known {
			return e, fmt.Errorf("%s %s: %q is not known; known are %s", key, name, word, strings.Join(knownWords(n), ", "))
		}
	}
	return e, nil
}

func knownWords(n *noun) []string {
	words := []string{"name", "description", "tags"}
	for _, f := range n.fields {
		words = append(words, f.flag)
	}
	return append(words, extraKeys[n.name]...)
}

// body is the create request of an entry, names resolved.
func (s *session) body(ctx context.Context, e entry) (object, error) {
	body := object{"name": e.name}
	for _, f := range e.noun.fields {
		said, ok := e.said[f.flag]
		if !ok {
			continue
		}
		if f.ref == "" {
			body[f.json] = said
			continue
		}
		id, err := s.resolve(ctx, nounByName(f.ref), fmt.Sprint(said))
		if err != nil {
			return nil, err
		}
		body[f.json] = id
	}
	if d, ok := e.said["description"]; ok {
		body["description"] = d
	}
	if tags, ok := e.said["tags"]; ok {
		body["systemTags"] = tags
	}
	return body, nil
}

// words is a list of strings said under a key.
func (e entry) words(key string) []string {
	var out []string
	items, _ := e.said[key].([]any)
	for _, item := range items {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

// nicSpecs are the nics of a VM in the form of --nic.
func (e entry) nicSpecs() []string {
	var out []string
	items, _ := e.said["nics"].([]any)
	for _, item := range items {
		m, ok := item.(object)
		if !ok {
			out = append(out, fmt.Sprint(item))
			continue
		}
		var parts []string
		for _, key := range []string{"l3", "ip", "mac"} {
			if v, ok := m[key]; ok {
				parts = append(parts, key+"="+fmt.Sprint(v))
			}
		}
		out = append(out, strings.Join(parts, ","))
	}
	return out
}
