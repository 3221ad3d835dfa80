package libvirt

import (
	"context"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// callConnections x inFlight calls run at once on a host; more wait here, where
// they can be given up, instead of in libvirtd, where they cannot.
const callConnections = 2

// callPool spreads calls over a few connections and replaces dead ones.
type callPool struct {
	to      target
	timeout time.Duration

	mu     sync.Mutex
	next   int
	closed bool
	lanes  [callConnections]lane
}

// lane is a place for one connection; its mutex is held while dialling, so that
// callers wait for one attempt instead of making their own.
type lane struct {
	dialling chan struct{} // holds one token
	link     *link
}

func newCallPool(to target, timeout time.Duration) *callPool {
	p := &callPool{to: to, timeout: timeout}
	for i := range p.lanes {
		p.lanes[i].dialling = make(chan struct{}, 1)
	}
	return p
}

// call runs fn on some living connection.
func (p *callPool) call(ctx context.Context, name string, fn func(*golibvirt.Libvirt) error) error {
	return p.callWithin(ctx, name, p.timeout, fn)
}

func (p *callPool) callWithin(ctx context.Context, name string, timeout time.Duration, fn func(*golibvirt.Libvirt) error) error {
	l, err := p.take(ctx)
	if err != nil {
		return err
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.net.done:
		return p.to.unreachable(name, net.ErrClosed)
	}
	return l.do(ctx, name, timeout, func(lv *golibvirt.Libvirt) error {
		defer func() { <-l.slots }()
		return fn(lv)
	})
}

func (p *callPool) take(ctx context.Context) (*link, error) {
	p.mu.Lock()
	at := &p.lanes[p.next%callConnections]
	p.next++
	p.mu.Unlock()

	select {
	case at.dialling <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-at.dialling }()
	if l := p.living(at); l != nil {
		return l, nil
	}
	l, err := connect(ctx, p.to, p.timeout)
	if err != nil {
		return nil, err
	}
	return l, p.keep(at, l)
}

func (p *callPool) living(at *lane) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.link != nil && !at.link.net.dead() {
		return at.link
	}
	return nil
}

func (p *callPool) keep(at *lane, l *link) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.net.Close()
		return net.ErrClosed
	}
	at.link = l
	return nil
}

func (p *callPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for i := range p.lanes {
		if l := p.lanes[i].link; l != nil {
			l.net.Close()
		}
	}
}

// ask is call for what returns a value. The value travels with the answer, since
// a call given up may still be writing when its caller has gone on.
func ask[T any](ctx context.Context, p *callPool, name string, fn func(*golibvirt.Libvirt) (T, error)) (T, error) {
	answer := make(chan T, 1)
	err := p.call(ctx, name, func(lv *golibvirt.Libvirt) error {
		v, err := fn(lv)
		answer <- v
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return <-answer, nil
}
