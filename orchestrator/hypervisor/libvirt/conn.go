package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

const defaultSocket = "/var/run/libvirt/libvirt-sock"

// target is where and how a host is reached.
type target struct {
	host string // for errors
	addr string // for errors
	uri  golibvirt.ConnectURI
	dial func(ctx context.Context) (net.Conn, error)
}

func parseTarget(c Config) (target, error) {
	u, err := url.Parse(c.URI)
	if err != nil {
		return target{}, fmt.Errorf("%w libvirt uri %q: %w", hypervisor.ErrInvalid, c.URI, err)
	}
	driver := golibvirt.ConnectURI(u.Scheme + "://" + u.Path)
	if c.Dial != nil {
		return target{host: c.Host, addr: c.URI, uri: driver, dial: c.Dial}, nil
	}
	if u.Host != "" || (u.Scheme != "qemu" && u.Scheme != "test") {
		return target{}, fmt.Errorf("%w libvirt uri %q: only local ones such as qemu:///system are dialled without a Dial function", hypervisor.ErrInvalid, c.URI)
	}
	path := u.Query().Get("socket")
	if path == "" {
		path = defaultSocket
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return target{host: c.Host, addr: path, uri: driver, dial: dial}, nil
}

func (t target) unreachable(call string, err error) error {
	return &hypervisor.UnreachableError{Host: t.host, Target: t.addr, Call: call, Err: err}
}

// liveConn knows whether it still lives, which go-libvirt's own Disconnected does
// not reliably tell when a connection dies while being opened.
type liveConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *liveConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.Close()
	}
	return n, err
}

// Write tells of the daemon's death too: a writer may know it before the reader.
func (c *liveConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.Close()
	}
	return n, err
}

// Close may be called any number of times by anyone; go-libvirt skips its own
// cleaning up when it sees an error here.
func (c *liveConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.Conn.Close()
	})
	return nil
}

func (c *liveConn) dead() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// link is one connection to libvirtd. It is never opened again: go-libvirt leaves
// state of the old connection behind.
type link struct {
	net *liveConn
	lv  *golibvirt.Libvirt
	to  target
	// slots: libvirtd works on 5 requests of a connection and lets others wait.
	slots chan struct{}
}

const inFlight = 5

// connect dials and opens within timeout.
func connect(ctx context.Context, to target, timeout time.Duration) (*link, error) {
	dialling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := to.dial(dialling)
	if err != nil {
		return nil, to.unreachable("connect", err)
	}
	nc := &liveConn{Conn: raw, done: make(chan struct{})}
	l := &link{net: nc, lv: golibvirt.NewWithDialer(dialers.NewAlreadyConnected(nc)), to: to, slots: make(chan struct{}, inFlight)}
	err = l.do(ctx, "connect", timeout, func(lv *golibvirt.Libvirt) error { return lv.ConnectToURI(to.uri) })
	if err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

var errNoAnswer = errors.New("no answer")

// do runs one call. When timeout passes, the connection is closed, which is the
// only way to end a call of go-libvirt; when ctx ends sooner, do returns and the
// call is left to its timeout, so that the other calls of the connection go on.
func (l *link) do(ctx context.Context, call string, timeout time.Duration, fn func(*golibvirt.Libvirt) error) error {
	result := make(chan error, 1)
	go func() {
		deadline := time.AfterFunc(timeout, func() { l.net.Close() })
		defer deadline.Stop()
		result <- fn(l.lv)
	}()
	// A second more than the deadline: the call's own end tells more than ours.
	giveUp := time.NewTimer(timeout + time.Second)
	defer giveUp.Stop()
	select {
	case err := <-result:
		return l.explain(call, timeout, err)
	case <-giveUp.C:
		return l.to.unreachable(call, fmt.Errorf("%w within %v", errNoAnswer, timeout))
	case <-ctx.Done():
		return fmt.Errorf("%s on host %s: %w", call, l.to.host, ctx.Err())
	}
}

// explain turns what go-libvirt returns after a lost connection into an
// UnreachableError, and libvirt's own answers into the sentinels.
func (l *link) explain(call string, timeout time.Duration, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[golibvirt.Error](err); ok {
		return fmt.Errorf("%s on host %s: %w", call, l.to.host, classify(answer))
	}
	if l.net.dead() {
		return l.to.unreachable(call, fmt.Errorf("connection lost or no answer within %v: %w", timeout, err))
	}
	return fmt.Errorf("%s on host %s: %w", call, l.to.host, err)
}

// answerError is what libvirt said, under one of the sentinels.
type answerError struct {
	answer golibvirt.Error
	kind   error
}

func (e *answerError) Error() string   { return e.answer.Message }
func (e *answerError) Unwrap() []error { return []error{e.kind, e.answer} }

func classify(err golibvirt.Error) error {
	switch golibvirt.ErrorNumber(err.Code) {
	case golibvirt.ErrNoDomain, golibvirt.ErrNoStorageVol, golibvirt.ErrNoStoragePool, golibvirt.ErrNoDomainMetadata:
		return &answerError{err, hypervisor.ErrNotFound}
	}
	return err
}
