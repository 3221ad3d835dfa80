package dhcp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// wire is the frames of one link, DHCP requests coming and answers going. One
// goroutine receives and sends; close may come from another and ends a receive
// that waits. Every error but errClosed says that the wire has to be opened
// again.
type wire interface {
	// receive fills slots and gives how many; with wait it is at least one.
	receive(slots []*slot, wait bool) (int, error)
	// send sends the frames in slots and gives how many went out. Frames that
	// the link refuses are skipped, not an error.
	send(slots []*slot) (int, error)
	// overflow is how many frames the kernel dropped for want of room since
	// the last call.
	overflow() uint64
	// index is the interface's; a replaced interface has another.
	index() int
	close() error
}

// slot holds a frame.
type slot struct {
	buf [maxFrame]byte
	n   int
	// partial: the UDP checksum was left to a device (see openFrame).
	partial bool
}

func (s *slot) frame() []byte { return s.buf[:s.n] }

var errClosed = errors.New("wire is closed")

// receiveBuffer bounds the queue in the kernel, in bytes; some 1,300 requests.
const receiveBuffer = 1 << 20

// packetWire is a packet socket. It is used instead of a UDP socket for both
// directions because it does not care which addresses the link has, whether
// routing or rp_filter like a packet from 0.0.0.0, or whether the client
// answers ARP yet; and because a broadcast goes to every UDP socket of a
// SO_REUSEPORT group, so that such a group would answer each DISCOVER several
// times.
type packetWire struct {
	ifindex int
	file    *os.File
	raw     syscall.RawConn
	sink    int
	closed  atomic.Bool
	in      *incoming
	out     *outgoing
}

// openPacket opens the wire of a link, found by its MAC; link is where it was
// last, and goes first because VLANs and bridges share their parent's MAC.
func openPacket(link string, mac hw) (wire, error) {
	ifi, err := findLink(link, mac)
	if err != nil {
		return nil, err
	}
	if ifi.Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("open packet socket on %s: link is down", ifi.Name)
	}
	w := &packetWire{ifindex: ifi.Index}
	if w.sink, err = openSink(ifi.Name); err != nil {
		return nil, fmt.Errorf("hold port 67 on %s: %w", ifi.Name, err)
	}
	fd, err := openSocket(ifi.Index)
	if err != nil {
		_ = unix.Close(w.sink)
		return nil, fmt.Errorf("open packet socket on %s: %w", ifi.Name, err)
	}
	w.file = os.NewFile(uintptr(fd), "dhcp:"+ifi.Name)
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.close()
		return nil, fmt.Errorf("open packet socket on %s: %w", ifi.Name, err)
	}
	w.in, w.out = newIncoming(w.raw), newOutgoing(w.raw)
	return w, nil
}

func findLink(link string, mac hw) (*net.Interface, error) {
	if ifi, err := net.InterfaceByName(link); err == nil && string(ifi.HardwareAddr) == string(mac[:]) {
		return ifi, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for i := range all {
		if string(all[i].HardwareAddr) == string(mac[:]) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("find link %s (%v): no interface has this MAC", link, mac)
}

// openSocket binds after the filter is set, so that no other packet is ever
// queued. Bound to IPv4, a socket does not see frames that we send, nor tagged
// frames of a VLAN.
func openSocket(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		attach(fd, requestFilter),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		growBuffer(fd),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: typeIPv4<<8&0xff00 | typeIPv4>>8, Ifindex: ifindex}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func growBuffer(fd int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
}

// openSink holds UDP port 67 with a socket that drops everything. Without it
// the kernel would answer each renewal, which is sent to our address, with
// "port unreachable". It also finds a foreign server on the port.
func openSink(link string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}),
		unix.BindToDevice(fd, link),
		unix.Bind(fd, &unix.SockaddrInet4{Port: serverPort}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// requestFilter passes unfragmented IPv4 UDP packets to port 67 that are for us
// or for all.
var requestFilter = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 8},
	bpf.LoadAbsolute{Off: ethHeader + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: ethHeader + 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: ethHeader},
	bpf.LoadIndirect{Off: ethHeader + 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: 1},
	bpf.RetConstant{Val: maxFrame},
	bpf.RetConstant{Val: 0},
}

func attach(fd int, program []bpf.Instruction) error {
	code, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(code))
	for i, c := range code {
		filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}

func (w *packetWire) index() int { return w.ifindex }

func (w *packetWire) receive(slots []*slot, wait bool) (int, error) {
	n, err := w.in.receive(slots, wait)
	return n, w.explain(err)
}

func (w *packetWire) send(slots []*slot) (int, error) {
	n, err := w.out.send(slots)
	return n, w.explain(err)
}

func (w *packetWire) explain(err error) error {
	if err != nil && w.closed.Load() {
		return errClosed
	}
	return err
}

func (w *packetWire) overflow() uint64 {
	var drops uint64
	_ = w.raw.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			drops = uint64(s.Drops)
		}
	})
	return drops
}

func (w *packetWire) close() error {
	if w.closed.Swap(true) {
		return nil
	}
	return errors.Join(w.file.Close(), unix.Close(w.sink))
}
