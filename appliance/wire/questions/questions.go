// Package questions asks by UDP, each time from a socket of its own that is
// connected, so that the kernel drops what comes from elsewhere, and on a random
// port (RFC 5452 §9.2). Answers to all of them are waited for in one place: an
// epoll instance of our own, which the Go runtime's poller watches. A question
// costs no goroutine, no timer and no registration with the runtime, and its
// system calls are made raw, as package mmsg explains; none of them waits.
package questions

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxLen is the longest answer taken whole, in bytes: more than resolvers ask
// for, because some servers do not listen.
const MaxLen = 4096

// batch is how many sockets with answers one call tells of.
const batch = 64

// Handler is told how questions fare, by one goroutine.
type Handler[T any] interface {
	// Arrived gives what came for a question: a datagram, whose bytes stand until
	// it returns, or the socket's error. It returns whether that ends the
	// question; else more is waited for.
	Arrived(of T, answer []byte, err error) (done bool)
	// Late gives a question that was not ended in time, with its socket: it is
	// the handler's now.
	Late(of T, socket *os.File)
}

// Sockets are questions under way, each with something of the caller's.
type Sockets[T any] struct {
	handler  Handler[T]
	patience time.Duration
	epoll    *os.File
	fd       int // epoll's; good while open is not nil
	raw      syscall.RawConn
	ended    sync.WaitGroup

	mu   sync.Mutex
	open map[int32]*socket[T] // by descriptor; nil: closed
	// first and last of those under way; armed: the reader wakes up in time for
	// the first.
	first, last *socket[T]
	armed       bool

	// The reading goroutine's memory.
	events [batch]unix.EpollEvent
	buf    [MaxLen]byte
}

// socket is one question's. Only the reading goroutine ends it.
type socket[T any] struct {
	of            T
	fd            int32
	late          time.Time
	before, after *socket[T]
}

// Open starts the goroutine that calls the handler, for questions that are to be
// ended within patience. Close ends it.
func Open[T any](patience time.Duration, h Handler[T]) (*Sockets[T], error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll instance: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for os.NewFile to have it watched
		return nil, errors.Join(fmt.Errorf("watch epoll instance: %w", err), unix.Close(fd))
	}
	s := &Sockets[T]{
		handler: h, patience: patience, epoll: os.NewFile(uintptr(fd), "questions"), fd: fd, open: make(map[int32]*socket[T]),
	}
	if s.raw, err = s.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch epoll instance: %w", err), s.epoll.Close())
	}
	s.ended.Go(s.read)
	return s, nil
}

// Ask sends a packet to an address without a zone, from a port of those given,
// which are tried in turn while they are in use; zeros are passed over. The
// handler is told, perhaps before Ask returns; after an error it is not.
func (s *Sockets[T]) Ask(to netip.AddrPort, packet []byte, ports []uint16, of T) error {
	fd, err := dial(to, ports)
	if err != nil {
		return err
	}
	err = send(fd, packet)
	if err == nil {
		err = s.add(&socket[T]{of: of, fd: int32(fd), late: time.Now().Add(s.patience)})
	}
	if err != nil {
		closeRaw(fd)
	}
	return err
}

// add has a socket watched.
func (s *Sockets[T]) add(k *socket[T]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return os.ErrClosed
	}
	if err := epollControl(s.fd, unix.EPOLL_CTL_ADD, k.fd); err != nil {
		return fmt.Errorf("watch socket: %w", err)
	}
	s.open[k.fd] = k
	if k.before = s.last; s.last != nil {
		s.last.after = k
	} else {
		s.first = k
	}
	s.last = k
	if !s.armed {
		s.arm()
	}
	return nil
}

// arm is called with mu held.
func (s *Sockets[T]) arm() {
	var at time.Time
	if s.armed = s.first != nil; s.armed {
		at = s.first.late
	}
	_ = s.epoll.SetReadDeadline(at) // a closed one wakes up anyway
}

// remove is before the socket's end: the kernel gives its number to the next one.
func (s *Sockets[T]) remove(k *socket[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k.fd)
	if k.before != nil {
		k.before.after = k.after
	} else {
		s.first = k.after
	}
	if k.after != nil {
		k.after.before = k.before
	} else {
		s.last = k.before
	}
}

// read tells the handler until Close.
func (s *Sockets[T]) read() {
	for {
		if err := s.raw.Read(s.drain); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		s.giveUp(time.Now())
	}
}

// drain takes what there is; false has the runtime tell when there is more.
func (s *Sockets[T]) drain(fd uintptr) bool {
	for {
		n, err := epollWait(int(fd), s.events[:])
		if n == 0 || err != nil {
			return false
		}
		for _, ev := range s.events[:n] {
			s.mu.Lock()
			k := s.open[ev.Fd]
			s.mu.Unlock()
			if k != nil {
				s.receive(k)
			}
		}
	}
}

// receive takes one datagram; the kernel tells again of those behind it.
func (s *Sockets[T]) receive(k *socket[T]) {
	n, err := receive(int(k.fd), s.buf[:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if s.handler.Arrived(k.of, s.buf[:n], err) {
		s.remove(k)
		closeRaw(int(k.fd))
	}
}

// giveUp hands over those that are late.
func (s *Sockets[T]) giveUp(now time.Time) {
	for k := s.overdue(now); k != nil; k = s.overdue(now) {
		_ = epollControl(s.fd, unix.EPOLL_CTL_DEL, k.fd) // or all is being closed
		s.remove(k)
		s.handler.Late(k.of, os.NewFile(uintptr(k.fd), "question"))
	}
}

// overdue is the first of those that are late; without one the reader is told
// when there may be.
func (s *Sockets[T]) overdue(now time.Time) *socket[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil && s.first != nil && !s.first.late.After(now) {
		return s.first
	}
	s.arm()
	return nil
}

// Close closes all sockets. The handler is told nothing after it.
func (s *Sockets[T]) Close() {
	s.mu.Lock()
	s.open = nil
	s.mu.Unlock()
	_ = s.epoll.Close() // nothing is buffered
	s.ended.Wait()
	for ; s.first != nil; s.remove(s.first) {
		closeRaw(int(s.first.fd))
	}
}
