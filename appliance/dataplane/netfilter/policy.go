package netfilter

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// observePolicy reads all tables with one process: in a small emulated VM each
// costs 100 ms, and one a table would be the larger part of an apply.
func (d *Door) observePolicy(ctx context.Context, s *dataplane.State) error {
	out, err := exec.CommandContext(ctx, "iptables-save").Output()
	if err != nil {
		return fmt.Errorf("iptables-save: %w", err)
	}
	parse(s, string(out))
	return nil
}

// parse reads what iptables-save prints: *table, :CHAIN POLICY [counters] with
// - as the policy of chains that are not built in, then the rules.
func parse(s *dataplane.State, saved string) {
	hooks, table := dataplane.Hooks(), ""
	s.Builtins = map[dataplane.ChainID]dataplane.Builtin{}
	s.Chains = map[dataplane.ChainID][]string{}
	for id, target := range hooks { // where nobody made the table yet, it is not printed
		s.Builtins[id] = dataplane.Builtin{Target: target}
	}
	for line := range strings.Lines(saved) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "*"); ok {
			table = name
			continue
		}
		if declared, ok := strings.CutPrefix(line, ":"); ok {
			parseChain(s, hooks, table, declared)
			continue
		}
		words := strings.SplitN(line, " ", 3)
		if len(words) < 3 || words[0] != "-A" || !slices.Contains(dataplane.Tables, table) {
			continue
		}
		id := dataplane.ChainID{Table: table, Chain: words[1]}
		target, hooked := hooks[id]
		switch {
		case strings.HasPrefix(id.Chain, dataplane.ChainPrefix):
			s.Chains[id] = append(s.Chains[id], words[2])
		case hooked && words[2] == "-j "+target:
			b := s.Builtins[id]
			b.Jumps++
			s.Builtins[id] = b
		}
	}
}

func parseChain(s *dataplane.State, hooks map[dataplane.ChainID]string, table, declared string) {
	words := strings.Fields(declared)
	if len(words) < 2 || !slices.Contains(dataplane.Tables, table) {
		return
	}
	id := dataplane.ChainID{Table: table, Chain: words[0]}
	if _, hooked := hooks[id]; hooked {
		b := s.Builtins[id]
		b.Policy = words[1]
		s.Builtins[id] = b
	} else if strings.HasPrefix(id.Chain, dataplane.ChainPrefix) {
		s.Chains[id] = nil
	}
}

// SetPolicy changes tables, each in one transaction; a table that is refused
// is not changed, and the error has the line.
func (d *Door) SetPolicy(ctx context.Context, s dataplane.SetPolicy) error {
	var in bytes.Buffer
	for _, t := range s {
		fmt.Fprintf(&in, "*%s\n", t.Table)
		for _, line := range t.Lines {
			if strings.Contains(line, "--random-fully") {
				if err := d.probe(); err != nil {
					return err
				}
			}
			fmt.Fprintln(&in, line)
		}
		fmt.Fprintln(&in, "COMMIT")
	}
	return d.conns.do(func(c *nftables.Conn) error {
		before, err := generation(c)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait")
		cmd.Stdin = &in
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables-restore: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return d.changedPolicy(c, before, len(s))
	})
}
