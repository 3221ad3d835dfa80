package netfilter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// part is elements of one set that go in one message: a netlink attribute holds
// 64 KiB. There is no such limit for a transaction, which the kernel takes as a
// whole from one buffer of the size it needs.
type part struct {
	set      *nftables.Set
	remove   bool
	elements []nftables.SetElement
}

// partSize keeps a message of the largest elements below its limit.
const partSize = 500

// parts are a change's messages. Removals come first, so that what is changed
// is not there twice.
func (l layout) parts(s dataplane.SetMappings) []part {
	var all []part
	for _, remove := range []bool{true, false} {
		e := s.Add
		if remove {
			e = s.Del
		}
		for _, set := range l.sets {
			all = append(all, part{set, remove, encode(set.Name, e)}.split(partSize)...)
		}
	}
	gone := unmetered(s)
	for _, set := range l.sets { // added first: removing what is not there would be refused
		all = append(all, part{set, false, gone[set.Name]}.split(partSize)...)
		all = append(all, part{set, true, gone[set.Name]}.split(partSize)...)
	}
	return all
}

// split makes parts of at most size elements. A set of intervals has two an
// entry, which belong together.
func (p part) split(size int) []part {
	if p.paired() {
		size *= 2
	}
	var all []part
	for rest := p.elements; len(rest) > 0; {
		n := min(size, len(rest))
		all = append(all, part{p.set, p.remove, rest[:n]})
		rest = rest[n:]
	}
	return all
}

// paired is whether an entry is a start and an end; a concatenation has both in
// one element.
func (p part) paired() bool { return p.set.Interval && !p.set.Concatenation }

func (p part) entries() int {
	if p.paired() {
		return len(p.elements) / 2
	}
	return len(p.elements)
}

// String is of the only entry.
func (p part) String() string {
	verb := "add"
	if p.remove {
		verb = "delete"
	}
	e := dataplane.NewElements()
	if err := decode(p.set.Name, p.elements, &e); err != nil {
		return fmt.Sprintf("%s element of %s", verb, p.set.Name)
	}
	return verb + " " + strings.TrimSuffix(e.String(), "\n")
}

// transaction is what is committed together.
type transaction struct {
	layout layout
	change dataplane.SetMappings
	parts  []part
}

func (t transaction) commit(c *nftables.Conn) error {
	if t.change.Rebuild {
		t.layout.rebuild(c)
	}
	if _, err := t.layout.change(c, t.change); err != nil {
		return err
	}
	for _, p := range t.parts {
		queue := c.SetAddElements
		if p.remove {
			queue = c.SetDeleteElements
		}
		if err := queue(p.set, p.elements); err != nil {
			return fmt.Errorf("encode %d elements of %s: %w", len(p.elements), p.set.Name, err)
		}
	}
	return c.Flush()
}

// blame finds which entry the kernel refuses: it commits once more, and then
// with the part that was refused in single entries. cause is returned with the
// entry's name, or alone where no entry is to blame; nil means that the kernel
// has taken all of it now.
func (t transaction) blame(ctx context.Context, cause error) error {
	for ctx.Err() == nil {
		i, err := t.refused()
		switch {
		case err == nil:
			return nil
		case i < 0:
			return err
		case t.parts[i].entries() == 1:
			return fmt.Errorf("%s: %w", t.parts[i], err)
		}
		// All that is before it was taken: only the refused part is parted.
		parts := append([]part(nil), t.parts[:i]...)
		parts = append(parts, t.parts[i].split(1)...)
		t.parts = append(parts, t.parts[i+1:]...)
	}
	return cause
}

// refused commits and returns the first part that was refused; below zero: none
// in particular. An answer has a sequence number, and a connection counts on
// from one transaction to the next; what it begins with is learned from a
// transaction that cannot succeed.
func (t transaction) refused() (int, error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return -1, fmt.Errorf("connect to nftables: %w", err)
	}
	defer func() { _ = c.CloseLasting() }()
	c.DelTable(&nftables.Table{Name: tableName + "-none", Family: t.layout.table.Family})
	zero, ok := sequence(c.Flush())
	if !ok {
		return -1, errors.New("nothing is refused")
	}
	// After the removal comes the end of its transaction, then the next one's
	// beginning and the messages of the layout.
	first := zero + 3
	if t.change.Rebuild {
		first += t.layout.messages()
	}
	chains, err := t.layout.change(new(nftables.Conn), t.change)
	if err != nil {
		return -1, err
	}
	first += chains
	err = t.commit(c)
	at, ok := sequence(err)
	if i := int(at) - int(first); ok && i >= 0 && i < len(t.parts) {
		return i, err
	}
	return -1, err
}

func sequence(err error) (uint32, bool) {
	var refused *netlink.OpError
	if !errors.As(err, &refused) {
		return 0, false
	}
	return refused.Sequence, true
}
