package dns

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/wire/questions"
)

// watchEvery is how often the interfaces are looked at: a nic that was replaced
// is served again after that long.
const watchEvery = time.Second

// maxWorkers bounds the sockets of one address.
const maxWorkers = 8

// ErrClosed is what a closed server answers.
var ErrClosed = errors.New("dns server is closed")

// Server serves DNS on the guest networks of a router. Its methods may be
// called from any goroutine.
type Server struct {
	log      *slog.Logger
	ctx      context.Context
	stop     context.CancelFunc
	started  time.Time
	cookies  cookieKey
	limits   limits
	counters counters
	events   chan agentv1.Event
	port     uint16
	workers  int
	planned  planned
	// loops are the goroutines that take packets, background those that ask.
	loops, background sync.WaitGroup
	sockets           *questions.Sockets[*flight]

	mu     sync.Mutex
	closed bool
	served map[string]*served // by MAC
	// failed is what the last Apply or look at the interfaces could not open.
	failed error
}

// served is a network with its sockets.
type served struct {
	net       *network
	link      string
	listeners map[netip.Addr]*listener
	clashes   clashes
}

// New makes a server that serves nothing until Apply. Close it.
func New(log *slog.Logger) *Server {
	ctx, stop := context.WithCancel(context.Background())
	var secret [16]byte
	rand.Read(secret[:]) //nolint:errcheck // never fails: it ends the process instead
	s := &Server{
		log: log.With("service", serviceName), ctx: ctx, stop: stop, started: time.Now(),
		cookies: newCookieKey(secret), limits: defaultLimits, port: Port,
		events:  make(chan agentv1.Event, eventsKept),
		workers: min(runtime.GOMAXPROCS(0), maxWorkers), served: make(map[string]*served),
	}
	var err error
	if s.sockets, err = questions.Open(tryWait, questions.Handler[*flight](arrivals{})); err != nil {
		s.log.Warn("dns questions cost more than they need", "err", err)
	}
	s.loops.Go(s.watch)
	return s
}

// clock is the monotonic time since the server was made.
func (s *Server) clock() instant { return time.Since(s.started) }

// Apply makes the server as the spec wants it. Packets are answered all the
// while: a network whose sockets stay where they are just gets another table.
// The content is kept: nobody may change it afterwards.
// What can be served is, also with an error about the rest; sockets that could
// not be opened are tried again every second.
func (s *Server) Apply(_ context.Context, c agentv1.Content, links dataplane.Links) error {
	configs, err := s.planned.of(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	wanted := make(map[string]bool, len(configs))
	for _, cfg := range configs {
		wanted[cfg.Interface] = true
		sv := s.served[cfg.Interface]
		if sv == nil {
			sv = &served{net: s.newNetwork(), listeners: make(map[netip.Addr]*listener)}
			s.served[cfg.Interface] = sv
		}
		before := sv.net.table.Load()
		now := s.newTable(before, cfg, len(configs))
		sv.net.table.Store(now)
		if before == nil || before.zone != now.zone {
			s.clash(sv, now.clashes())
		}
		sv.link = links[cfg.Interface]
	}
	for mac, sv := range s.served {
		if !wanted[mac] {
			sv.close()
			s.clash(sv, nil)
			delete(s.served, mac)
		}
	}
	s.failed = s.openAll()
	return s.failed
}

func (s *Server) newNetwork() *network {
	return &network{
		cookies: s.cookies, epoch: s.started.Unix(),
		clock: s.clock, limits: &s.limits, counters: &s.counters,
	}
}

// newTable makes a network's next table. It goes on with the names if they are
// the same, and with the cache if the answers in it would be asked for in the
// same way again.
func (s *Server) newTable(old *table, cfg Config, networks int) *table {
	t := &table{config: cfg}
	if old == nil {
		t.zone = newZone(cfg)
	} else {
		t.zone = old.zone.next(old.config, cfg)
	}
	share := s.limits.cacheBytes / networks
	if old != nil && old.resolver.sameSources(cfg) {
		t.resolver = old.resolver
		t.resolver.cache.resize(share)
	} else {
		t.resolver = s.newResolver(cfg, share)
	}
	if old != nil && old.guests.subnet == cfg.Subnet {
		t.guests = old.guests
	} else {
		t.guests = newGuests(cfg.Subnet)
	}
	return t
}

func (s *Server) newResolver(cfg Config, cacheBytes int) *resolver {
	strict, err := trust(cfg.TLS)
	if err != nil { // Plan has checked it: cannot be
		strict = &tls.Config{RootCAs: x509.NewCertPool()}
		s.log.Error("dns over TLS trusts nobody", "nic", cfg.Interface, "err", err)
	}
	r := &resolver{
		ctx: s.ctx, over: cfg.TLS, tls: strict, log: s.log.With("nic", cfg.Interface), clock: s.clock, limits: &s.limits,
		counters: &s.counters, background: &s.background, sockets: s.sockets, blocked: cfg.Blocked,
		cache: newCache(cacheBytes), flights: make(map[string]*flight),
	}
	for _, a := range cfg.Upstreams {
		r.upstreams = append(r.upstreams, &upstream{addr: a})
	}
	return r
}

// openAll opens and closes sockets until they are where they should be. Those
// that are stay untouched.
func (s *Server) openAll() error {
	var errs []error
	for mac, sv := range s.served {
		index, err := linkIndex(sv.link)
		if err != nil {
			errs = append(errs, fmt.Errorf("serve dns on nic %s: %w", mac, err))
		}
		wanted := make(map[netip.Addr]bool)
		for _, addr := range sv.net.table.Load().config.Listen {
			wanted[addr] = true
			p := place{link: sv.link, index: index, addr: addr}
			if l := sv.listeners[addr]; l != nil {
				if l.place == p {
					continue
				}
				l.close() // deaf: it is bound to a nic that is gone
				delete(sv.listeners, addr)
				s.counters.count(countReopened)
			}
			if index == 0 {
				continue
			}
			l, err := s.openListener(sv.net, p)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			sv.listeners[addr] = l
		}
		for addr, l := range sv.listeners {
			if !wanted[addr] {
				l.close()
				delete(sv.listeners, addr)
			}
		}
	}
	return errors.Join(errs...)
}

// watch reopens sockets whose nic was replaced, and opens those that could not
// be opened before.
func (s *Server) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		if !s.closed {
			err := s.openAll()
			if (err == nil) != (s.failed == nil) {
				s.log.Info("dns sockets changed", "err", err)
			}
			s.failed = err
		}
		s.mu.Unlock()
	}
}

// Status says whether all sockets are open, and what was counted.
func (s *Server) Status() agentv1.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := agentv1.ServiceStatus{Ready: s.failed == nil && !s.closed, Counters: make(map[string]uint64, counterCount+3)}
	if s.failed != nil {
		st.Error = s.failed.Error()
	}
	for i, name := range counterNames {
		st.Counters[name] = s.counters[i].Load()
	}
	for _, sv := range s.served {
		entries, bytes, evicted := sv.net.table.Load().resolver.cache.usage()
		st.Counters["dns_cache_entries"] += uint64(entries)
		st.Counters["dns_cache_bytes"] += uint64(bytes)
		st.Counters["dns_cache_evictions_total"] += evicted
	}
	return st
}

func (sv *served) close() {
	for addr, l := range sv.listeners {
		l.close()
		delete(sv.listeners, addr)
	}
}

// Close closes all sockets, ends what is under way and waits for it. Closing
// twice is nil.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	for _, sv := range s.served {
		sv.close()
	}
	s.mu.Unlock()
	if already {
		return nil
	}
	s.stop()
	s.loops.Wait()
	if s.sockets != nil {
		s.sockets.Close()
	}
	s.background.Wait()
	return nil
}
