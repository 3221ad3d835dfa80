package dns

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
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

// maxFrame is the longest query taken, in bytes.
const maxFrame = 4096

// serve answers queries until the guest is done, silent for too long, or has
// had its share; queries still under way are answered before it closes.
func (c *tcpConn) serve() {
	defer c.conn.Close() //nolint:errcheck // everything was written
	defer c.drain()
	var (
		q     query
		t     tally
		frame [2 + maxFrame]byte
		out   []byte
		lim   = c.net.limits
	)
	for left := lim.tcpBytes; left > 0; {
		n, err := c.read(&frame)
		if err != nil {
			return
		}
		left -= 2 + n
		select {
		case c.slots <- struct{}{}: // waits while the guest's pipeline is full
		case <-c.closing:
			return
		}
		q.overTCP = true
		late := &lateReply{c: c}
		out = c.net.respond(append(out[:0], 0, 0), &q, frame[2:2+n], late, c.from, c.net.clock(), &t)
		t[countTCP]++
		waiting := t[countMiss]+t[countJoined] > 0
		c.net.counters.add(&t)
		if waiting {
			continue // the slot is given back with the answer
		}
		<-c.slots
		if len(out) == 2 {
			return // what gets silence over UDP gets the end of the connection
		}
		if c.write(out) != nil {
			return
		}
	}
}

// read reads one query: the guest may think for tcpIdle, but not dawdle.
func (c *tcpConn) read(frame *[2 + maxFrame]byte) (int, error) {
	lim := c.net.limits
	if err := c.conn.SetReadDeadline(time.Now().Add(lim.tcpIdle)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c.conn, frame[:1]); err != nil {
		return 0, err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(lim.tcpFrame)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c.conn, frame[1:2]); err != nil {
		return 0, err
	}
	n := int(be16(frame[:]))
	if n > maxFrame {
		return 0, errMalformed
	}
	_, err := io.ReadFull(c.conn, frame[2:2+n])
	return n, err
}

// write sends a message whose first two bytes are free for its length.
func (c *tcpConn) write(msg []byte) error {
	msg[0], msg[1] = byte((len(msg)-2)>>8), byte(len(msg)-2)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.net.limits.tcpFrame)); err != nil {
		return err
	}
	_, err := c.conn.Write(msg)
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
	if r.c.write(append(make([]byte, 2, 2+len(msg)), msg...)) != nil {
		r.c.conn.Close() //nolint:errcheck // the guest does not read: end it
	}
	<-r.c.slots
}
