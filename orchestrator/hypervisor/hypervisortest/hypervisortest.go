// Package hypervisortest is the suite that every hypervisor.Hypervisor passes, the
// Fake and a real libvirt alike. What it asserts is the contract in the comments
// of package hypervisor.
package hypervisortest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Host is a hypervisor under test with what the suite needs to do behind its back.
type Host struct {
	hypervisor.Hypervisor
	// Kernel is the content of a volume that boots directly and stays up.
	Kernel []byte
	// Disk is the content of a qcow2 volume that boots and stays up.
	Disk []byte
	// Bridge exists on the host.
	Bridge string
	// Kill ends a running domain as an operator does.
	Kill func(t *testing.T, uuid string)
	// Crash ends a running domain as a dying QEMU process does.
	Crash func(t *testing.T, uuid string)
	// StartGuest starts a domain that is not Sluice's.
	StartGuest func(t *testing.T, uuid, name, mac string)
	// Break cuts every connection; the host comes back by itself or in Mend.
	Break func(t *testing.T)
	Mend  func(t *testing.T)
}

// patience is for machines that emulate guests on few cores.
const patience = 60 * time.Second

// Run runs the suite; setUp returns a fresh, empty host for each test.
func Run(t *testing.T, setUp func(t *testing.T) *Host) {
	tests := []struct {
		name string
		run  func(t *testing.T, h *Host)
	}{
		{"Info", testInfo},
		{"VolumeIsIdempotent", testVolumeIsIdempotent},
		{"VolumeOfOtherSizeIsReplaced", testVolumeOfOtherSizeIsReplaced},
		{"VolumeOfWrongContentLeavesNothing", testVolumeOfWrongContent},
		{"VolumeDelete", testVolumeDelete},
		{"VolumeNames", testVolumeNames},
		{"Overlay", testOverlay},
		{"DomainLife", testDomainLife},
		{"DomainNeedsVolumes", testDomainNeedsVolumes},
		{"DomainNeedsBridge", testDomainNeedsBridge},
		{"DomainIsReplaced", testDomainIsReplaced},
		{"DomainIsRestarted", testDomainIsRestarted},
		{"DomainInvalid", testDomainInvalid},
		{"DomainNameConflict", testDomainNameConflict},
		{"ForeignDomainIsLeftAlone", testForeignDomain},
		{"Console", testConsole},
		{"EventsOfLife", testEventsOfLife},
		{"EventsOfGuest", testEventsOfGuest},
		{"EventsAfterLoss", testEventsAfterLoss},
		{"CancelledContext", testCancelledContext},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, setUp(t)) })
	}
}

// Opener returns content as EnsureVolume wants it.
func Opener(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

func (h *Host) put(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := h.EnsureVolume(t.Context(), name, int64(len(content)), Opener(content)); err != nil {
		t.Fatalf("EnsureVolume(%s): %v", name, err)
	}
}

// domain returns a domain that can start; its volumes are there.
func (h *Host) domain(t *testing.T, name string) hypervisor.Domain {
	t.Helper()
	h.put(t, "kernel", h.Kernel)
	h.put(t, name+".iso", bytes.Repeat([]byte("config  "), 256))
	return hypervisor.Domain{
		UUID: uuid.NewString(), Name: name, Title: "a <router> & \"more\"\n", VCPUs: 1, MemoryMiB: 32,
		Boot:         hypervisor.Boot{Direct: &hypervisor.DirectBoot{Kernel: "kernel", Cmdline: `a="<b>" c=&d;`}},
		ConfigVolume: name + ".iso",
		Nics: []hypervisor.Nic{
			{MAC: "fa:16:3e:00:00:02", Bridge: h.Bridge, MTU: 1450},
			{MAC: "fa:16:3e:00:00:01", Bridge: h.Bridge},
		},
	}
}

func (h *Host) ensure(t *testing.T, d hypervisor.Domain) {
	t.Helper()
	if err := h.EnsureDomain(t.Context(), d); err != nil {
		t.Fatalf("EnsureDomain(%s): %v", d.Name, err)
	}
}

func (h *Host) state(t *testing.T, id string) hypervisor.DomainStatus {
	t.Helper()
	status, err := h.GetDomain(t.Context(), id)
	if err != nil {
		t.Fatalf("GetDomain(%s): %v", id, err)
	}
	return status
}

func (h *Host) wantState(t *testing.T, id string, want hypervisor.State) {
	t.Helper()
	if got := h.state(t, id); got.State != want {
		t.Fatalf("domain %s is %s (%s), want %s", id, got.State, got.Reason, want)
	}
}

// watch collects events until the test ends.
func (h *Host) watch(t *testing.T) *log {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := h.Events(ctx)
	if err != nil {
		cancel()
		t.Fatalf("Events: %v", err)
	}
	l := &log{events: events, cancel: cancel}
	t.Cleanup(func() { l.end(t) })
	if first := l.next(t); first.Kind != hypervisor.EventRelist {
		t.Fatalf("first event is %+v, want relist", first)
	}
	return l
}

type log struct {
	events <-chan hypervisor.Event
	cancel context.CancelFunc
	ended  bool
}

func (l *log) next(t *testing.T) hypervisor.Event {
	t.Helper()
	select {
	case e, open := <-l.events:
		if !open {
			t.Fatal("events closed")
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event")
	}
	return hypervisor.Event{}
}

// await skips events until one satisfies want.
func (l *log) await(t *testing.T, what string, want func(hypervisor.Event) bool) hypervisor.Event {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if e := l.next(t); want(e) {
			return e
		}
	}
	t.Fatalf("no event: %s", what)
	return hypervisor.Event{}
}

func (l *log) awaitState(t *testing.T, id string, state hypervisor.State) hypervisor.DomainStatus {
	t.Helper()
	return l.await(t, string(state), func(e hypervisor.Event) bool {
		return e.Kind == hypervisor.EventDomain && e.Domain.UUID == id && e.Domain.State == state
	}).Domain
}

// end checks that the channel closes with its context.
func (l *log) end(t *testing.T) {
	if l.ended {
		return
	}
	l.ended = true
	l.cancel()
	for deadline := time.After(patience); ; {
		select {
		case _, open := <-l.events:
			if !open {
				return
			}
		case <-deadline:
			t.Error("events do not close with their context")
			return
		}
	}
}

var errBroken = errors.New("broken reader")
