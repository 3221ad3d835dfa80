package dns

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Sizes of a packet loop.
const (
	batchSize = 32
	maxQuery  = 2048 // bytes; a longer UDP query is no honest one
)

// packets is where a loop gets its packets from and sends them to, a batch of
// datagrams at a time. *ipv4.PacketConn is one (recvmmsg, sendmmsg).
type packets interface {
	// ReadBatch waits for at least one message and returns how many there are.
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	// WriteBatch sends messages and returns how many went out.
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
	// Close ends a ReadBatch under way with net.ErrClosed.
	Close() error
}

// udpSocket is one socket with its loop.
type udpSocket struct {
	net     *network
	packets packets
	// conn is for answers that come later, one by one.
	conn *net.UDPConn
}

func newUDPSocket(n *network, conn *net.UDPConn) *udpSocket {
	return &udpSocket{net: n, packets: ipv4.NewPacketConn(conn), conn: conn}
}

// reply sends a late answer.
func (u *udpSocket) reply(msg []byte, to netip.AddrPort) {
	if _, err := u.conn.WriteToUDPAddrPort(msg, to); err != nil && !errors.Is(err, net.ErrClosed) {
		u.net.counters.count(countSocketError)
	}
}

// run answers packets until the socket is closed. Errors of single packets,
// such as an unreachable guest, are counted and passed over.
func (u *udpSocket) run(log *slog.Logger) {
	b := newBatch()
	var failing bool
	for {
		n, err := u.packets.ReadBatch(b.in, 0)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			u.net.counters.count(countSocketError)
			if !failing {
				log.Warn("dns socket fails", "err", err)
			}
			failing = true
			time.Sleep(10 * time.Millisecond) // an error that stays must not eat a core
			continue
		}
		failing = false
		u.answer(b, n)
	}
}

// batch is a loop's memory.
type batch struct {
	in, out []ipv4.Message
	replies [][]byte
	q       query
	tally   tally
}

func newBatch() *batch {
	b := &batch{
		in: make([]ipv4.Message, batchSize), out: make([]ipv4.Message, batchSize),
		replies: make([][]byte, batchSize),
	}
	for i := range batchSize {
		b.in[i].Buffers = [][]byte{make([]byte, maxQuery)}
		b.out[i].Buffers = make([][]byte, 1)
		b.replies[i] = make([]byte, 0, ednsUDPSize)
	}
	return b
}

// answer answers the first n messages of the batch that can be answered now.
func (u *udpSocket) answer(b *batch, n int) {
	now := u.net.clock()
	send := 0
	for i := range b.in[:n] {
		m := &b.in[i]
		from, ok := m.Addr.(*net.UDPAddr)
		if !ok || m.Flags&unix.MSG_TRUNC != 0 || from.Port == 0 {
			b.tally[countSilent]++
			continue
		}
		b.q.overTCP = false
		reply := u.net.respond(b.replies[send][:0], &b.q, m.Buffers[0][:m.N], u, from.AddrPort(), now, &b.tally)
		if len(reply) == 0 {
			continue
		}
		b.replies[send] = reply
		b.out[send].Buffers[0], b.out[send].Addr = reply, from
		send++
	}
	b.tally[countUDP] += uint64(n)
	u.send(b.out[:send], &b.tally)
	u.net.counters.add(&b.tally)
}

// send sends all messages; one that the kernel refuses is left out.
func (u *udpSocket) send(ms []ipv4.Message, t *tally) {
	for len(ms) > 0 {
		n, err := u.packets.WriteBatch(ms, 0)
		if err != nil || n <= 0 {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			t[countSocketError]++
			n = 1
		}
		ms = ms[n:]
	}
}
