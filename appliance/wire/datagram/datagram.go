// Package datagram takes UDP packets from a socket and sends the answers, a
// batch at a time, for servers with many small packets. While packets come
// often it lets some come together, so that one wake-up is for several.
package datagram

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

// Sizes of a socket's memory.
const (
	// Batch is how many packets one call moves at most.
	Batch = 32
	// MaxLen is the longest packet received whole, in bytes.
	MaxLen = 2048
)

// Packet is a packet and the peer it is from or to, an IPv4 address.
type Packet struct {
	Data []byte
	Peer netip.AddrPort
	// Cut: the packet was longer than MaxLen.
	Cut bool
}

// Socket is a UDP socket in batches. Receive is for one goroutine at a time, as
// is Send; SendOne is for all.
type Socket struct {
	conn            *net.UDPConn
	in, out         *mmsg.Batch
	inName, outName [Batch]unix.RawSockaddrInet4
	buffers         [Batch][MaxLen]byte
	pace            *Pace

	mu      sync.Mutex // of one
	one     *mmsg.Batch
	oneName unix.RawSockaddrInet4
}

// New makes batches of a socket, which Close closes.
func New(conn *net.UDPConn) (*Socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read udp socket in batches: %w", err)
	}
	s := &Socket{
		conn: conn, in: mmsg.Receiving(raw, Batch), out: mmsg.Sending(raw, Batch), one: mmsg.Sending(raw, 1),
		pace: NewPace(),
	}
	for i := range Batch {
		s.in.Set(i, s.buffers[i][:])
		s.in.Headers[i].Name = (*byte)(unsafe.Pointer(&s.inName[i]))
		s.out.Headers[i].Name = (*byte)(unsafe.Pointer(&s.outName[i]))
		s.out.Headers[i].Namelen = unix.SizeofSockaddrInet4
		s.outName[i].Family = unix.AF_INET
	}
	s.one.Headers[0].Name = (*byte)(unsafe.Pointer(&s.oneName))
	s.one.Headers[0].Namelen = unix.SizeofSockaddrInet4
	s.oneName.Family = unix.AF_INET
	return s, nil
}

// Receive waits for at least one packet and returns how many came, at most
// Batch. Their data stand until the next call. After Close it is net.ErrClosed.
func (s *Socket) Receive(in []Packet) (int, error) {
	s.pace.Rest()
	n := min(len(in), Batch)
	for i := range n {
		s.in.Headers[i].Namelen = unix.SizeofSockaddrInet4
	}
	n, err := s.in.Move(n, true)
	s.pace.Came(n, n == Batch)
	for i := range n {
		h, from := &s.in.Headers[i], &s.inName[i]
		in[i] = Packet{
			Data: s.buffers[i][:h.Bytes],
			Peer: netip.AddrPortFrom(netip.AddrFrom4(from.Addr), swapped(from.Port)),
			Cut:  h.Flags&unix.MSG_TRUNC != 0,
		}
	}
	return n, err
}

// Send sends packets and returns how many went out, at most Batch; an error is
// about the first of them.
func (s *Socket) Send(out []Packet) (int, error) {
	n := min(len(out), Batch)
	for i := range n {
		s.out.Set(i, out[i].Data)
		to := &s.outName[i]
		to.Addr, to.Port = out[i].Peer.Addr().As4(), swapped(out[i].Peer.Port())
	}
	return s.out.Move(n, true)
}

// SendOne sends a packet that is not empty, beside those of Send.
func (s *Socket) SendOne(p Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.one.Set(0, p.Data)
	s.oneName.Addr, s.oneName.Port = p.Peer.Addr().As4(), swapped(p.Peer.Port())
	_, err := s.one.Move(1, true)
	return err
}

// Close ends a Receive under way.
func (s *Socket) Close() error { return s.conn.Close() }

// swapped changes a port between our byte order and the network's.
func swapped(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
