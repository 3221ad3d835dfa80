package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// CheckTopology tells what is wrong about a file for apply, as far as that can
// be told without a server.
func CheckTopology(b []byte) error {
	_, err := parseTopology(b)
	return err
}

// parseTopology reads a list of one-key maps, in the order in which they are
// to be made, and refuses every word that it does not know. Errors name the
// line.
func parseTopology(b []byte) ([]entry, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var out []entry
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: ")) // names the line itself
		}
		entries, err := parseDocument(doc.Content[0])
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	if len(out) == 0 {
		return nil, errors.New("line 1: there is nothing in it; want a list such as `- zone: {name: demo}`")
	}
	return out, checkTwice(out)
}

// checkTwice: a name finds an object again, so it can stand for one only.
func checkTwice(entries []entry) error {
	seen := map[string]int{}
	for _, e := range entries {
		key := e.noun.name + "/" + e.name
		if line, ok := seen[key]; ok {
			return atLine(e.line, "%s %s stands in line %d already", e.noun.name, e.name, line)
		}
		seen[key] = e.line
	}
	return nil
}

func atLine(line int, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...))
}

func parseDocument(list *yaml.Node) ([]entry, error) {
	if list.Kind != yaml.SequenceNode {
		return nil, atLine(list.Line, "want a list such as `- zone: {name: demo}`")
	}
	var out []entry
	for _, item := range list.Content {
		if item.Kind != yaml.MappingNode || len(item.Content) != 2 {
			return nil, atLine(item.Line, "want one noun with its words, such as `- zone: {name: demo}`")
		}
		e, err := parseEntry(item.Content[0].Value, item.Content[1])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func parseEntry(key string, node *yaml.Node) (entry, error) {
	n := nounByName(key)
	if n == nil {
		return entry{}, atLine(node.Line, "%q is no noun; see `sluice apply --help`", key)
	}
	if n.derived {
		return entry{}, atLine(node.Line, "%s: the server makes these by itself", key)
	}
	if n.apart {
		return entry{}, atLine(node.Line, "%s: is no part of a topology; use `sluice %s create`", key, key)
	}
	if node.Kind != yaml.MappingNode {
		return entry{}, atLine(node.Line, "%s: want words such as {name: demo}", key)
	}
	value, err := plain(node)
	if err != nil {
		return entry{}, err
	}
	e := entry{noun: n, said: value.(object), line: node.Line}
	if e.name = e.text("name"); e.name == "" {
		return e, atLine(node.Line, "%s without a name", key)
	}
	known := knownWords(n)
	for i := 0; i < len(node.Content); i += 2 {
		if word := node.Content[i]; !slices.Contains(known, word.Value) {
			return e, atLine(word.Line, "%s %s: %q is not known; known are %s", key, e.name, word.Value, strings.Join(known, ", "))
		}
	}
	if err := e.check(); err != nil {
		return e, atLine(node.Line, "%s %s: %w", key, e.name, err)
	}
	return e, nil
}

// plain is a value with every scalar as the text that stands in the file: what
// is a number is the field's affair, and 010 or 1e3 may be a name.
func plain(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.ShortTag() == "!!null" {
			return nil, atLine(node.Line, "a word without a value; leave it out, or write \"\"")
		}
		return node.Value, nil
	case yaml.SequenceNode:
		items := make([]any, 0, len(node.Content))
		for _, c := range node.Content {
			item, err := plain(c)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		return items, nil
	case yaml.MappingNode:
		return plainMap(node)
	}
	return nil, atLine(node.Line, "anchors and aliases are not for topologies; write the value out")
}

func plainMap(node *yaml.Node) (object, error) {
	o := object{}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if _, twice := o[key.Value]; twice {
			return nil, atLine(key.Line, "%q is said twice", key.Value)
		}
		value, err := plain(node.Content[i+1])
		if err != nil {
			return nil, err
		}
		o[key.Value] = value
	}
	return o, nil
}

func knownWords(n *noun) []string {
	words := []string{"name", "description", "tags"}
	for _, f := range n.fields {
		words = append(words, f.flag)
	}
	return append(words, extraWords[n.name]...)
}
