// Package mmsg moves datagrams between a socket and memory, many in one system
// call (recvmmsg(2), sendmmsg(2)), for servers that wake up often for little.
//
// The calls are made raw: the Go scheduler is not told of them. It would wake
// its monitor thread for the first call after each pause, which costs more than
// the call itself when packets come one by one. That is safe because none of
// them waits (MSG_DONTWAIT): waiting is the runtime poller's work, so closing a
// socket, deadlines and goroutines are as with any other connection. A receiver
// that does not get to wait tells the scheduler after all, or its goroutine
// would keep a lone processor to itself.
package mmsg

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callsUntold is how many calls a receiver makes without a wait before the
// scheduler is told of them: more than a burst of a few guests takes, and well
// below the 10 ms after which the monitor thread takes the processor away.
const callsUntold = 16

// Header is struct mmsghdr of recvmmsg(2): a message's header and how many
// bytes were moved.
type Header struct {
	unix.Msghdr
	Bytes uint32
	_     [4]byte
}

// Batch is one direction of a socket: the headers of its calls, made once and
// used by one goroutine at a time.
type Batch struct {
	// Headers are the messages. A caller sets names and control buffers, and
	// reads flags and lengths; Set sets the data.
	Headers []Header
	// Told makes all calls the ordinary way: for a sender whose receiver is not
	// a Batch and does not get to wait.
	Told bool

	iovs []unix.Iovec
	// calls is how many were made since the last wait.
	calls int
	call  uintptr
	on    func(func(fd uintptr) bool) error // RawConn's Read or Write

	// Of the call under way; here because a closure a call would be an
	// allocation a call.
	count int
	wait  bool
	moved int
	errno syscall.Errno
	try   func(fd uintptr) bool
}

// Receiving makes the batch that receives from a socket, at most size messages
// at a time.
func Receiving(conn syscall.RawConn, size int) *Batch {
	return newBatch(unix.SYS_RECVMMSG, conn.Read, size)
}

// Sending makes the batch that sends to a socket, at most size messages at a
// time.
func Sending(conn syscall.RawConn, size int) *Batch {
	return newBatch(unix.SYS_SENDMMSG, conn.Write, size)
}

func newBatch(call uintptr, on func(func(fd uintptr) bool) error, size int) *Batch {
	b := &Batch{Headers: make([]Header, size), iovs: make([]unix.Iovec, size), call: call, on: on}
	for i := range b.Headers {
		b.Headers[i].Iov = &b.iovs[i]
		b.Headers[i].Iovlen = 1
	}
	b.try = b.once
	return b
}

// Set makes data, which is not empty, what message i is received into or sent
// from.
func (b *Batch) Set(i int, data []byte) {
	b.iovs[i].Base = &data[0]
	b.iovs[i].SetLen(len(data))
}

// Move receives or sends the first n messages (1 to the batch's size) and
// returns how many were moved. With wait it waits until at least one can be;
// without it, none is no error. An error is about the first message, or the
// socket: net.ErrClosed for one of package net, something else for an os.File.
func (b *Batch) Move(n int, wait bool) (int, error) {
	b.count, b.wait = n, wait
	if err := b.on(b.try); err != nil {
		return 0, err
	}
	if b.errno != 0 {
		return 0, b.errno
	}
	return b.moved, nil
}

// once makes the call; false asks the poller to wait and come again.
func (b *Batch) once(fd uintptr) bool {
	for {
		n, errno := b.enter(fd)
		switch errno {
		case 0:
			b.moved, b.errno = int(n), 0
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			b.moved, b.errno = 0, 0
			if b.wait {
				b.calls = 0
			}
			return !b.wait
		}
		b.moved, b.errno = 0, errno
		return true
	}
}

// enter makes the call, raw where that is fair to other goroutines. A sender is
// always raw: whoever sends without end has received without end.
func (b *Batch) enter(fd uintptr) (n uintptr, errno syscall.Errno) {
	if b.call == unix.SYS_RECVMMSG {
		b.calls++
	}
	if b.Told || b.calls > callsUntold {
		n, _, errno = unix.Syscall6(b.call, fd, uintptr(unsafe.Pointer(&b.Headers[0])), uintptr(b.count), unix.MSG_DONTWAIT, 0, 0)
	} else {
		n, _, errno = unix.RawSyscall6(b.call, fd, uintptr(unsafe.Pointer(&b.Headers[0])), uintptr(b.count), unix.MSG_DONTWAIT, 0, 0)
	}
	return n, errno
}
