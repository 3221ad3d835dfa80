package netfilter

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func observeMappings(c *nftables.Conn, s *dataplane.State) error {
	l := newLayout()
	s.Mappings = dataplane.NewElements()
	ok, err := l.stands(c)
	if !ok || err != nil {
		return err
	}
	for _, set := range l.sets {
		if !ours(set) {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("read set %s: %w", set.Name, err)
		}
		if decode(set.Name, elements, &s.Mappings) != nil {
			s.Mappings = dataplane.NewElements()
			return nil // a stranger was here: not our layout, made anew
		}
	}
	if s.Chains, err = l.rules(c); err != nil {
		return err
	}
	s.Layout = true
	return nil
}

// SetMappings changes the table in one transaction, however large: all of it,
// or nothing and an error that names the element that was refused.
func (d *Door) SetMappings(ctx context.Context, s dataplane.SetMappings) error {
	l := newLayout()
	t := transaction{layout: l, change: s, parts: l.parts(s)}
	var refused error
	err := d.conns.do(func(c *nftables.Conn) error {
		before, err := generation(c)
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if refused = t.commit(c); refused != nil {
			return refused
		}
		return d.changed(c, before, s)
	})
	if refused != nil {
		if err := t.blame(ctx, refused); err != nil {
			return fmt.Errorf("commit to table %s: %w", tableName, err)
		}
		d.Forget() // it was taken at the second attempt
		return nil
	}
	return err
}

// rebuild makes the table anew in the transaction that follows.
func (l layout) rebuild(c *nftables.Conn) {
	for _, t := range []*nftables.Table{l.arp, l.table} {
		c.AddTable(t) // so that there is one to delete
		c.DelTable(t)
	}
	c.AddTable(l.table)
	for _, s := range l.sets {
		// An error stays with the connection and comes out of Flush.
		_ = c.AddSet(s, nil)
	}
	for _, ch := range l.chains {
		c.AddChain(ch.Chain)
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: l.table, Chain: ch.Chain, Exprs: r})
		}
	}
}

// messages is how many rebuild takes.
func (l layout) messages() uint32 {
	n := 5 + len(l.sets) + len(l.chains)
	for _, ch := range l.chains {
		n += len(ch.rules)
	}
	return uint32(n)
}
