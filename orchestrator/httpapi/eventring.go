package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// moment is the id of an event: the same change has the same one in every
// orchestrator on the store.
type moment struct {
	revision int64
	index    int
}

// endOf is after everything of a revision.
func endOf(revision int64) moment { return moment{revision, math.MaxInt} }

func (m moment) String() string {
	if m.index == math.MaxInt {
		return strconv.FormatInt(m.revision, 10)
	}
	return fmt.Sprintf("%d-%d", m.revision, m.index)
}

func (m moment) before(o moment) bool {
	return m.revision < o.revision || m.revision == o.revision && m.index < o.index
}

func parseMoment(id string) (moment, error) {
	revision, index, part := strings.Cut(id, "-")
	r, err := strconv.ParseUint(revision, 10, 63)
	i := uint64(math.MaxInt)
	if err == nil && part {
		i, err = strconv.ParseUint(index, 10, 31)
	}
	if err != nil {
		return moment{}, v1.Invalid("invalid-last-event-id", "Last-Event-ID %q is no id of an event; leave it out", shorten(id))
	}
	return moment{int64(r), int(i)}, nil
}

// event is a change, written once for all streams.
type event struct {
	at         moment
	what       string
	kind, uuid string
	data       []byte // of v1.Event
	// tenants is data as accounts see it; nil: alike.
	tenants []byte
	// meta says whose it is.
	meta *v1.Meta
}

// GetMeta lets the model say who sees the event: who sees its resource.
func (e *event) GetMeta() *v1.Meta { return e.meta }

func (e *event) dataFor(account string) []byte {
	if account == "" || e.tenants == nil {
		return e.data
	}
	return e.tenants
}

func (e *event) size() int { return len(e.data) + len(e.tenants) }

func newEvent(v *model.View, c store.Change) (event, error) {
	e := event{at: moment{c.Revision, c.Index}, kind: c.Kind.String(), uuid: c.UUID}
	data := v1.Event{Revision: c.Revision, Kind: e.kind, UUID: e.uuid}
	switch {
	case c.After == nil && c.Before == nil: // deleted before it was ever seen
		e.what = v1.EventDeleted
	case c.After == nil:
		e.what, data.Name = v1.EventDeleted, c.Before.GetMeta().Name
	case c.Before == nil:
		e.what = v1.EventCreated
	default:
		e.what = v1.EventChanged
	}
	e.meta = &v1.Meta{}
	for _, r := range []v1.Resource{c.Before, c.After} {
		if r != nil {
			e.meta = r.GetMeta()
		}
	}
	if c.After != nil {
		data.Name, data.Resource = c.After.GetMeta().Name, filled(v, c.After)
	}
	var err error
	if e.data, err = json.Marshal(data); err == nil && len(e.meta.SharedWith) > 0 && c.After != nil {
		data.Resource = withoutCloud(filled(v, c.After))
		e.tenants, err = json.Marshal(data)
	}
	if err != nil {
		return e, fmt.Errorf("encode event of %s %s: %w", e.kind, e.uuid, err)
	}
	return e, nil
}

// ring is the last events. Streams read it at their own pace and are told when
// what comes next has been forgotten, so that none of them holds up anything.
type ring struct {
	maxEvents, maxBytes int

	mu     sync.Mutex
	events []event
	bytes  int
	// first is the number of events[0]; numbers grow by one an event.
	first uint64
	// forgotten is the last that is not here any more; all after it is.
	forgotten moment
	// newest is the revision up to which the events are known.
	newest int64
	grown  chan struct{} // closed and replaced when there is more
	closed bool
}

func newRing(maxEvents, maxBytes int) *ring {
	return &ring{maxEvents: maxEvents, maxBytes: maxBytes, first: 1, grown: make(chan struct{})}
}

// wake is called with the ring locked.
func (r *ring) wake() {
	close(r.grown)
	r.grown = make(chan struct{})
}

// restart forgets everything: what changed up to the revision is not known.
// The number that is left out makes every stream notice.
func (r *ring) restart(revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first += uint64(len(r.events)) + 1
	r.events, r.bytes = nil, 0
	r.newest, r.forgotten = revision, endOf(revision)
	r.wake()
}

func (r *ring) add(revision int64, events []event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = revision
	for _, e := range events {
		r.events = append(r.events, e)
		r.bytes += e.size()
	}
	for len(r.events) > r.maxEvents || r.bytes > r.maxBytes {
		r.bytes -= r.events[0].size()
		r.forgotten = r.events[0].at
		r.events[0] = event{} // the array lives on for a while
		r.events = r.events[1:]
		r.first++
	}
	r.wake()
}

// reach waits until the events up to a revision are here.
func (r *ring) reach(ctx context.Context, revision int64) {
	for {
		r.mu.Lock()
		done, grown := r.closed || r.newest >= revision, r.grown
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return
		}
	}
}

func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
}

// chapter is what a stream reads at once.
type chapter struct {
	events []event
	// next is where to read on, and upTo what has been read then.
	next   uint64
	upTo   moment
	lost   bool // events before are missing
	closed bool
	more   <-chan struct{}
}

// chapterSize keeps one answer's copy small.
const chapterSize = 256

// read is the events from a number on.
func (r *ring) read(from uint64) chapter {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.first + uint64(len(r.events))
	c := chapter{next: end, upTo: endOf(r.newest), closed: r.closed, more: r.grown}
	if from < r.first {
		c.lost = true
		return c
	}
	rest := r.events[from-r.first:]
	if len(rest) > chapterSize {
		rest = rest[:chapterSize]
		c.upTo = rest[chapterSize-1].at
	}
	c.events = append([]event(nil), rest...)
	c.next = from + uint64(len(rest))
	return c
}

// after is the number of the first event after a moment; false if some of them
// have been forgotten or the moment is not known here.
func (r *ring) after(m moment) (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.revision > r.newest || m.before(r.forgotten) {
		return 0, false
	}
	i := sort.Search(len(r.events), func(i int) bool { return m.before(r.events[i].at) })
	return r.first + uint64(i), true
}

// now is the number of the next event to come, and what is before it.
func (r *ring) now() (uint64, moment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first + uint64(len(r.events)), endOf(r.newest)
}
