package dhcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// responder answers frames of one network. It is used by one goroutine; memory
// alone is shared. It allocates nothing but the first lease of a binding.
type responder struct {
	memory   *memory
	counters *counters
	events   chan<- agentv1.Event
	req      request // reused: it is large
}

// answer gives the length of the frame written to out, which holds maxFrame
// bytes; zero is silence. A panic costs the packet it happened on, no other.
func (a *responder) answer(c *Config, frame []byte, partial bool, now time.Time, out []byte) (n int) {
	defer func() {
		if recover() != nil {
			a.counters.by[panicked].Add(1)
			n = 0
		}
	}()
	msg, m, err := openFrame(frame, partial)
	if err == nil {
		err = parse(msg, &a.req)
	}
	if err != nil {
		a.counters.by[reasonOf(err)].Add(1)
		return 0
	}
	d := a.decideAndRemember(c, m, now)
	a.counters.by[d.reason].Add(1)
	if d.kind == 0 {
		return 0
	}
	n, cut := compose(c, d, &a.req, out[payload:])
	if cut {
		a.counters.cut.Add(1)
	}
	return closeFrame(c, d.destination(&a.req, m), out, n)
}

func (a *responder) decideAndRemember(c *Config, m meta, now time.Time) decision {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	d := decide(c, &a.req, m, a.memory.quar, now)
	if d.binding != nil && a.memory.remember(d, now) {
		a.tell(conflict(d.binding, now))
	}
	return d
}

// tell never waits: who does not listen loses events, not packets.
func (a *responder) tell(e agentv1.Event) {
	select {
	case a.events <- e:
	default:
		a.counters.eventLost.Add(1)
	}
}

func reasonOf(err error) reason {
	switch {
	case errors.Is(err, errFrame):
		return malformedFrame
	case errors.Is(err, errChecksum):
		return malformedChecksum
	}
	return malformedMessage
}

// conflict says that a guest declined its address.
func conflict(b *binding, now time.Time) agentv1.Event {
	return agentv1.Event{
		Time: now, Type: "address-conflict", Service: name,
		Detail: fmt.Sprintf("guest nic %v declined %v: another station on its link answers for the address; find and remove it, the address is offered again after %v", b.mac, b.ip, quarantineTime),
	}
}
