package plan

import (
	"fmt"
	"maps"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

type explained struct{ *v1.Explanation }

// Explain fills Serving and Findings of an explanation from the rest of it.
func Explain(e *v1.Explanation) {
	x := explained{e}
	r := &x.Router
	x.Findings = slices.Concat(x.stateFindings(), x.contentFindings(), x.agentFindings())
	x.Serving = len(x.Findings) == 0 && r.WantedState == v1.StateRunning
	if !x.Serving && len(x.Findings) == 0 {
		x.Findings = []string{fmt.Sprintf("It is wanted %s, and so it is.", r.WantedState)}
	}
}

func (x explained) stateFindings() (found []string) {
	r := &x.Router
	for _, c := range r.Conditions {
		if c.Status == v1.False && c.Type != v1.ReadyCondition && !IsReady(r) {
			found = append(found, fmt.Sprintf("Stage %s failed at %s: %s", c.Type, c.Since.UTC().Format("2006-01-02 15:04:05Z"), c.Message))
		}
	}
	if r.State != r.WantedState {
		found = append(found, fmt.Sprintf("It is wanted %s and is %s; the orchestrator works on it or tries again by itself.", r.WantedState, r.State))
	}
	if r.WantedState == v1.StateRunning && r.Status != v1.Connected {
		found = append(found, fmt.Sprintf("The orchestrator is not connected to its agent (%s).", r.Status))
	}
	return found
}

// IsReady reports whether all is well, whatever has failed before.
func IsReady(r *v1.VirtualRouter) bool {
	return v1.FindCondition(r.Conditions, v1.ReadyCondition).Status == v1.True
}

// contentFindings compare the wanted content with what was decided and reached.
func (x explained) contentFindings() (found []string) {
	r := &x.Router
	if r.WantedState != v1.StateRunning {
		return nil
	}
	switch {
	case x.PlanError != "":
		found = append(found, "What is wanted of it cannot be planned: "+x.PlanError)
	case r.DesiredGeneration == 0:
		return []string{"Nothing was applied to it yet; that comes after its boot."}
	case x.WantedHash != r.DesiredHash:
		found = append(found, fmt.Sprintf("Objects have changed since generation %d was decided on; the next one follows.", r.DesiredGeneration))
	}
	if r.AppliedHash != r.DesiredHash || r.AppliedGeneration != r.DesiredGeneration {
		found = append(found, fmt.Sprintf("Generation %d was decided on and %s is reached.", r.DesiredGeneration, generation(r.AppliedGeneration)))
	}
	return found
}

func generation(g uint64) string {
	if g == 0 {
		return "none"
	}
	return fmt.Sprintf("generation %d", g)
}

func (x explained) agentFindings() (found []string) {
	r, status := &x.Router, x.Status
	if r.WantedState != v1.StateRunning {
		return nil
	}
	if status == nil {
		return []string{"Its agent was asked and gave no status: " + x.StatusError}
	}
	if status.AppliedHash != x.WantedHash && x.WantedHash != "" {
		found = append(found, fmt.Sprintf("The agent has accepted %s and reached %s, which is not what is wanted now.",
			generation(status.AcceptedGeneration), generation(status.AppliedGeneration)))
	}
	for _, name := range slices.Sorted(maps.Keys(status.Services)) {
		if service := status.Services[name]; !service.Ready {
			found = append(found, fmt.Sprintf("Service %s is not ready: %s", name, orSaysNothing(service.Error)))
		}
	}
	if r.BootID != "" && status.BootID != r.BootID {
		found = append(found, "It has booted again since it was last applied to; what is wanted is pushed to it anew.")
	}
	for _, warning := range status.Warnings {
		found = append(found, "Its agent warns: "+warning+".")
	}
	for _, field := range status.Ignored {
		found = append(found, fmt.Sprintf("Its agent is too old for %s of the spec and ignores it; rebuild the router from a newer template.", field))
	}
	return found
}

func orSaysNothing(message string) string {
	if message == "" {
		return "it does not say why"
	}
	return message
}
