package hypervisortest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

func testEventsOfLife(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	l := h.watch(t)
	second := h.watch(t) // each watcher sees everything
	h.ensure(t, d)
	started := l.awaitState(t, d.UUID, hypervisor.Running)
	if !started.Owned || started.Name != d.Name || len(started.MACs) != 2 {
		t.Fatalf("started event is %+v", started)
	}
	h.Kill(t, d.UUID)
	stopped := l.awaitState(t, d.UUID, hypervisor.Stopped)
	if !stopped.Owned || len(stopped.MACs) != 2 || stopped.Reason != "destroyed" {
		t.Fatalf("stopped event is %+v", stopped)
	}
	h.ensure(t, d)
	l.awaitState(t, d.UUID, hypervisor.Running)
	h.Crash(t, d.UUID)
	l.awaitState(t, d.UUID, hypervisor.Crashed)
	if err := h.DeleteDomain(t.Context(), d.UUID); err != nil {
		t.Fatal(err)
	}
	gone := l.awaitState(t, d.UUID, hypervisor.Absent)
	if !gone.Owned || len(gone.MACs) != 2 {
		t.Fatalf("deleted event is %+v", gone)
	}
	second.awaitState(t, d.UUID, hypervisor.Absent)
}

func testEventsOfGuest(t *testing.T, h *Host) {
	l := h.watch(t)
	id := uuid.NewString()
	h.StartGuest(t, id, "sl-hv-guest", "fa:16:3e:00:00:77")
	started := l.awaitState(t, id, hypervisor.Running)
	if started.Owned || !slices.Equal(started.MACs, []string{"fa:16:3e:00:00:77"}) {
		t.Fatalf("guest's start is %+v", started)
	}
	h.Kill(t, id)
	stopped := l.awaitState(t, id, hypervisor.Stopped)
	if !slices.Equal(stopped.MACs, []string{"fa:16:3e:00:00:77"}) {
		t.Fatalf("guest's stop is %+v", stopped)
	}
}

func testEventsAfterLoss(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	l := h.watch(t)
	h.Break(t)
	lost := l.await(t, "lost", func(e hypervisor.Event) bool { return e.Kind == hypervisor.EventLost })
	if lost.Reason == "" {
		t.Error("a loss without a reason")
	}
	h.Mend(t)
	l.await(t, "relist", func(e hypervisor.Event) bool { return e.Kind == hypervisor.EventRelist })
	h.ensure(t, d)
	l.awaitState(t, d.UUID, hypervisor.Running)
}
