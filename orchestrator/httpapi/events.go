package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// limits of the event streams.
type limits struct {
	// heartbeat is how often a silent stream says something, so that both ends
	// notice a broken connection.
	heartbeat time.Duration
	// write is how long a client may take to read what is sent to it.
	write   time.Duration
	streams int
	events  int // kept for resuming
	bytes   int // that they take
}

var defaultLimits = limits{heartbeat: 15 * time.Second, write: 10 * time.Second, streams: 128, events: 10_000, bytes: 32 << 20}

const eventStream = "text/event-stream"

var errStoreClosed = errors.New("the store is closed")

// newsroom turns the store's changes into events for any number of streams.
type newsroom struct {
	limits limits
	ring   *ring
	start  sync.Once

	mu   sync.Mutex
	open map[string]int // streams by account
}

func newNewsroom(l limits) *newsroom {
	return &newsroom{limits: l, ring: newRing(l.events, l.bytes), open: map[string]int{}}
}

// enter takes the place of a stream until leave is called; nil: there is none.
// An account has a quarter of them: the others' are for others.
func (n *newsroom) enter(account string) (leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.streams() >= n.limits.streams || account != "" && n.open[account] >= max(1, n.limits.streams/4) {
		return nil
	}
	n.open[account]++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.open[account]--; n.open[account] == 0 {
			delete(n.open, account)
		}
	}
}

// streams is called with the lock held.
func (n *newsroom) streams() (all int) {
	for _, some := range n.open {
		all += some
	}
	return all
}

// follow fills the ring from now on until the store is closed. Calling it
// again does nothing.
func (a *API) follow() {
	a.news.start.Do(func() {
		view, steps := a.store.Steps(context.Background())
		a.news.ring.restart(view.Revision)
		go func() {
			defer a.news.ring.close()
			for step := range steps {
				a.publish(step)
			}
		}()
	})
}

func (a *API) publish(step store.Step) {
	events := make([]event, 0, len(step.Changes))
	for _, c := range step.Changes {
		e, err := newEvent(step.View, c)
		if err != nil { // a defect; who follows must not believe in having it all
			a.log.Error("event not made", "err", err)
			step.Gap = true
			break
		}
		events = append(events, e)
	}
	if step.Gap {
		a.news.ring.restart(step.View.Revision)
		return
	}
	a.news.ring.add(step.View.Revision, events)
}

// subscription is what a client wants to hear.
type subscription struct {
	Kinds       []string `query:"kind,explode" doc:"Only these kinds of resources, such as l3-networks"`
	UUIDs       []string `query:"uuid,explode" doc:"Only these resources"`
	caller      *Caller
	LastEventID string `header:"Last-Event-ID" doc:"Go on after the event with this id"`
}

func (s *subscription) wants(e *event) bool {
	if !s.caller.inScope(e.kind, true) || !model.VisibleTo(s.caller.Account, e) {
		return false
	}
	return (len(s.Kinds) == 0 || slices.Contains(s.Kinds, e.kind)) && (len(s.UUIDs) == 0 || slices.Contains(s.UUIDs, e.uuid))
}

func (a *API) events() {
	op := operation("watch-events", http.MethodGet, "/v1/events", "Follow changes as server-sent events")
	op.Description = "The event types are `created`, `changed`, `deleted`, and `reset`, which says that events are missing: list again, then go on reading. " +
		"The stream first says its place (an id without data); changes after that are all sent, so list then. " +
		"Reconnect with Last-Event-ID to go on; a silent stream says its place every 15 seconds."
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[v1.Event](), true, "Event")
	op.Responses = map[string]*huma.Response{"200": {
		Description: "Events; the data of each is as described here",
		Content:     map[string]*huma.MediaType{eventStream: {Schema: schema}},
	}}
	Handle(a, op, func(ctx context.Context, in *subscription) (*huma.StreamResponse, error) {
		in.caller = callerOf(ctx)
		for i, name := range in.Kinds {
			kind, err := kindNamed(name)
			if err != nil {
				return nil, v1.Invalid("unknown-resource-type", "kind %q is no kind of resource; use one such as %s", shorten(name), model.L3Networks)
			}
			in.Kinds[i] = kind.String()
		}
		return a.subscribe(ctx, in)
	})
}

// subscribe finds where the stream begins. It holds one of the places of
// streams, which the answer's body gives back.
func (a *API) subscribe(ctx context.Context, in *subscription) (*huma.StreamResponse, error) {
	a.follow()
	a.news.ring.reach(ctx, a.store.View().Revision) // what a list shows already is not told again
	s := &stream{subscription: in, news: a.news}
	s.next, s.upTo = a.news.ring.now()
	if in.LastEventID != "" {
		last, err := parseMoment(in.LastEventID)
		if err != nil {
			return nil, err
		}
		next, known := a.news.ring.after(last)
		if s.lost = !known; known {
			s.next, s.upTo = next, last
		}
	}
	leave := a.news.enter(in.caller.Account)
	if leave == nil {
		return nil, v1.Unavailable("too-many-streams", "no more event streams are served than %d, and than a quarter of that to one account; close one, or retry later", a.news.limits.streams)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer leave()
		c := humagin.Unwrap(ctx)
		s.allowed = func() bool {
			_, err := a.identifyCaller(c.Request.Context(), c.GetHeader("Authorization"))
			return v1.Code(err) != unauthorized().Code
		}
		if err := s.serve(c); err != nil {
			a.log.Debug("event stream ended", "request", requestID(c.Request.Context()), "err", err)
		}
	}}, nil
}

// stream is one client's.
type stream struct {
	*subscription
	news *newsroom
	out  *http.ResponseController
	w    gin.ResponseWriter
	next uint64
	upTo moment
	lost bool
	// allowed is false once the client's token is revoked.
	allowed func() bool
}

// serve sends until the client goes or is too slow, or the server ends.
func (s *stream) serve(c *gin.Context) error {
	s.w, s.out = c.Writer, http.NewResponseController(c.Writer)
	// The server's own deadlines are for calls that end. Only a recorder of a
	// test has none to set.
	_ = s.out.SetReadDeadline(time.Time{})
	h := c.Writer.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy that collects would hold events back
	if err := s.send(s.place("open")); err != nil {
		return err
	}
	beat := time.NewTicker(s.news.limits.heartbeat)
	defer beat.Stop()
	for {
		more, err := s.forward()
		if err != nil {
			return err
		}
		select {
		case <-more:
		case <-beat.C:
			if !s.allowed() {
				return unauthorized()
			}
			if err := s.send(s.place("still here")); err != nil {
				return err
			}
		case <-c.Request.Context().Done():
			return c.Request.Context().Err()
		}
	}
}

// forward sends all that there is, and returns what to wait for.
func (s *stream) forward() (more <-chan struct{}, err error) {
	for {
		c := s.news.ring.read(s.next)
		s.lost = s.lost || c.lost
		s.next, s.upTo = c.next, c.upTo
		var text []byte
		if s.lost {
			text = fmt.Appendf(nil, "id: %s\nevent: %s\ndata: {\"revision\":%d}\n\n", s.upTo, v1.EventReset, s.upTo.revision)
			s.lost, c.events = false, nil
		}
		for i := range c.events {
			if e := &c.events[i]; s.wants(e) {
				text = fmt.Appendf(text, "id: %s\nevent: %s\ndata: %s\n\n", e.at, e.what, e.dataFor(s.caller.Account))
			}
		}
		if err := s.send(text); err != nil {
			return nil, err
		}
		if c.closed {
			return nil, errStoreClosed
		}
		if len(c.events) < chapterSize {
			return c.more, nil
		}
	}
}

// place is an id without an event: a client that has seen it resumes there,
// even if nothing that it wants has happened for long.
func (s *stream) place(comment string) []byte {
	return fmt.Appendf(nil, "id: %s\n: %s\n\n", s.upTo, comment)
}

// send fails if the client does not read in time.
func (s *stream) send(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	_ = s.out.SetWriteDeadline(time.Now().Add(s.news.limits.write)) // as above
	if _, err := bytes.NewReader(text).WriteTo(s.w); err != nil {
		return err
	}
	return s.out.Flush()
}
