package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/appliance/wire/datagram"
)

// tcpListener serves TCP (RFC 7766): connections stay open between queries,
// queries may be pipelined, and late answers overtake nobody but may be
// overtaken.
type tcpListener struct {
	net *network
	ln  net.Listener

	mu     sync.Mutex
	conns  map[*tcpConn]struct{}
	guests map[netip.Addr]int
	closed bool
	// closing is closed with the listener: nobody is waited for then.
	closing chan struct{}
	served  sync.WaitGroup
}

func newTCPListener(n *network, ln net.Listener) *tcpListener {
	return &tcpListener{
		net: n, ln: ln, conns: make(map[*tcpConn]struct{}), guests: make(map[netip.Addr]int),
		closing: make(chan struct{}),
	}
}

// run accepts until the listener is closed, and returns when the last
// connection has ended.
func (l *tcpListener) run(log *slog.Logger) {
	defer l.served.Wait()
	for {
		conn, err := l.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.net.counters.count(countSocketError)
			log.Warn("accept dns connection", "err", err)
			time.Sleep(50 * time.Millisecond) // out of descriptors: wait for some to close
			continue
		}
		c := l.admit(conn)
		if c == nil {
			l.net.counters.count(countTCPRefused)
			conn.Close() //nolint:errcheck // refused
			continue
		}
		l.served.Go(func() {
			c.serve()
			l.release(c)
		})
	}
}

// admit counts a connection in; nil: there are too many, in all or of its guest.
func (l *tcpListener) admit(conn net.Conn) *tcpConn {
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	guest, lim := from.Addr().Unmap(), l.net.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.conns) >= lim.tcpConns || l.guests[guest] >= lim.tcpPerGuest {
		return nil
	}
	c := &tcpConn{net: l.net, conn: conn, from: from, closing: l.closing, slots: make(chan struct{}, lim.tcpPipeline)}
	l.conns[c] = struct{}{}
	l.guests[guest]++
	return c
}

func (l *tcpListener) release(c *tcpConn) {
	guest := c.from.Addr().Unmap()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if l.guests[guest]--; l.guests[guest] == 0 {
		delete(l.guests, guest)
	}
}

func (l *tcpListener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.closing)
	l.ln.Close() //nolint:errcheck // nothing is buffered
	for c := range l.conns {
		c.conn.Close() //nolint:errcheck // nothing is buffered
	}
}

// tcpConn is one guest's connection.
type tcpConn struct {
	net  *network
	conn net.Conn
	from netip.AddrPort
	// slots holds one token per query that waits for a late answer.
	slots   chan struct{}
	closing <-chan struct{}
	mu      sync.Mutex // one answer at a time
}

// serve answers queries until the guest is done, silent for too long, or has
// had its share; queries still under way are answered before it closes.
func (c *tcpConn) serve() {
	defer c.conn.Close() //nolint:errcheck // everything was written
	spent := c.answer()
	c.drain()
	if spent {
		c.linger()
	}
}

// answer answers queries; those that came together leave together. It reports
// whether the guest has had its share.
func (c *tcpConn) answer() (spent bool) {
	var (
		q   query
		t   tally
		out []byte
		in  = frames{conn: c.conn, limits: c.net.limits, pace: datagram.NewPace()}
	)
	left := c.net.limits.tcpBytes
	for left > 0 {
		frame, err := in.next()
		if err != nil {
			break // what was answered is still sent
		}
		left -= 2 + len(frame)
		if out, err = c.slot(out); err != nil {
			return false
		}
		start := len(out)
		q.overTCP = true
		out = c.net.respond(append(out, 0, 0), &q, frame, &lateReply{c: c}, c.from, c.net.clock(), &t)
		t[countTCP]++
		waiting := t[countMiss]+t[countJoined] > 0
		c.net.counters.add(&t)
		size := len(out) - start - 2
		out[start], out[start+1] = byte(size>>8), byte(size)
		if size == 0 {
			out = out[:start]
		}
		if !waiting { // else the slot is given back with the answer
			<-c.slots
			if size == 0 {
				break // what gets silence over UDP gets the end of the connection
			}
		}
		if !in.buffered() || len(out) > maxMessage {
			if out, err = c.flush(out); err != nil {
				return false
			}
		}
	}
	_, err := c.flush(out)
	return err == nil && left <= 0
}

// linger lets the guest read its last answers: closed with queries that nobody
// read, the connection would be reset, and they would be lost.
func (c *tcpConn) linger() {
	conn, ok := c.conn.(*net.TCPConn)
	if !ok || conn.CloseWrite() != nil || conn.SetReadDeadline(time.Now().Add(c.net.limits.tcpFrame)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn) // until the guest closes too, or the time is up
}

// slot takes a place in the guest's pipeline, and waits while that is full.
func (c *tcpConn) slot(out []byte) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
		return out, nil
	default:
	}
	out, err := c.flush(out)
	if err != nil {
		return out, err
	}
	select {
	case c.slots <- struct{}{}:
		return out, nil
	case <-c.closing:
		return out, net.ErrClosed
	}
}

// flush sends answers and returns their empty buffer.
func (c *tcpConn) flush(out []byte) ([]byte, error) {
	if len(out) == 0 {
		return out, nil
	}
	return out[:0], c.write(out)
}

// write sends messages with their lengths before them.
func (c *tcpConn) write(msgs []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.net.limits.tcpFrame)); err != nil {
		return err
	}
	_, err := c.conn.Write(msgs)
	return err
}

// drain waits for the answers under way.
func (c *tcpConn) drain() {
	patience := time.After(resolveTimeout + time.Second)
	for range cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
		case <-patience:
			return
		case <-c.closing:
			return
		}
	}
}

// lateReply is the way back of one query that waits.
type lateReply struct{ c *tcpConn }

func (r *lateReply) reply(msg []byte, _ netip.AddrPort) {
	if r.c.write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg))), msg...)) != nil {
		r.c.conn.Close() //nolint:errcheck // the guest does not read: end it
	}
	<-r.c.slots
}
