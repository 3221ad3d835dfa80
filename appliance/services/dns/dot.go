package dns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// DNS over TLS (RFC 7858).
const (
	// idleTLS is how long a connection without a question is kept, maxIdleTLS
	// how many are.
	idleTLS    = 8 * time.Second
	maxIdleTLS = 4
	// paddedTo is what the length of a query is a multiple of (RFC 8467 §4.1).
	paddedTo = 128
)

// trust makes the client's side of TLS: strict, with the certificates that the
// spec gives, or those that the agent was built with, because the router has no
// disk to have them on.
func trust(t *agentv1.DNSTLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if t.CA != "" {
		if !pool.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("no certificate in PEM form")
		}
	} else if err := addRoots(pool); err != nil {
		return nil, err
	}
	return &tls.Config{
		ServerName: t.ServerName, RootCAs: pool, MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"},
		ClientSessionCache: tls.NewLRUClientSessionCache(maxIdleTLS),
	}, nil
}

func addRoots(pool *x509.CertPool) error {
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return fmt.Errorf("read built-in root certificate: %w", err)
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return nil
}

// idleConns are open connections to one upstream that nobody uses.
type idleConns struct {
	mu    sync.Mutex
	conns []*idleConn
}

type idleConn struct {
	net.Conn
	expiry *time.Timer
}

// take gives the connection used last; nil: there is none.
func (i *idleConns) take() net.Conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.conns) > 0 {
		c := i.conns[len(i.conns)-1]
		i.conns = i.conns[:len(i.conns)-1]
		if c.expiry.Stop() {
			return c.Conn
		}
	}
	return nil
}

// put keeps a connection for a while.
func (i *idleConns) put(conn net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.conns) >= maxIdleTLS {
		conn.Close() //nolint:errcheck // nothing is buffered
		return
	}
	i.conns = append(i.conns, &idleConn{conn, time.AfterFunc(idleTLS, func() { conn.Close() })}) //nolint:errcheck // nothing is buffered
}

// exchangeTLS asks over TLS, on a connection that is open already if there is
// one. Such a one may have been closed by the server meanwhile; the question
// then goes over the next.
func (r *resolver) exchangeTLS(ctx context.Context, u *upstream, q *ask, edns bool) (*entry, error) {
	for {
		conn := u.idle.take()
		reused := conn != nil
		if !reused {
			var err error
			if conn, err = r.dialTLS(ctx, u); err != nil {
				return nil, err
			}
		}
		s := q.packPadded(edns)
		stop := endWith(ctx, conn)
		e, err := r.converse(conn, u.addr, &s, q)
		if stop() && says(err) {
			u.idle.put(conn)
			return e, err
		}
		conn.Close() //nolint:errcheck // given up
		if !reused || ctx.Err() != nil {
			return e, err
		}
	}
}

// dialTLS connects, and closes the connection when the resolver ends.
func (r *resolver) dialTLS(ctx context.Context, u *upstream) (net.Conn, error) {
	r.count(countUpstreamTLS)
	d := tls.Dialer{Config: r.tls}
	conn, err := d.DialContext(ctx, "tcp", u.addr.String())
	if err != nil {
		return nil, fmt.Errorf("connect to upstream %v over TLS as %s: %w", u.addr, r.tls.ServerName, err)
	}
	return &resolverConn{Conn: conn, forget: context.AfterFunc(r.ctx, func() { conn.Close() })}, nil //nolint:errcheck // nothing is buffered
}

// resolverConn ends with its resolver.
type resolverConn struct {
	net.Conn
	forget func() bool
}

func (c *resolverConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// packPadded makes a query whose length tells little of the name.
func (q *ask) packPadded(edns bool) sent {
	const fixed = headerLen + 4 + 11 + 4 // header, type and class, OPT, option
	fill := (paddedTo - (fixed+len(q.name))%paddedTo) % paddedTo
	option := make([]byte, 4+fill)
	option[1], option[2], option[3] = optionPadding, byte(fill>>8), byte(fill)
	return q.pack(edns, option)
}
