package kerneltest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// setPolicy reads the lines of iptables-restore that the data plane writes.
func (f *Fake) setPolicy(s dataplane.SetPolicy) error {
	for _, t := range s {
		if err := f.setTable(t); err != nil {
			return fmt.Errorf("table %s: %w", t.Table, err)
		}
	}
	return nil
}

func (f *Fake) setTable(s dataplane.TableChange) error {
	for _, line := range s.Lines {
		words := strings.Fields(line)
		if len(words) < 2 {
			return fmt.Errorf("line %q", line)
		}
		if err := f.policyLine(s.Table, words, line); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
	return nil
}

func (f *Fake) policyLine(table string, words []string, line string) error {
	id := dataplane.ChainID{Table: table, Chain: words[1]}
	if name, ok := strings.CutPrefix(words[0], ":"); ok {
		return f.declare(dataplane.ChainID{Table: table, Chain: name}, words[1])
	}
	switch words[0] {
	case "-A":
		if _, ok := f.State.Chains[id]; !ok {
			return fmt.Errorf("no chain %s", id.Chain)
		}
		f.State.Chains[id] = append(slices.Clone(f.State.Chains[id]), strings.TrimPrefix(line, "-A "+id.Chain+" "))
		return nil
	case "-I":
		return f.jump(id, words[len(words)-1], 1)
	case "-D":
		return f.jump(id, words[len(words)-1], -1)
	case "-F":
		f.State.Chains[id] = nil
		return nil
	case "-X":
		delete(f.State.Chains, id)
		return nil
	}
	return fmt.Errorf("unknown command %s", words[0])
}

func (f *Fake) declare(id dataplane.ChainID, policy string) error {
	b, builtin := f.State.Builtins[id]
	switch {
	case builtin && policy != "-":
		b.Policy = policy
		f.State.Builtins[id] = b
	case builtin || policy != "-":
		return fmt.Errorf("policy %s for chain %s", policy, id.Chain)
	default:
		f.State.Chains[id] = nil
	}
	return nil
}

func (f *Fake) jump(id dataplane.ChainID, target string, by int) error {
	b, ok := f.State.Builtins[id]
	if _, exists := f.State.Chains[dataplane.ChainID{Table: id.Table, Chain: target}]; !ok || !exists {
		return fmt.Errorf("jump from %s to %s: no such chain", id.Chain, target)
	}
	if b.Jumps+by < 0 {
		return fmt.Errorf("no jump from %s to %s", id.Chain, target)
	}
	b.Jumps += by
	f.State.Builtins[id] = b
	return nil
}

func (f *Fake) setMappings(s dataplane.SetMappings) error {
	if s.Rebuild {
		f.State.Layout, f.State.Mappings = true, dataplane.NewElements()
		maps.DeleteFunc(f.State.Chains, func(id dataplane.ChainID, _ []string) bool { return id.Table == dataplane.TableName })
	}
	if !f.State.Layout {
		return fmt.Errorf("no table")
	}
	if err := f.flowtable(s); err != nil {
		return err
	}
	f.State.ChangeChains(s)
	m, d, a := f.State.Mappings, s.Del, s.Add
	return cmp.Or(
		exchange(m.Public, d.Public, a.Public), exchange(m.Guests, d.Guests, a.Guests),
		exchange(m.Inbound, d.Inbound, a.Inbound), exchange(m.Outbound, d.Outbound, a.Outbound),
		exchange(m.Ways, d.Ways, a.Ways), exchange(m.Forward, d.Forward, a.Forward), exchange(m.Limited, d.Limited, a.Limited),
		exchange(m.Grants, d.Grants, a.Grants),
	)
}

// flowtable refuses to remove one that a rule speaks of, and one of nics that
// are not there.
func (f *Fake) flowtable(s dataplane.SetMappings) error {
	const name = dataplane.FlowtableName
	if _, rules := s.Chains["forward"]; slices.Contains(s.Gone, name) && !rules && !slices.Contains(s.Gone, "forward") {
		return errors.New("flowtable: device or resource busy")
	}
	for _, text := range s.Chains[name] {
		links, ok := dataplane.FlowtableLinks(text)
		if !ok {
			return fmt.Errorf("flowtable: no devices: %q", text)
		}
		for _, link := range links {
			if _, ok := f.State.Links[link]; !ok || !f.Offloading {
				return fmt.Errorf("flowtable: no such file: %s", link)
			}
		}
	}
	return nil
}

func exchange[K, V comparable](m, del, add map[K]V) error {
	for k := range del {
		if _, ok := m[k]; !ok {
			return fmt.Errorf("delete %s: no such element", entry(k))
		}
		delete(m, k)
	}
	for k, v := range add {
		if old, ok := m[k]; ok && old != v {
			return fmt.Errorf("add %s: file exists", entry(k))
		}
		m[k] = v
	}
	return nil
}

// entry names an element by its key.
func entry(key any) string {
	if at, ok := key.(dataplane.Endpoint); ok {
		return netip.AddrPortFrom(at.Addr, at.Port).String()
	}
	return fmt.Sprint(key)
}
