package netfilter

import (
	"context"
	"fmt"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// connect makes a connection in the network namespace of the calling thread.
func connect() (*nftables.Conn, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("connect to nftables: %w", err)
	}
	return c, nil
}

func observeMappings(c *nftables.Conn, s *dataplane.State) error {
	l := newLayout()
	s.Mappings = dataplane.NewElements()
	ok, err := l.stands(c)
	if !ok || err != nil {
		return err
	}
	for _, set := range l.sets {
		elements, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("read set %s: %w", set.Name, err)
		}
		if decode(set.Name, elements, &s.Mappings) != nil {
			s.Mappings = dataplane.NewElements()
			return nil // a stranger was here: not our layout, made anew
		}
	}
	s.Layout = true
	return nil
}

// SetMappings changes the table in transactions of BatchSize elements; almost
// always that is one. A changed element's removal and addition are never parted.
func (d *Door) SetMappings(ctx context.Context, s dataplane.SetMappings) error {
	c, err := connect()
	if err != nil {
		return err
	}
	w := writer{Conn: c, ctx: ctx}
	l := newLayout()
	if s.Rebuild {
		l.rebuild(c)
	}
	for _, set := range l.sets {
		for _, b := range batches(encode(set.Name, s.Del), encode(set.Name, s.Add), set.Interval) {
			if err := w.write(set, b); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return d.changed(c, w.transactions)
}

// writer gathers batches into transactions.
type writer struct {
	*nftables.Conn
	ctx          context.Context
	queued       int
	transactions uint32
}

func (w *writer) write(set *nftables.Set, b batch) error {
	if w.queued > 0 && w.queued+b.size() > dataplane.BatchSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.queued += b.size()
	return b.queue(w.Conn, set)
}

func (w *writer) flush() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("commit to table %s: %w", tableName, err)
	}
	w.queued, w.transactions = 0, w.transactions+1
	return nil
}

// rebuild makes the table anew in the transaction that follows.
func (l layout) rebuild(c *nftables.Conn) {
	c.AddTable(l.table) // so that there is one to delete
	c.DelTable(l.table)
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

// batch is removals and additions that go together.
type batch struct{ del, add []nftables.SetElement }

func (b batch) size() int { return len(b.del) + len(b.add) }

func (b batch) queue(c *nftables.Conn, set *nftables.Set) error {
	if len(b.del) > 0 {
		if err := c.SetDeleteElements(set, b.del); err != nil {
			return fmt.Errorf("encode removal from %s: %w", set.Name, err)
		}
	}
	if len(b.add) > 0 {
		if err := c.SetAddElements(set, b.add); err != nil {
			return fmt.Errorf("encode addition to %s: %w", set.Name, err)
		}
	}
	return nil
}

// batches parts a change so that each part is small, and whole by key. Sets of
// intervals are small and their starts and ends belong together: one part.
func batches(del, add []nftables.SetElement, whole bool) []batch {
	const size = dataplane.BatchSize / 5
	if whole || len(del)+len(add) <= size {
		if len(del)+len(add) == 0 {
			return nil
		}
		return []batch{{del, add}}
	}
	byKey := make(map[string]nftables.SetElement, len(add))
	for _, e := range add {
		byKey[string(e.Key)] = e
	}
	var out []batch
	var b batch
	next := func() {
		if b.size() >= size {
			out, b = append(out, b), batch{}
		}
	}
	for _, e := range del {
		b.del = append(b.del, e)
		if a, ok := byKey[string(e.Key)]; ok {
			b.add = append(b.add, a)
			delete(byKey, string(e.Key))
		}
		next()
	}
	for _, e := range byKey {
		b.add = append(b.add, e)
		next()
	}
	if b.size() > 0 {
		out = append(out, b)
	}
	return out
}
