package dhcp

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/wire/mmsg"
)

// batch is how many frames one system call moves at most. Beyond some 32 the
// call's own cost no longer shows.
const batch = 64

// outgoing sends frames to a socket, a batch at a time.
type outgoing struct{ batch *mmsg.Batch }

func newOutgoing(conn syscall.RawConn) *outgoing {
	return &outgoing{batch: mmsg.Sending(conn, batch)}
}

// send sends what the link takes now and skips a frame that is refused by
// itself; what says that the link is gone ends it. With told the Go scheduler
// learns of the calls (see mmsg).
func (out *outgoing) send(slots []*slot, told bool) (sent int, err error) {
	out.batch.Told = told
	for len(slots) > 0 {
		n := min(len(slots), batch)
		for i := range n {
			out.batch.Set(i, slots[i].frame())
		}
		n, err := out.batch.Move(n, false)
		sent += n
		switch {
		case err == nil && n == 0: // the link is busy: whoever asked asks again
			return sent, nil
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
