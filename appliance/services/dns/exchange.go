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
)

// maxDatagram is more than we announce: some servers do not listen, and a
// datagram that was cut would look malformed.
const maxDatagram = 4096

// maxFrames bounds the messages read from one TCP connection that do not match.
const maxFrames = 16

// firstPort: source ports are drawn from here to 65535 (RFC 5452 §9.2 asks for
// the largest range that is possible).
const firstPort = 1024

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// exchange is one question to one upstream: by UDP, by TCP if the answer did
// not fit, and without EDNS if the upstream does not understand it (RFC 6891
// §7). It ends with an answer, with a refusal, or with ctx.
func (r *resolver) exchange(ctx context.Context, u *upstream, q *ask) (*entry, error) {
	e, err := r.exchangeOnce(ctx, u, q, true)
	if rc := rcodeError(0); errors.As(err, &rc) && (rc == rcodeFormat || rc == rcodeNotImp) && !q.dnssec {
		e, err = r.exchangeOnce(ctx, u, q, false)
	}
	return e, err
}

func (r *resolver) exchangeOnce(ctx context.Context, u *upstream, q *ask, edns bool) (*entry, error) {
	if r.tls != nil {
		return r.exchangeTLS(ctx, u, q, edns)
	}
	e, err := r.exchangeUDP(ctx, u, q, edns)
	if rc := rcodeError(0); errors.As(err, &rc) && rc == rcodeBadCookie {
		e, err = r.exchangeUDP(ctx, u, q, edns) // with the cookie that came (RFC 7873 §5.3)
	}
	if rc := rcodeError(0); errors.Is(err, errTruncated) || errors.As(err, &rc) && rc == rcodeBadCookie {
		r.count(countUpstreamTCP)
		e, err = r.exchangeTCP(ctx, u.addr, q, edns)
	}
	return e, err
}

// exchangeUDP asks from a socket of its own: connected, so that the kernel
// drops what comes from elsewhere, and from a random port.
func (r *resolver) exchangeUDP(ctx context.Context, u *upstream, q *ask, edns bool) (*entry, error) {
	to := u.addr
	conn, err := dialUDP(to)
	if err != nil {
		return nil, fmt.Errorf("open socket to upstream %v: %w", to, err)
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	s := q.pack(edns, u.jar.option())
	if _, err := conn.Write(s.packet); err != nil {
		return nil, fmt.Errorf("ask upstream %v: %w", to, err)
	}
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			return nil, fmt.Errorf("wait for upstream %v: %w", to, err)
		}
		if !s.matches(buf[:n]) || !u.jar.accept(optionsOf(buf[:n])) {
			r.count(countUpstreamMismatch)
			continue
		}
		e, err := digest(buf[:n], q, r.blocked)
		if errors.Is(err, errMalformed) {
			r.count(countUpstreamMismatch)
			continue
		}
		return e, err
	}
}

func dialUDP(to netip.AddrPort) (*net.UDPConn, error) {
	remote := net.UDPAddrFromAddrPort(to)
	for range 8 {
		var b [2]byte
		rand.Read(b[:]) //nolint:errcheck // never fails: it ends the process instead
		port := binary.BigEndian.Uint16(b[:])
		if port < firstPort {
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
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed one is ended too
	})
}
