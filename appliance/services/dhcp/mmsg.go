package dhcp

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many frames one system call moves at most. Beyond some 32 the
// call's own cost no longer shows.
const batch = 64

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// auxSpace is room for one control message with a struct tpacket_auxdata.
const auxSpace = 40

// mmsg is one direction of a socket: the headers of recvmmsg(2) or sendmmsg(2),
// made once. golang.org/x/net has these calls for IP sockets only. The poll
// functions are made once too, because a closure a call would be an allocation
// a call.
type mmsg struct {
	call uintptr
	on   poller
	hdrs [batch]mmsghdr
	iovs [batch]unix.Iovec
	aux  [batch][auxSpace]byte

	count int
	wait  bool
	n     int
	errno syscall.Errno
	poll  func(fd uintptr) bool
}

func newMmsg(call uintptr, on poller) *mmsg {
	m := &mmsg{call: call, on: on}
	m.poll = m.try
	for i := range m.hdrs {
		m.hdrs[i].hdr.Iov = &m.iovs[i]
		m.hdrs[i].hdr.Iovlen = 1
	}
	return m
}

// try makes the call once; false asks the poller to wait.
func (m *mmsg) try(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(m.call, fd, uintptr(unsafe.Pointer(&m.hdrs[0])), uintptr(m.count), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			m.n, m.errno = int(n), 0
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			m.n, m.errno = 0, 0
			return !m.wait
		}
		m.n, m.errno = 0, errno
		return true
	}
}

// poller is RawConn's Read or Write.
type poller func(func(fd uintptr) bool) error

func (m *mmsg) run() (int, error) {
	if err := m.on(m.poll); err != nil {
		return 0, err
	}
	if m.errno != 0 {
		return 0, m.errno
	}
	return m.n, nil
}

func (m *mmsg) receive(slots []*slot, wait bool) (int, error) {
	m.count, m.wait = min(len(slots), batch), wait
	for i := range m.count {
		m.iovs[i].Base = &slots[i].buf[0]
		m.iovs[i].SetLen(maxFrame)
		m.hdrs[i].hdr.Control = &m.aux[i][0]
		m.hdrs[i].hdr.SetControllen(auxSpace)
	}
	n, err := m.run()
	for i := range n {
		slots[i].n = int(m.hdrs[i].len)
		slots[i].partial = m.unchecked(i)
	}
	return n, err
}

// unchecked reads the one control message asked for, PACKET_AUXDATA.
func (m *mmsg) unchecked(i int) bool {
	if m.hdrs[i].hdr.Controllen < uint64(unix.CmsgLen(4)) {
		return false
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m.aux[i][0]))
	if h.Level != unix.SOL_PACKET || h.Type != unix.PACKET_AUXDATA {
		return false
	}
	status := *(*uint32)(unsafe.Pointer(&m.aux[i][unix.CmsgLen(0)]))
	return status&(unix.TP_STATUS_CSUMNOTREADY|unix.TP_STATUS_CSUM_VALID) != 0
}

// send skips a frame that is refused by itself; what says that the link is gone
// ends it.
func (m *mmsg) send(slots []*slot) (sent int, err error) {
	for len(slots) > 0 {
		m.count, m.wait = min(len(slots), batch), true
		for i := range m.count {
			m.iovs[i].Base = &slots[i].buf[0]
			m.iovs[i].SetLen(slots[i].n)
		}
		n, err := m.run()
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
