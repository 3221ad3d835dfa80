package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// fakeRouter is a router that is a string: the hostname that was applied last.
type fakeRouter struct {
	mu      sync.Mutex
	is      string
	applies []string      // every Apply's hostname
	broken  error         // what Apply fails with
	hold    chan struct{} // Apply waits for it, when set
	entered chan struct{} // gets a value when an Apply begins, when set
	resyncs int
	eips    []agentv1.EIP    // applied last
	changes []agentv1.Change // every one that came
}

func (f *fakeRouter) Traffic() ([]agentv1.MappingTraffic, error) {
	return []agentv1.MappingTraffic{{UUID: "e", InPackets: 1}}, nil
}

func (f *fakeRouter) Check(c agentv1.Content) (Checked, error) {
	if c.Hostname == "invalid" {
		return nil, &InvalidError{Field: "/content/hostname", Err: errors.New("is not liked")}
	}
	return fakeChecked{f}, nil
}

// fakeChecked refuses EIPs called invalid.
type fakeChecked struct{ *fakeRouter }

func (fakeChecked) Change(_ agentv1.Content, ch agentv1.Change) error {
	for i, e := range ch.EIPs.Add {
		if e.UUID == "invalid" {
			return &InvalidError{Field: fmt.Sprintf("/change/eips/add/%d/uuid", i), Err: errors.New("is not liked")}
		}
	}
	return nil
}

func (f *fakeRouter) Change(ctx context.Context, next agentv1.Content, ch agentv1.Change) (Reached, error) {
	f.mu.Lock()
	f.changes = append(f.changes, ch)
	follows := f.eips
	f.mu.Unlock()
	if want, err := (agentv1.Content{EIPs: follows}).Changed(ch); err != nil || !slices.Equal(want.EIPs, next.EIPs) {
		return Reached{}, fmt.Errorf("change %+v does not lead from %v to %v", ch, follows, next.EIPs)
	}
	return f.Apply(ctx, next)
}

func (f *fakeRouter) Found() Found {
	return Found{Leases: []agentv1.LeaseStatus{{MAC: "m"}}, Interfaces: []agentv1.InterfaceStatus{{Name: "eth0"}}}
}

func (f *fakeRouter) Apply(ctx context.Context, c agentv1.Content) (Reached, error) {
	f.mu.Lock()
	hold, entered := f.hold, f.entered
	f.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Reached{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies = append(f.applies, c.Hostname)
	was := f.eips
	f.eips = c.EIPs
	if f.broken != nil {
		return Reached{}, f.broken
	}
	if f.is == c.Hostname && slices.Equal(was, c.EIPs) {
		return Reached{}, nil
	}
	f.is = c.Hostname
	return Reached{Writes: 1, Steps: []string{"set " + c.Hostname}}, nil
}

func (f *fakeRouter) Resync() { f.mu.Lock(); f.resyncs++; f.mu.Unlock() }

func (f *fakeRouter) Observe(context.Context) Observation {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := agentv1.ServiceStatus{Ready: f.broken == nil, Counters: map[string]uint64{"packets_total": 7, "entries": 3}}
	if f.broken != nil {
		s.Error = f.broken.Error()
	}
	return Observation{Services: map[string]agentv1.ServiceStatus{"dhcp": s}}
}

func (f *fakeRouter) set(change func(*fakeRouter)) { f.mu.Lock(); change(f); f.mu.Unlock() }

func (f *fakeRouter) state() (is string, applies int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is, len(f.applies)
}

// newAgent is an agent over f in dir; start runs it until the test ends.
func newAgent(t *testing.T, dir string, f *fakeRouter, heal time.Duration) *Agent {
	t.Helper()
	l, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{RouterUUID: self, Version: "test", Router: f, Ledger: l, HealEvery: heal, Log: slog.New(slog.DiscardHandler)})
}

func start(t *testing.T, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func raw(t *testing.T, gen uint64, fence int64, hostname string) []byte {
	t.Helper()
	b, err := json.Marshal(incoming(gen, fence, hostname).Spec)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
