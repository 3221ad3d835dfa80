package netfilter

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"golang.org/x/sys/unix"
)

const flowtable = dataplane.FlowtableName

var idFlowtable = dataplane.ChainID{Table: tableName, Chain: flowtable}

func (l layout) flowtable(text string) (*nftables.Flowtable, error) {
	links, ok := dataplane.FlowtableLinks(text)
	if !ok {
		return nil, fmt.Errorf("flowtable %s: no devices: %q", flowtable, text)
	}
	return &nftables.Flowtable{Table: l.table, Name: flowtable, Hooknum: nftables.FlowtableHookIngress,
		Priority: nftables.FlowtablePriorityFilter, Devices: links}, nil
}

// changeFlowtable puts the flowtable in the transaction that follows, before the
// chain forward gets its rules. A flowtable that rules speak of stays, so they
// go first.
func (l layout) changeFlowtable(c *nftables.Conn, s dataplane.SetMappings) (messages uint32, err error) {
	if slices.Contains(s.Gone, flowtable) {
		c.FlushChain(&nftables.Chain{Name: "forward", Table: l.table})
		c.DelFlowtable(&nftables.Flowtable{Table: l.table, Name: flowtable})
		messages += 2
	}
	for _, text := range s.Chains[flowtable] {
		f, err := l.flowtable(text)
		if err != nil {
			return 0, err
		}
		c.AddFlowtable(f)
		messages++
	}
	return messages, nil
}

// readFlowtable adds the flowtable, if there is one. One of another name is as
// nothing: no rule of ours puts connections in.
func (l layout) readFlowtable(c *nftables.Conn, chains map[dataplane.ChainID][]string) error {
	all, err := c.ListFlowtables(l.table)
	if err != nil {
		return fmt.Errorf("read flowtables: %w", err)
	}
	for _, f := range all {
		if f.Name != flowtable {
			continue
		}
		slices.Sort(f.Devices)
		text := dataplane.FlowtableText(f.Devices)
		if *f.Hooknum != *nftables.FlowtableHookIngress || *f.Priority != *nftables.FlowtablePriorityFilter || f.Flags != 0 {
			text = foreign
		}
		chains[idFlowtable] = []string{text}
	}
	return nil
}

// ForgetFlowtable makes the next Observe read the flowtable.
func (d *Door) ForgetFlowtable() { d.stale = true }

// refreshFlowtable reads what changes without a transaction.
func (d *Door) refreshFlowtable(c *nftables.Conn) error {
	s := d.mappings.state
	was, exists := s.Chains[idFlowtable]
	if !d.stale || !exists {
		return nil
	}
	delete(s.Chains, idFlowtable)
	if err := newLayout().readFlowtable(c, s.Chains); err != nil {
		return err
	}
	if !slices.Equal(was, s.Chains[idFlowtable]) {
		d.reads++
	}
	d.stale = false
	return nil
}

// Flowtables is whether the kernel has flowtables: it is offered one, once, with
// a rule that uses it, in a transaction that it refuses in any case. So nothing
// changes, nor does the generation; and why it refuses tells.
func (d *Door) Flowtables() bool {
	if d.flowtables == nil {
		has := errors.Is(d.conns.do(offer), unix.EBUSY)
		d.flowtables = &has
	}
	return *d.flowtables
}

// offer ends with the removal of a flowtable that is in use, or fails before.
func offer(c *nftables.Conn) error {
	t := c.AddTable(&nftables.Table{Name: tableName + "-offer", Family: nftables.TableFamilyIPv4})
	f := c.AddFlowtable(&nftables.Flowtable{Table: t, Name: flowtable})
	forward := c.AddChain(&nftables.Chain{Name: "forward", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: t, Chain: forward, Exprs: []expr.Any{&expr.FlowOffload{Name: f.Name}}})
	c.DelFlowtable(f)
	return c.Flush()
}
