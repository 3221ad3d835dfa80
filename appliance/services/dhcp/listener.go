package dhcp

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// opener opens the wire of a link.
type opener func(link string, mac hw) (wire, error)

const (
	// drainTurns bounds how many batches are taken from the kernel before some
	// are answered.
	drainTurns = 8
	// retryFirst and retryLast are the pauses between attempts to open a link
	// that is gone.
	retryFirst = 10 * time.Millisecond
	retryLast  = 250 * time.Millisecond
)

// listener serves one link: one goroutine, from open to close. The Config is
// read anew for each batch, so a new one loses no packet.
type listener struct {
	mac      hw
	open     opener
	log      *slog.Logger
	counters *counters
	memory   *memory
	config   atomic.Pointer[Config]

	mu   sync.Mutex
	link string // where the nic was last
	wire wire   // nil while it is being opened again
	err  error  // why it is nil
	stop bool

	quit chan struct{}
	done chan struct{}

	// Used by the goroutine only.
	responder responder
	queue     queue
	limit     limit
	in, out   [batch]*slot
}

// start opens the link and serves it. With an error it goes on trying.
func (l *listener) start() error {
	l.quit, l.done = make(chan struct{}), make(chan struct{})
	for i := range batch {
		l.in[i], l.out[i] = new(slot), new(slot)
	}
	err := l.reopen()
	go l.run()
	return err
}

// move tells where the nic is now. The wire is opened again if that is another
// interface than it was opened on, and kept if it was only renamed.
func (l *listener) move(link string, index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link = link
	if l.wire != nil && index != 0 && l.wire.index() != index {
		_ = l.wire.close() // run notices and opens it again
	}
}

// fault says why the link is not served, or nil.
func (l *listener) fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// close ends the goroutine and waits for it.
func (l *listener) close() error {
	l.mu.Lock()
	var err error
	if !l.stop {
		l.stop = true
		close(l.quit)
		if l.wire != nil {
			err = l.wire.close()
		}
	}
	l.mu.Unlock()
	<-l.done
	return err
}

func (l *listener) run() {
	defer close(l.done)
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		if w := l.current(); w != nil {
			served, err := l.serve(w)
			if !l.lost(w, err) {
				return
			}
			if served {
				pause = retryFirst
			}
		}
		select {
		case <-l.quit:
			return
		case <-time.After(pause):
		}
		if l.reopen() == nil {
			l.counters.reopened.Add(1)
			l.log.Info("dhcp link served again", "mac", l.mac.String())
		}
	}
}

func (l *listener) current() wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wire
}

// lost drops a wire that failed; false says that it was closed on purpose.
func (l *listener) lost(w wire, err error) bool {
	l.counters.overflow.Add(w.overflow())
	_ = w.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wire = nil
	if l.stop {
		return false
	}
	if errors.Is(err, errClosed) {
		err = errors.New("the nic was replaced")
	}
	l.err = fmt.Errorf("serve dhcp on %s (%v): %w", l.link, l.mac, err)
	l.log.Warn("dhcp link lost, opening it again", "link", l.link, "mac", l.mac.String(), "err", err)
	return true
}

func (l *listener) reopen() error {
	l.mu.Lock()
	link := l.link
	l.mu.Unlock()
	w, err := l.open(link, l.mac)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.err = fmt.Errorf("serve dhcp: %w", err)
	case l.stop:
		_ = w.close()
		return errClosed
	default:
		l.wire, l.err = w, nil
	}
	return l.err
}

// serve answers until the wire fails; served says that it worked at all.
func (l *listener) serve(w wire) (served bool, err error) {
	for {
		if err := l.take(w); err != nil {
			return served, err
		}
		served = true
		if err := l.give(w); err != nil {
			return served, err
		}
	}
}

// take empties the kernel's queue into ours. Strangers are dealt with at once,
// which is to say not at all: a flood of them costs reading it, and pushes no
// guest out of the queue.
func (l *listener) take(w wire) error {
	wait := l.queue.len == 0
	for range drainTurns {
		n, err := w.receive(l.in[:], wait)
		if err != nil {
			return err
		}
		wait = false
		// Read only now: the wait may have been long, and the first packet of a
		// guest that was added meanwhile must not be judged by the table before.
		c := l.config.Load()
		l.counters.received.Add(uint64(n))
		now := time.Now()
		for i := range n {
			l.in[i] = l.sort(c, l.in[i], now)
		}
		if n < batch {
			return nil
		}
	}
	return nil
}

// sort queues a request that is to be answered, and gives a slot for another.
func (l *listener) sort(c *Config, s *slot, now time.Time) *slot {
	f := s.frame()
	switch {
	case stranger(c, f):
		l.responder.answer(c, f, s.partial, time.Time{}, l.out[0].buf[:])
		return s
	case len(f) >= ethHeader && !relayed(c, f) && !l.limit.take(hw(f[6:12]), now):
		l.counters.by[droppedLimited].Add(1)
		return s
	}
	spare, dropped := l.queue.push(s)
	if dropped {
		l.counters.by[droppedLate].Add(1)
	}
	return spare
}

// relayed says that the frame looks like a known relay's, which speaks for many.
func relayed(c *Config, f []byte) bool {
	return len(c.relays) > 0 && len(f) >= payload+offSname && c.relayed(ip4(f[payload+offGiaddr:]))
}

// stranger says that the frame is surely not from a guest: cheap, and right
// whenever the IP header has its usual length.
func stranger(c *Config, f []byte) bool {
	if len(f) < payload+offSname || f[ethHeader] != 0x45 {
		return false
	}
	return c.bindings.find(hw(f[payload+offChaddr:])) == nil
}

// give answers a batch.
func (l *listener) give(w wire) error {
	c, now, answers := l.config.Load(), time.Now(), 0
	for answers < batch {
		s := l.queue.pop()
		if s == nil {
			break
		}
		out := l.out[answers]
		if out.n = l.responder.answer(c, s.frame(), s.partial, now, out.buf[:]); out.n > 0 {
			answers++
		}
		l.queue.release(s)
	}
	sent, err := w.send(l.out[:answers])
	l.counters.sent.Add(uint64(sent))
	l.counters.sendError.Add(uint64(answers - sent))
	return err
}
