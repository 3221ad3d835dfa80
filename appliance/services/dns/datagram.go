package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

// datagram is a packet and the guest it is from or to.
type datagram struct {
	data  []byte
	guest netip.AddrPort
	cut   bool // the packet did not fit
}

// udpPackets is a UDP socket in batches.
type udpPackets struct {
	conn            *net.UDPConn
	in, out         *mmsg.Batch
	inName, outName [batchSize]unix.RawSockaddrInet4
	buffers         [batchSize][maxQuery]byte
}

func newUDPPackets(conn *net.UDPConn) (*udpPackets, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read udp socket in batches: %w", err)
	}
	d := &udpPackets{conn: conn, in: mmsg.Receiving(raw, batchSize), out: mmsg.Sending(raw, batchSize)}
	for i := range batchSize {
		d.in.Set(i, d.buffers[i][:])
		d.in.Headers[i].Name = (*byte)(unsafe.Pointer(&d.inName[i]))
		d.out.Headers[i].Name = (*byte)(unsafe.Pointer(&d.outName[i]))
		d.out.Headers[i].Namelen = unix.SizeofSockaddrInet4
		d.outName[i].Family = unix.AF_INET
	}
	return d, nil
}

func (d *udpPackets) receive(in []datagram) (int, error) {
	n := min(len(in), batchSize)
	for i := range n {
		d.in.Headers[i].Namelen = unix.SizeofSockaddrInet4
	}
	n, err := d.in.Move(n, true)
	for i := range n {
		h, from := &d.in.Headers[i], &d.inName[i]
		in[i] = datagram{
			data:  d.buffers[i][:h.Bytes],
			guest: netip.AddrPortFrom(netip.AddrFrom4(from.Addr), swapped(from.Port)),
			cut:   h.Flags&unix.MSG_TRUNC != 0,
		}
	}
	return n, err
}

func (d *udpPackets) send(out []datagram) (int, error) {
	n := min(len(out), batchSize)
	for i := range n {
		d.out.Set(i, out[i].data)
		to := &d.outName[i]
		to.Addr, to.Port = out[i].guest.Addr().As4(), swapped(out[i].guest.Port())
	}
	return d.out.Move(n, true)
}

func (d *udpPackets) close() error { return d.conn.Close() }

// swapped changes a port between our byte order and the network's.
func swapped(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
