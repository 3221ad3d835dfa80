package libvirt

import (
	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// stateOf reads virDomainGetState. A domain that is shut off because QEMU died is
// Crashed: nobody asked for it.
func stateOf(state, reason int32) (hypervisor.State, string) {
	switch golibvirt.DomainState(state) {
	case golibvirt.DomainRunning, golibvirt.DomainBlocked, golibvirt.DomainShutdown:
		return hypervisor.Running, wordOf(runningWords, reason)
	case golibvirt.DomainPaused, golibvirt.DomainPmsuspended:
		return hypervisor.Paused, wordOf(pausedWords, reason)
	case golibvirt.DomainCrashed:
		return hypervisor.Crashed, "panicked"
	case golibvirt.DomainShutoff:
		word := wordOf(shutoffWords, reason)
		if word == "crashed" || word == "failed" {
			return hypervisor.Crashed, word
		}
		return hypervisor.Stopped, word
	}
	return hypervisor.Unknown, "unknown"
}

// Words in the order of libvirt's enums virDomain{Running,Paused,Shutoff}Reason.
var (
	runningWords = []string{"unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused", "migration-cancelled", "save-cancelled", "wakeup", "crashed", "postcopy"}
	pausedWords  = []string{"unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from-snapshot", "shutting-down", "snapshot", "crashed", "starting-up", "postcopy"}
	shutoffWords = []string{"unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "daemon"}
	// virDomainEventStoppedDetailType has another order.
	stoppedWords = []string{"shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot"}
)

func wordOf(words []string, i int32) string {
	if i < 0 || int(i) >= len(words) {
		return "unknown"
	}
	return words[i]
}

// stateAfter reads a lifecycle event; known is false for those that change no
// state, such as a definition or a shutdown that has only begun.
func stateAfter(event, detail int32) (state hypervisor.State, reason string, known bool) {
	switch golibvirt.DomainEventType(event) {
	case golibvirt.DomainEventStarted:
		return hypervisor.Running, "booted", true
	case golibvirt.DomainEventResumed:
		return hypervisor.Running, "unpaused", true
	case golibvirt.DomainEventSuspended, golibvirt.DomainEventPmsuspended:
		return hypervisor.Paused, "paused", true
	case golibvirt.DomainEventCrashed:
		return hypervisor.Crashed, "panicked", true
	case golibvirt.DomainEventUndefined:
		return hypervisor.Absent, "undefined", true
	case golibvirt.DomainEventStopped:
		word := wordOf(stoppedWords, detail)
		if word == "crashed" || word == "failed" {
			return hypervisor.Crashed, word, true
		}
		return hypervisor.Stopped, word, true
	}
	return hypervisor.Unknown, "", false
}
