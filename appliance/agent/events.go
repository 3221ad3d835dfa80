package agent

import (
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// eventsKept is how many past events a reader that comes back can still get.
const eventsKept = 256

// Events is a bounded history that readers follow at their own pace: a slow
// reader loses events, and is told so, rather than hold anybody up.
type Events struct {
	mu   sync.Mutex
	last uint64
	ring []agentv1.Event // the newest at most cap(ring), oldest first
	more chan struct{}   // closed and replaced at each Add
}

// NewEvents keeps the newest keep events.
func NewEvents(keep int) *Events {
	return &Events{ring: make([]agentv1.Event, 0, keep), more: make(chan struct{})}
}

// Add numbers and dates an event and passes it on.
func (e *Events) Add(ev agentv1.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	ev.ID, ev.Time = e.last, time.Now().UTC()
	if len(e.ring) == cap(e.ring) {
		copy(e.ring, e.ring[1:])
		e.ring = e.ring[:len(e.ring)-1]
	}
	e.ring = append(e.ring, ev)
	close(e.more)
	e.more = make(chan struct{})
}

// Last is the number of the newest event, 0 for none.
func (e *Events) Last() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// After returns the events after the one numbered id, and a channel that is
// closed when there are more. Should some be gone already, the first one
// returned is of type "lost". An id from the future (of an agent before this
// one) counts as 0.
func (e *Events) After(id uint64) ([]agentv1.Event, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id > e.last {
		id = 0
	}
	fresh := e.last - id
	if fresh == 0 {
		return nil, e.more
	}
	kept := uint64(len(e.ring))
	if fresh <= kept {
		return append([]agentv1.Event(nil), e.ring[kept-fresh:]...), e.more
	}
	lost := agentv1.Event{ID: e.last - kept, Time: time.Now().UTC(), Type: "lost"}
	return append([]agentv1.Event{lost}, e.ring...), e.more
}
