// Package ring receives the frames of a packet socket through memory that is
// shared with the kernel (packet(7), Documentation/networking/packet_mmap.rst,
// TPACKET_V2): no system call a batch, no socket buffer a frame.
package ring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// frameSize holds the header, the address and an Ethernet frame of 1514
	// bytes; a power of two, so that frames fill blocks.
	frameSize = 2048
	// blockSize is what the kernel allocates in one piece. It is small, or a
	// machine whose memory is in pieces would refuse.
	blockSize = 4 * frameSize
)

// Ring is used by one goroutine at a time.
type Ring struct {
	memory []byte
	next   int // offset of the next frame
}

// Frame is one that came. Data is shared with the kernel: it is valid until
// Release.
type Frame struct {
	Data []byte
	// Status has TP_STATUS_CSUMNOTREADY, TP_STATUS_CSUM_VALID and others of
	// if_packet.h.
	Status uint32
}

// New gives a packet socket, which is not bound yet, a ring for as many frames,
// a multiple of 4. It replaces the socket's queue: reading the socket finds
// nothing from now on.
func New(socket, frames int) (*Ring, error) {
	if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return nil, fmt.Errorf("set version of packet ring: %w", err)
	}
	size := frames * frameSize
	req := unix.TpacketReq{Block_size: blockSize, Block_nr: uint32(size / blockSize), Frame_size: frameSize, Frame_nr: uint32(frames)}
	if err := unix.SetsockoptTpacketReq(socket, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("make packet ring of %d bytes: %w", size, err)
	}
	memory, err := unix.Mmap(socket, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map packet ring of %d bytes: %w", size, err)
	}
	return &Ring{memory: memory}, nil
}

// header of the next frame; the kernel writes it, and its status last.
func (r *Ring) header() *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.memory[r.next]))
}

// Ready says whether a frame is there.
func (r *Ring) Ready() bool {
	return atomic.LoadUint32(&r.header().Status)&unix.TP_STATUS_USER != 0
}

// Next gives the next frame, or false. Until Release it gives the same again.
func (r *Ring) Next() (Frame, bool) {
	h := r.header()
	status := atomic.LoadUint32(&h.Status)
	if status&unix.TP_STATUS_USER == 0 {
		return Frame{}, false
	}
	from := r.next + int(h.Mac)
	return Frame{Data: r.memory[from : from+int(h.Snaplen)], Status: status}, true
}

// Release gives the frame that Next gave back to the kernel.
func (r *Ring) Release() {
	atomic.StoreUint32(&r.header().Status, unix.TP_STATUS_KERNEL)
	if r.next += frameSize; r.next == len(r.memory) {
		r.next = 0
	}
}

// Close unmaps the memory. The ring, and Data of its frames, must not be used
// afterwards, nor at the same time.
func (r *Ring) Close() error { return unix.Munmap(r.memory) }
