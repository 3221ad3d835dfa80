package netfilter

import (
	"fmt"
	"sync"

	"github.com/google/nftables"
)

// conns are connections to nftables, for calls beside each other. They stay
// open: when one is closed, the kernel waits for what nftables has still to
// free, a dozen milliseconds after a change of mappings, and everybody's next
// transaction with it (net/netfilter/nf_tables_api.c, nft_rcv_nl_event).
type conns struct {
	mu   sync.Mutex
	free []*nftables.Conn
}

// do calls f with a connection in the network namespace of the thread that was
// the first to need one. After an error nobody knows what is still to be read
// from it, so it is closed.
func (p *conns) do(f func(*nftables.Conn) error) error {
	c, err := p.take()
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		_ = c.CloseLasting()
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
	return nil
}

func (p *conns) take() (*nftables.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c, nil
	}
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("connect to nftables: %w", err)
	}
	return c, nil
}
