package netfilter

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// wholeTable in the place of a chain makes go-iptables' List print all chains
// of a table: -S with a flag behind it instead of a name. One process a table
// instead of one a chain: in a small emulated VM each takes 50 ms.
const wholeTable = "--wait"

func (d *Door) observePolicy(ctx context.Context, s *dataplane.State) error {
	s.Builtins = map[dataplane.ChainID]dataplane.Builtin{}
	s.Chains = map[dataplane.ChainID][]string{}
	for _, table := range dataplane.Tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		lines, err := d.ipt.List(table, wholeTable)
		if err != nil {
			return fmt.Errorf("list table %s: %w", table, err)
		}
		parse(s, table, lines)
	}
	return nil
}

// parse reads what iptables -S prints: -P for built-in chains, -N for others,
// then their rules.
func parse(s *dataplane.State, table string, lines []string) {
	hooks := dataplane.Hooks()
	for id, target := range hooks {
		if id.Table == table { // where nobody made the table yet, it is not printed
			s.Builtins[id] = dataplane.Builtin{Target: target}
		}
	}
	for _, line := range lines {
		words := strings.SplitN(line, " ", 3)
		if len(words) < 2 {
			continue
		}
		id := dataplane.ChainID{Table: table, Chain: words[1]}
		target, hooked := hooks[id]
		ours := strings.HasPrefix(id.Chain, dataplane.ChainPrefix)
		b := s.Builtins[id]
		switch {
		case words[0] == "-N" && ours:
			s.Chains[id] = nil
		case words[0] == "-A" && ours && len(words) == 3:
			s.Chains[id] = append(s.Chains[id], words[2])
		case words[0] == "-P" && hooked && len(words) == 3:
			b.Policy = words[2]
			s.Builtins[id] = b
		case words[0] == "-A" && hooked && words[2] == "-j "+target:
			b.Jumps++
			s.Builtins[id] = b
		}
	}
}

// SetPolicy changes one table in one transaction; refused, it changes nothing,
// and the error has the line.
func (d *Door) SetPolicy(ctx context.Context, s dataplane.SetPolicy) error {
	var in bytes.Buffer
	fmt.Fprintf(&in, "*%s\n", s.Table)
	for _, line := range s.Lines {
		fmt.Fprintln(&in, line)
	}
	fmt.Fprintln(&in, "COMMIT")
	cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait")
	cmd.Stdin = &in
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
