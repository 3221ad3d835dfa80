// Package gate waits for a socket without being woken by each packet.
//
// A socket in the Go runtime's poller wakes a thread whenever a packet comes
// while all goroutines wait, also when the one that reads the socket does not
// want to know yet. Behind a Gate the socket stands in an epoll instance of its
// own, which the runtime watches instead: shut, that instance says nothing, and
// packets gather in the socket while the reader sleeps.
package gate

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Gate is what one goroutine waits at. The socket must not be in the runtime's
// poller: a blocking one that os.NewFile was given is not.
type Gate struct {
	socket int
	file   *os.File
	raw    syscall.RawConn
	open   bool

	// Of the call under way; here because a closure a call would be an
	// allocation a call.
	ready  func() bool
	try    func(uintptr) bool
	event  unix.EpollEvent
	err    error
	change func(uintptr)
}

// New makes an open gate for a socket; the socket stays the caller's.
func New(socket int) (*Gate, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll instance: %w", err)
	}
	g := &Gate{socket: socket, open: true}
	err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err == nil {
		err = unix.SetNonblock(fd, true) // what os.NewFile looks at
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch socket: %w", err)
	}
	g.file = os.NewFile(uintptr(fd), "gate")
	if g.raw, err = g.file.SyscallConn(); err != nil {
		_ = g.file.Close()
		return nil, fmt.Errorf("watch socket: %w", err)
	}
	g.try = func(uintptr) bool { return g.ready() }
	g.change = func(fd uintptr) { g.err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, g.socket, &g.event) }
	return g, nil
}

// Wait returns when ready says true, which it is asked at first and after each
// packet, error or hang-up. An error says that the gate was closed.
func (g *Gate) Wait(ready func() bool) error {
	if err := g.set(true); err != nil {
		return err
	}
	g.ready = ready
	return g.raw.Read(g.try)
}

// Pause sleeps for d, in steps of 1 ms as the runtime's poller has them. What
// comes meanwhile wakes nobody.
func (g *Gate) Pause(d time.Duration) error {
	if err := g.set(false); err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

// set opens or shuts the gate. Opened, epoll looks at once whether there is
// something, so nothing that came while it was shut is overlooked.
func (g *Gate) set(open bool) error {
	if g.open == open {
		return nil
	}
	g.event = unix.EpollEvent{}
	if open {
		g.event.Events = unix.EPOLLIN
	}
	if err := g.raw.Control(g.change); err != nil {
		return err
	}
	if g.err != nil {
		return fmt.Errorf("watch socket: %w", g.err)
	}
	g.open = open
	return nil
}

// Close ends a Wait. It may come from any goroutine.
func (g *Gate) Close() error { return g.file.Close() }
