package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// A file for apply is understood or refused, in few words; what is understood
// has names and nouns.
func FuzzTopology(f *testing.F) {
	for _, s := range []string{
		"- zone: {name: lab}\n", "- zone: {name: 010}\n", "- zone: {name: a, name: b}\n", "- zone:\n", "- [", "- &a [*a]\n", "a: b", "", "- zone: {name: \"a\\nb\"}\n",
		"- vm-instance: {name: v, nics: [{l3: g, ip: ::ffff:10.0.0.1}]}\n", "- vm-instance: {name: v, nics: [g], state: 1e400}\n", "- moon: {name: m}\n", "- zone: {name: z}\n  cluster: {name: c}\n",
		"- l3-network: {name: g, l2: t, cidr: 0.0.0.0/0, services: [magic]}\n", "- zone: {name: " + strings.Repeat("n", 10_000) + "}\n", strings.Repeat("- ", 5000), "- zone: !!binary aGk=\n", "---\n- zone: {name: a}\n---\n- zone: {name: b}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseTopology(b)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.noun == nil || e.name == "" || e.line < 1 {
				t.Fatalf("%q is understood as %+v", b, e)
			}
		}
	})
}

// A configuration is refused, or has only settings that there are, each of one
// line of the file.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"server: x\n", "server: [a, b]\n", "server: {a: b}\n", "sever: x\n", "server: x\nserver: y\n", "? [a]\n: b\n", "", "-", "server: &a\n  - *a\n", "server: !!binary aGk=\n"} {
		f.Add([]byte(s))
	}
	known := map[string]*pflag.Flag{"server": {Name: "server"}, "etcd": {Name: "etcd"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := parseConfig(b, known)
		if err != nil {
			return
		}
		for name, node := range values {
			if known[name] == nil || node.Kind != yaml.ScalarNode && node.Kind != yaml.SequenceNode {
				t.Fatalf("%q has %q", b, name)
			}
			scalars(node)
		}
	})
}
