package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// name of the service, in status and logs.
const name = "dhcp"

// eventsKept bounds events that nobody has taken yet.
const eventsKept = 64

// Server serves DHCP on the guest links of a router. It is safe for concurrent
// use.
type Server struct {
	log      *slog.Logger
	open     opener
	counters counters
	events   chan agentv1.Event

	mu        sync.Mutex
	closed    bool
	listeners map[string]*listener // by MAC of the interface, as in the spec
	fault     error                // of the last Apply
}

// New makes a server that serves nothing yet.
func New(log *slog.Logger) *Server { return newServer(log, openPacket) }

func newServer(log *slog.Logger, open opener) *Server {
	return &Server{
		log: log.With("service", name), open: open,
		events: make(chan agentv1.Event, eventsKept), listeners: map[string]*listener{},
	}
}

// Name is "dhcp".
func (s *Server) Name() string { return name }

// Want is the package's Want.
func (s *Server) Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	return Want(c, links)
}

// Apply serves the networks of c and no other. Answers follow the new content
// from the next packet on; sockets are opened and closed for links that came,
// went or were replaced, no others. A link that cannot be opened is reported,
// the rest served, and it is tried again until it works. c must not be changed
// afterwards.
func (s *Server) Apply(_ context.Context, c agentv1.Content, links dataplane.Links) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("apply dhcp: server is closed")
	}
	configs, err := Plan(c, s.present())
	if err != nil { // Want refuses such a content before
		s.fault = fmt.Errorf("apply dhcp: %w", err)
		return s.fault
	}
	wanted := map[string]bool{}
	var errs []error
	for i, cfg := range configs {
		key := c.DHCP[i].Interface
		wanted[key] = true
		errs = append(errs, s.serve(key, cfg, links[key]))
	}
	for key, l := range s.listeners {
		if !wanted[key] {
			errs = append(errs, l.close())
			delete(s.listeners, key)
		}
	}
	s.fault = nil
	return errors.Join(errs...)
}

func (s *Server) present() map[string]*Config {
	out := make(map[string]*Config, len(s.listeners))
	for key, l := range s.listeners {
		out[key] = l.config.Load()
	}
	return out
}

// serve gives a network's listener its Config, and makes one where there is
// none.
func (s *Server) serve(key string, c *Config, link string) error {
	l, ok := s.listeners[key]
	if !ok {
		l = s.listen(c, link)
		s.listeners[key] = l
		return l.start()
	}
	before := l.config.Swap(c)
	if before != c {
		l.memory.forget(c, time.Now())
	}
	l.move(link, indexOf(link))
	return l.fault()
}

func (s *Server) listen(c *Config, link string) *listener {
	m := newMemory()
	l := &listener{mac: c.iface, open: s.open, log: s.log, counters: &s.counters, memory: m, link: link}
	l.responder = responder{memory: m, counters: &s.counters, events: s.events}
	l.config.Store(c)
	return l
}

// indexOf gives a link's interface index, 0 where there is none.
func indexOf(link string) int {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return 0
	}
	return ifi.Index
}

// Status says whether all links are served, and the counters.
func (s *Server) Status() agentv1.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := []error{s.fault}
	for _, l := range s.listeners {
		faults = append(faults, l.fault())
		if w := l.current(); w != nil {
			s.counters.overflow.Add(w.overflow())
		}
	}
	st := agentv1.ServiceStatus{Ready: true, Counters: s.counters.snapshot()}
	if err := errors.Join(faults...); err != nil {
		st.Ready, st.Error = false, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return st
}

// Leases are the bindings acknowledged since the server started and not given
// back, sorted by MAC.
func (s *Server) Leases() []agentv1.LeaseStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []agentv1.LeaseStatus
	for _, l := range s.listeners {
		out = append(out, l.memory.list()...)
	}
	slices.SortStableFunc(out, func(a, b agentv1.LeaseStatus) int { return strings.Compare(a.MAC, b.MAC) })
	return out
}

// Events are what the server noticed (address-conflict). Events that nobody
// takes are lost and counted, so reading them is optional. The channel is never
// closed.
func (s *Server) Events() <-chan agentv1.Event { return s.events }

// Close stops serving and closes all sockets. Closing twice is nil.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for key, l := range s.listeners {
		errs = append(errs, l.close())
		delete(s.listeners, key)
	}
	return errors.Join(errs...)
}
