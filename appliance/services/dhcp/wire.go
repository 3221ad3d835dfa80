package dhcp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/wire/gate"
	"github.com/sluice-nfv/sluice/appliance/wire/ring"
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

// ringFrames bounds the queue in the kernel, in frames of 2 KiB.
const ringFrames = 1024

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
	out     *outgoing
	gate    *gate.Gate
	pace    pace

	// Of the wait under way; closures made once, or each would allocate.
	wake   func() bool
	ask    func(uintptr)
	code   unix.Errno
	broken error

	mu     sync.Mutex // nobody reads memory that is unmapped
	ring   *ring.Ring // nil once closed
	closed atomic.Bool
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
	w.wake, w.ask = w.something, w.askError
	if w.sink, err = openSink(ifi.Name); err != nil {
		return nil, fmt.Errorf("hold port 67 on %s: %w", ifi.Name, err)
	}
	if err := w.openSocket(ifi); err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", ifi.Name, errors.Join(err, w.close()))
	}
	return w, nil
}

// openSocket binds after filter and ring are set, so that no other packet ever
// gets in. Bound to IPv4, a socket does not see frames that we send, nor tagged
// frames of a VLAN. It is a blocking one, so that the runtime's poller leaves it
// alone (see gate); no call on it blocks all the same.
func (w *packetWire) openSocket(ifi *net.Interface) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.file = os.NewFile(uintptr(fd), "dhcp:"+ifi.Name)
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return err
	}
	w.out = newOutgoing(w.raw)
	if err := attach(fd, requestFilter); err != nil {
		return err
	}
	if w.ring, err = ring.New(fd, ringFrames); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: typeIPv4<<8&0xff00 | typeIPv4>>8, Ifindex: ifi.Index}); err != nil {
		return err
	}
	w.gate, err = gate.New(fd)
	return err
}

func (w *packetWire) index() int { return w.ifindex }

func (w *packetWire) receive(slots []*slot, wait bool) (int, error) {
	for {
		n, err := w.take(slots)
		if n > 0 || err != nil || !wait {
			return n, err
		}
		if pause := w.pace.rest(time.Now()); pause > 0 {
			err = w.gate.Pause(pause)
		} else if err = w.gate.Wait(w.wake); err == nil {
			err = w.broken
		}
		if err != nil {
			return 0, w.explain(err)
		}
	}
}

// take copies frames out of the ring.
func (w *packetWire) take(slots []*slot) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ring == nil {
		return 0, errClosed
	}
	for n < len(slots) {
		f, ok := w.ring.Next()
		if !ok {
			break
		}
		s := slots[n]
		s.n = copy(s.buf[:], f.Data)
		s.partial = f.Status&(unix.TP_STATUS_CSUMNOTREADY|unix.TP_STATUS_CSUM_VALID) != 0
		w.ring.Release()
		n++
	}
	w.pace.saw(n)
	return n, nil
}

// something says whether there is something to tell: a frame, or the link's end.
func (w *packetWire) something() bool {
	w.mu.Lock()
	ready := w.ring == nil || w.ring.Ready()
	w.mu.Unlock()
	if !ready {
		w.broken = w.fault()
	}
	return ready || w.broken != nil
}

// fault asks the socket what happened to its link: ENETDOWN. The call is made
// raw, as all of mmsg are and for the same reason: it comes before each wait.
func (w *packetWire) fault() error {
	if err := w.raw.Control(w.ask); err != nil {
		return err
	}
	if w.code != 0 {
		return w.code
	}
	return nil
}

func (w *packetWire) askError(fd uintptr) {
	var code, size uint32 = 0, 4
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&code)), uintptr(unsafe.Pointer(&size)), 0)
	w.code = cmp.Or(e, unix.Errno(code))
}

func (w *packetWire) send(slots []*slot) (int, error) {
	n, err := w.out.send(slots, w.pace.restless())
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

func (w *packetWire) close() (err error) {
	if w.closed.Swap(true) {
		return nil
	}
	if w.gate != nil {
		err = w.gate.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ring != nil {
		err = errors.Join(err, w.ring.Close())
		w.ring = nil
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	return errors.Join(err, unix.Close(w.sink))
}
