// Package agent accepts what the orchestrator wants of a router, has it
// applied, keeps it so, and reports what was reached. It decides and it speaks
// HTTP; what a spec means is the Router's business, behind a small interface.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// Router is the machine below the agent.
type Router interface {
	// Check refuses a content that cannot be applied, before anything changes;
	// it does no I/O. The error is an *InvalidError where a field is to blame.
	Check(c agentv1.Content) (Checked, error)
	// Apply makes the router as c wants it and returns what was done, together
	// with an error when a part failed; the rest is applied nevertheless.
	// Applying the same twice writes nothing.
	Apply(ctx context.Context, c agentv1.Content) (Reached, error)
	// Change is Apply of next, which is what ch makes of the content that was
	// applied last, and costs what ch changes. An empty change undoes what others
	// have done.
	Change(ctx context.Context, next agentv1.Content, ch agentv1.Change) (Reached, error)
	// Resync makes the next Apply or Change trust nothing that it remembers.
	Resync()
	// Observe reads how the router is now. What cannot be read is left out.
	Observe(ctx context.Context) Observation
	// Found and Traffic are lists that are longer the more the router has to do.
	Found() Found
	// Traffic reads the counts of the mappings.
	Traffic() ([]agentv1.MappingTraffic, error)
}

// Checked is a content that was found good. It is not for concurrent use.
type Checked interface {
	// Change refuses a change as Router.Check would what it leads to, next, with
	// pointers into the SpecChange (of a DNS name into next); else it is of next
	// afterwards.
	Change(next agentv1.Content, ch agentv1.Change) error
}

// Reached is what an Apply did.
type Reached struct {
	// Writes is the number of objects written; 0: all was as wanted.
	Writes int
	// Steps are the changes, readable.
	Steps []string
}

// Observation is how a router is.
type Observation struct {
	Services       map[string]agentv1.ServiceStatus
	ConntrackCount int64
	ConntrackMax   int64
	Flowtables     bool
	Refused        map[agentv1.Refusal]uint64
	Warnings       []string
}

// Found is what there is in a router.
type Found struct {
	Interfaces []agentv1.InterfaceStatus
	Leases     []agentv1.LeaseStatus
}

// InvalidError is a content's fault, with the field it is in.
type InvalidError struct {
	// Field is a JSON pointer into the RouterSpec; may be empty.
	Field string
	Err   error
}

// Error gives pointer and cause.
func (e *InvalidError) Error() string {
	return strings.TrimPrefix(e.Field+": "+e.Err.Error(), ": ")
}

// Unwrap gives the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// Config is what an Agent is made of.
type Config struct {
	// RouterUUID is whose specs are accepted.
	RouterUUID string
	// Version of the binary, for the status.
	Version string
	Router  Router
	Ledger  *ledger.Ledger
	// HealEvery is how often equal state is applied again; 0 means 5 s.
	HealEvery time.Duration
	Log       *slog.Logger
}

// applyTimeout ends an apply that hangs in the kernel or in a child process,
// so that the next spec gets its turn.
const applyTimeout = 2 * time.Minute

// Agent is one router's agent. It is safe for concurrent use.
type Agent struct {
	cfg     Config
	bootID  string
	started time.Time
	events  *Events

	admission sync.Mutex // one spec is decided on at a time

	// accepted is known to admission only.
	checked Checked // of the accepted content; nil: changes are not taken
	digest  agentv1.Digest

	mu      sync.Mutex
	entry   ledger.Entry
	spec    *agentv1.RouterSpec // nil: none accepted
	ignored []string
	// since are the changes accepted since the spec that was applied last, or is
	// being applied now; follows: they lead from there to the newest.
	since    agentv1.Sum
	follows  bool
	lastErr  string                           // of the last apply
	services map[string]agentv1.ServiceStatus // after the last apply
	asked    uint64                           // applies asked for
	done     uint64                           // the newest one that was answered
	finished chan struct{}                    // closed and replaced when done grows

	wake   chan struct{}
	heals  atomic.Uint64
	writes atomic.Uint64
	faults atomic.Uint64
}

// New takes up what the ledger holds. A ledger of another router, or one that
// this binary cannot read, is reported and left: the agent then waits for a
// spec like a fresh one.
func New(cfg Config) *Agent {
	if cfg.HealEvery == 0 {
		cfg.HealEvery = 5 * time.Second
	}
	a := &Agent{
		cfg: cfg, bootID: bootID(), started: time.Now().UTC(), events: NewEvents(eventsKept),
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	a.entry.RouterUUID = cfg.RouterUUID
	if err := a.takeUp(); err != nil {
		cfg.Log.Warn("no spec taken up from the ledger", "router", cfg.RouterUUID, "err", err)
	}
	return a
}

func (a *Agent) takeUp() error {
	entry, ok, err := a.cfg.Ledger.Load()
	if err != nil || !ok {
		return err
	}
	if entry.RouterUUID != a.cfg.RouterUUID {
		return fmt.Errorf("ledger is router %s's", entry.RouterUUID)
	}
	if len(entry.Spec) == 0 { // only a fence was stored
		a.entry = entry
		return nil
	}
	in, err := restored(entry)
	if err != nil {
		return err
	}
	if a.checked, err = a.cfg.Router.Check(in.Spec.Content); err != nil {
		return fmt.Errorf("spec in ledger: %w", err)
	}
	in.Spec.Content.Sort()
	a.entry, a.spec, a.ignored, a.digest = entry, &in.Spec, in.Ignored, in.Digest
	a.entry.Spec, a.entry.Changes = nil, nil // they are in the ledger, and megabytes
	a.asked = 1                              // Run begins with it
	return nil
}

// HasSpec reports whether there is a spec to be applied.
func (a *Agent) HasSpec() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spec != nil
}

// Tell adds an event that a part of the router noticed.
func (a *Agent) Tell(ev agentv1.Event) { a.events.Add(ev) }

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Router is the uuid of the router whose agent this is.
func (a *Agent) Router() string { return a.cfg.RouterUUID }

// Accepted names the last accepted spec; zero: none.
func (a *Agent) Accepted() ledger.Mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entry.Accepted
}
