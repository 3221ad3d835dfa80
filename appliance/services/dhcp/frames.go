package dhcp

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

// batch is how many frames one system call moves at most. Beyond some 32 the
// call's own cost no longer shows.
const batch = 64

// auxSpace is room for one control message with a struct tpacket_auxdata.
const auxSpace = 40

// incoming receives frames from a socket, a batch at a time.
type incoming struct {
	batch *mmsg.Batch
	aux   [batch][auxSpace]byte
}

func newIncoming(conn syscall.RawConn) *incoming {
	in := &incoming{batch: mmsg.Receiving(conn, batch)}
	for i := range in.aux {
		in.batch.Headers[i].Control = &in.aux[i][0]
	}
	return in
}

// receive fills slots, at most a batch; with wait at least one.
func (in *incoming) receive(slots []*slot, wait bool) (int, error) {
	n := min(len(slots), batch)
	for i := range n {
		in.batch.Set(i, slots[i].buf[:])
		in.batch.Headers[i].SetControllen(auxSpace)
	}
	n, err := in.batch.Move(n, wait)
	for i := range n {
		slots[i].n = int(in.batch.Headers[i].Bytes)
		slots[i].partial = in.unchecked(i)
	}
	return n, err
}

// unchecked reads the one control message asked for, PACKET_AUXDATA.
func (in *incoming) unchecked(i int) bool {
	if in.batch.Headers[i].Controllen < uint64(unix.CmsgLen(4)) {
		return false
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&in.aux[i][0]))
	if h.Level != unix.SOL_PACKET || h.Type != unix.PACKET_AUXDATA {
		return false
	}
	status := *(*uint32)(unsafe.Pointer(&in.aux[i][unix.CmsgLen(0)]))
	return status&(unix.TP_STATUS_CSUMNOTREADY|unix.TP_STATUS_CSUM_VALID) != 0
}

// outgoing sends frames to a socket, a batch at a time.
type outgoing struct{ batch *mmsg.Batch }

func newOutgoing(conn syscall.RawConn) *outgoing {
	return &outgoing{batch: mmsg.Sending(conn, batch)}
}

// send skips a frame that is refused by itself; what says that the link is gone
// ends it.
func (out *outgoing) send(slots []*slot) (sent int, err error) {
	for len(slots) > 0 {
		n := min(len(slots), batch)
		for i := range n {
			out.batch.Set(i, slots[i].frame())
		}
		n, err := out.batch.Move(n, true)
		sent += n
		switch {
		case err == nil:
		case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINVAL):
			n = 1
		default:
			return sent, err
		}
		slots = slots[n:]
	}
	return sent, nil
}
