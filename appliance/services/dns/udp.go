package dns

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/sluice-nfv/sluice/appliance/wire/datagram"
)

// packets is where a loop gets its packets from and sends them to, a batch at
// a time. *datagram.Socket is one.
type packets interface {
	// Receive waits for at least one packet and returns how many there are.
	// Their data are theirs until the next call.
	Receive(in []datagram.Packet) (int, error)
	// Send sends packets and returns how many went out; an error is about the
	// first of them.
	Send(out []datagram.Packet) (int, error)
	// SendOne sends one packet; any goroutine may.
	SendOne(datagram.Packet) error
	// Close ends a Receive under way with net.ErrClosed.
	Close() error
}

// udpSocket is one socket with its loop.
type udpSocket struct {
	net     *network
	packets packets
}

func newUDPSocket(n *network, conn *net.UDPConn) (*udpSocket, error) {
	d, err := datagram.New(conn)
	if err != nil {
		return nil, err
	}
	return &udpSocket{net: n, packets: d}, nil
}

// reply sends a late answer.
func (u *udpSocket) reply(msg []byte, to netip.AddrPort) {
	if err := u.packets.SendOne(datagram.Packet{Data: msg, Peer: to}); err != nil && !errors.Is(err, net.ErrClosed) {
		u.net.counters.count(countSocketError)
	}
}

// run answers packets until the socket is closed. Errors of single packets,
// such as an unreachable guest, are counted and passed over.
func (u *udpSocket) run(log *slog.Logger) {
	b := new(batch)
	var failing bool
	for {
		n, err := u.packets.Receive(b.in[:])
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
	in, out [datagram.Batch]datagram.Packet
	replies [datagram.Batch][ednsUDPSize]byte
	q       query
	tally   tally
}

// answer answers the first n packets of the batch that can be answered now.
func (u *udpSocket) answer(b *batch, n int) {
	now := u.net.clock()
	send := 0
	for i := range b.in[:n] {
		d := &b.in[i]
		if d.Cut || d.Peer.Port() == 0 {
			b.tally[countSilent]++
			continue
		}
		b.q.overTCP = false
		reply := u.net.respond(b.replies[send][:0], &b.q, d.Data, u, d.Peer, now, &b.tally)
		if len(reply) == 0 {
			continue
		}
		b.out[send] = datagram.Packet{Data: reply, Peer: d.Peer}
		send++
	}
	b.tally[countUDP] += uint64(n)
	u.send(b.out[:send], &b.tally)
	u.net.counters.add(&b.tally)
}

// send sends all packets; one that the kernel refuses is left out.
func (u *udpSocket) send(ds []datagram.Packet, t *tally) {
	for len(ds) > 0 {
		n, err := u.packets.Send(ds)
		if err != nil || n <= 0 {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			t[countSocketError]++
			n = 1
		}
		ds = ds[n:]
	}
}
