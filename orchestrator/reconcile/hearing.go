package reconcile

import (
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// trialLife is how long others wait for what becomes of a trial.
const trialLife = 10 * time.Minute

// hearing tells routers that are dead from an orchestrator that is deaf: when
// its own way to a management network breaks, every router there falls silent
// at once, and all of them work. Then one is built anew, on trial; the others are
// left alone until something answers.
type hearing struct {
	mu     sync.Mutex
	heard  map[string]time.Time // by router: when it answered last
	trials map[string]trial     // by management network
}

type trial struct {
	router string
	since  time.Time
}

func newHearing() *hearing {
	return &hearing{heard: map[string]time.Time{}, trials: map[string]trial{}}
}

// hear notes that something answered at a router's address.
func (h *hearing) hear(row *v1.VirtualRouter, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[row.UUID] = now
	delete(h.trials, management(row))
}

func (h *hearing) forget(router string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.heard, router)
}

// dead reports whether a router that has been silent for too long counts as
// dead: another one of its network was heard since, or there is none to tell by,
// or it is the one on trial.
func (h *hearing) dead(view *model.View, row *v1.VirtualRouter, silent, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	network, alone := management(row), true
	for other := range model.List[v1.VirtualRouter](view) {
		if other.UUID == row.UUID || management(other) != network || other.WantedState != v1.StateRunning {
			continue
		}
		if h.heard[other.UUID].After(silent) {
			return true
		}
		alone = alone && other.State != v1.StateRunning
	}
	t := h.trials[network]
	if known := model.Get[v1.VirtualRouter](view, t.router); known == nil || known.WantedState != v1.StateRunning || now.Sub(t.since) > trialLife {
		t = trial{row.UUID, now}
	}
	if !alone {
		h.trials[network] = t
	}
	return t.router == row.UUID
}

// management is the network that a router's agent is on.
func management(row *v1.VirtualRouter) string {
	nic, _ := row.NicWithRole(string(agentv1.RoleManagement))
	return nic.L3NetworkUUID
}
