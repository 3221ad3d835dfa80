package agent

import (
	"fmt"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Verdict is what becomes of a spec that came in.
type Verdict int

// The verdicts.
const (
	// Refuse: nothing changes (but see Decision.Fence).
	Refuse Verdict = iota
	// Accept: it replaces the current spec.
	Accept
	// Already: it is the current spec.
	Already
)

// Current is what a decision depends on.
type Current struct {
	RouterUUID string
	// Generation and Hash of the last accepted spec; zero: none.
	Generation uint64
	Hash       string
	// Partial: fields of it were ignored, so that nothing can be built on it.
	Partial bool
	// Fence is the highest one seen.
	Fence int64
}

// Decision is the answer to a spec.
type Decision struct {
	Verdict Verdict
	// Problem says why, when refused.
	Problem agentv1.Problem
	// Fence is what Current.Fence becomes. A refused spec raises it too, once
	// it is known to be meant for this router: its sender has decided later
	// than whoever comes with a lower one.
	Fence int64
}

// Decide is the rule by which specs are accepted; a pure function. The order of
// the checks matters: a spec that is not for this router, or damaged, says
// nothing about fences; a sender with a lower fence learns that before anything
// about generations, because it has to stop, not to send another one.
func Decide(cur Current, in Incoming) Decision {
	d := Decision{Fence: cur.Fence}
	if d.Problem = intact(cur, in); d.Problem.Code != "" {
		return d
	}
	s := in.Spec
	if s.Fence < cur.Fence {
		d.Problem = problem(agentv1.CodeLowerFence, "/fence",
			"fence %d is below %d, seen before: another orchestrator has taken over; read the store again", s.Fence, cur.Fence)
		return d
	}
	d.Fence = s.Fence
	switch {
	case s.Generation < cur.Generation:
		d.Problem = problem(agentv1.CodeOlderGeneration, "/generation",
			"generation %d is older than %d, accepted before; read the store again", s.Generation, cur.Generation)
	case s.Generation > cur.Generation && in.Change != nil && !in.builds(cur):
		d.Problem = problem(agentv1.CodeOtherBase, "/baseHash",
			"the change is of content %s, or has fields that this agent does not know; accepted is %q; put the whole spec", in.BaseHash, cur.Hash)
	case s.Generation > cur.Generation:
		d.Verdict = Accept
	case s.Hash == cur.Hash:
		d.Verdict = Already
	default:
		d.Problem = problem(agentv1.CodeConflictingContent, "/hash",
			"generation %d was accepted with other content (hash %s); changed content needs a higher generation", s.Generation, cur.Hash)
	}
	return d
}

// intact checks what concerns the spec alone.
func intact(cur Current, in Incoming) agentv1.Problem {
	s := in.Spec
	switch {
	case s.Version > agentv1.SpecVersion:
		return problem(agentv1.CodeUnsupportedVersion, "/version",
			"spec version %d is newer than %d, the newest this agent knows; update the router's image", s.Version, agentv1.SpecVersion)
	case s.Version < 1:
		return problem(agentv1.CodeInvalidSpec, "/version", "spec version %d does not exist", s.Version)
	case s.RouterUUID != cur.RouterUUID:
		return problem(agentv1.CodeWrongRouter, "/routerUuid",
			"spec is for router %q, this is %q; check the address it was sent to", s.RouterUUID, cur.RouterUUID)
	case s.Generation == 0:
		return problem(agentv1.CodeInvalidSpec, "/generation", "generation is missing; the first one is 1")
	case s.Hash != in.ContentHash && (in.Change == nil || in.builds(cur)):
		return problem(agentv1.CodeInvalidSpec, "/hash",
			"hash %q is not the content's (%s): the spec was changed or cut on its way", s.Hash, in.ContentHash)
	}
	return agentv1.Problem{}
}

// builds is whether a change can be understood as one of what was accepted.
func (in Incoming) builds(cur Current) bool {
	return cur.Generation > 0 && in.BaseHash == cur.Hash && !cur.Partial && len(in.Ignored) == 0
}

func problem(code, field, format string, args ...any) agentv1.Problem {
	return agentv1.Problem{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}
