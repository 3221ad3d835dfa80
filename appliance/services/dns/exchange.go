package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-nfv/sluice/appliance/wire/questions"
)

// maxFrames bounds the messages read from one TCP connection that do not match.
const maxFrames = 16

// firstPort: source ports are drawn from here to 65535 (RFC 5452 §9.2 asks for
// the largest range that is possible).
const firstPort = 1024

var datagrams = sync.Pool{New: func() any { return new([questions.MaxLen]byte) }}

// exchange is one question to one upstream: by UDP, by TCP if the answer did
// not fit, and without EDNS if the upstream does not understand it (RFC 6891
// §7). It goes on with what has begun, if something has, and ends with an
// answer, with a refusal, or with ctx.
func (r *resolver) exchange(ctx context.Context, u *upstream, q *ask, b *begun) (*entry, error) {
	e, err := r.exchangeOnce(ctx, u, q, true, b)
	if rc := rcodeError(0); errors.As(err, &rc) && (rc == rcodeFormat || rc == rcodeNotImp) && !q.dnssec {
		e, err = r.exchangeOnce(ctx, u, q, false, nil)
	}
	return e, err
}

func (r *resolver) exchangeOnce(ctx context.Context, u *upstream, q *ask, edns bool, b *begun) (*entry, error) {
	if r.tls != nil {
		return r.exchangeTLS(ctx, u, q, edns)
	}
	e, err := r.exchangeUDP(ctx, u, q, edns, b)
	if rc := rcodeError(0); errors.As(err, &rc) && rc == rcodeBadCookie {
		e, err = r.exchangeUDP(ctx, u, q, edns, nil) // with the cookie that came (RFC 7873 §5.3)
	}
	if rc := rcodeError(0); errors.Is(err, errTruncated) || errors.As(err, &rc) && rc == rcodeBadCookie {
		r.count(countUpstreamTCP)
		e, err = r.exchangeTCP(ctx, u.addr, q, edns)
	}
	return e, err
}

// exchangeUDP asks from a socket of its own: connected, so that the kernel
// drops what comes from elsewhere, and from a random port.
func (r *resolver) exchangeUDP(ctx context.Context, u *upstream, q *ask, edns bool, b *begun) (*entry, error) {
	if b == nil {
		var err error
		if b, err = begin(u, q, edns); err != nil {
			return nil, err
		}
	}
	if b.conn == nil {
		return nil, b.err
	}
	defer b.conn.Close()
	defer endWith(ctx, b.conn)()
	buf := datagrams.Get().(*[questions.MaxLen]byte)
	defer datagrams.Put(buf)
	for {
		n, err := b.conn.Read(buf[:])
		if err != nil {
			return nil, fmt.Errorf("wait for upstream %v: %w", u.addr, err)
		}
		if e, err, ok := r.read(&b.sent, u, q, buf[:n]); ok {
			return e, err
		}
	}
}

// begun is an exchange under way: the question as it was sent, and the socket
// that the answer comes to; or none, and why.
type begun struct {
	sent sent
	conn conn
	err  error
}

// conn is what a socket of net and one of package questions have in common.
type conn interface {
	io.ReadCloser
	SetDeadline(t time.Time) error
}

func begin(u *upstream, q *ask, edns bool) (*begun, error) {
	c, err := dialUDP(u.addr)
	if err != nil {
		return nil, fmt.Errorf("open socket to upstream %v: %w", u.addr, err)
	}
	b := &begun{sent: q.pack(edns, u.jar.option()), conn: c}
	if _, err := c.Write(b.sent.packet); err != nil {
		return nil, errors.Join(fmt.Errorf("ask upstream %v: %w", u.addr, err), c.Close())
	}
	return b, nil
}

// read takes a datagram for an answer if it is one: false, and somebody else's
// is passed over.
func (r *resolver) read(s *sent, u *upstream, q *ask, msg []byte) (e *entry, err error, ok bool) { //nolint:revive // ok is about both
	if s.matches(msg) && u.jar.accept(optionsOf(msg)) {
		if e, err = digest(msg, q, r.blocked); !errors.Is(err, errMalformed) {
			return e, err, true
		}
	}
	r.count(countUpstreamMismatch)
	return nil, nil, false
}

// ports are some to ask from, in turn: random ones, and 0 for those below
// firstPort.
func ports() (p [8]uint16) {
	var b [2 * len(p)]byte
	rand.Read(b[:]) //nolint:errcheck // never fails: it ends the process instead
	for i := range p {
		if port := be16(b[2*i:]); port >= firstPort {
			p[i] = port
		}
	}
	return p
}

func dialUDP(to netip.AddrPort) (*net.UDPConn, error) {
	remote := net.UDPAddrFromAddrPort(to)
	for _, port := range ports() {
		if port == 0 {
			continue
		}
		conn, err := net.DialUDP("udp", &net.UDPAddr{Port: int(port)}, remote)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return conn, err
		}
	}
	return net.DialUDP("udp", nil, remote) // the kernel's choice is random too, from a smaller range
}

// exchangeTCP asks over a connection of its own (RFC 7766 §5).
func (r *resolver) exchangeTCP(ctx context.Context, to netip.AddrPort, q *ask, edns bool) (*entry, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect to upstream %v: %w", to, err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	s := q.pack(edns, nil)
	return r.converse(conn, to, &s, q)
}

// converse asks over a stream and waits for the answer to the question.
func (r *resolver) converse(conn net.Conn, to netip.AddrPort, s *sent, q *ask) (*entry, error) {
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(s.packet))), s.packet...)
	if _, err := conn.Write(frame); err != nil {
		return nil, fmt.Errorf("ask upstream %v over TCP: %w", to, err)
	}
	for range maxFrames {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return nil, fmt.Errorf("read from upstream %v over TCP: %w", to, err)
		}
		msg := make([]byte, be16(size[:]))
		if _, err := io.ReadFull(conn, msg); err != nil {
			return nil, fmt.Errorf("read from upstream %v over TCP: %w", to, err)
		}
		if s.matches(msg) {
			return digest(msg, q, r.blocked)
		}
		r.count(countUpstreamMismatch)
	}
	return nil, fmt.Errorf("read from upstream %v over TCP: %d messages, none to the question", to, maxFrames)
}

// endWith makes reads and writes on conn fail when ctx ends.
func endWith(ctx context.Context, conn conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed one is ended too
	})
}
