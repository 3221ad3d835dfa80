package plan

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Action is the name of one step. Each is idempotent: a step that was done, in
// whole or in part, before a crash is simply done again.
type Action string

// The steps, in the order in which a router is made. What each does stands in
// package reconcile.
const (
	Leave  Action = "leave"  // nothing of the router is on the host that it moves away from
	Place  Action = "place"  // choose and store the host
	Begin  Action = "begin"  // store that a new build was begun, under a new epoch
	Ask    Action = "ask"    // begin to ask the wire who has the addresses that are new to the router
	Image  Action = "image"  // the template's files are on the host
	Token  Action = "token"  // make and store the join token of the epoch
	Config Action = "config" // the config drive is on the host
	Define Action = "define" // the domain is defined and runs
	Claim  Action = "claim"  // nobody has answered for them
	Boot   Action = "boot"   // something answers at the agent's address
	Enrol  Action = "enrol"  // the agent has a certificate of ours
	Adopt  Action = "adopt"  // drop what older builds left; store that this one is over
	Apply  Action = "apply"  // the agent has the newest spec

	Stop    Action = "stop"    // the domain is off
	Destroy Action = "destroy" // domain, volumes and tokens are gone
	Forget  Action = "forget"  // the router is gone from the store
)

// Stage is what users see of an action: the condition that it sets.
func (a Action) Stage() string { return stages[a] }

var stages = map[Action]string{
	Leave: "Placement", Place: "Placement", Begin: "Placement",
	Ask: "Address", Claim: "Address",
	Image: "Storage", Token: "Storage", Config: "Storage",
	Define: "Domain", Stop: "Domain", Destroy: "Domain", Forget: "Domain",
	Boot:  "Boot",
	Enrol: "Enrol", Adopt: "Enrol",
	Apply: "Apply",
}

// Observed is what was seen of a router, in one moment.
type Observed struct {
	// HostUsable: the stored host can carry the router (see placement).
	HostUsable bool
	Domain     hypervisor.State
	Agent      AgentState
	// AppliedHash is what the agent says it has reached.
	AppliedHash string
	// TokenOld: the join token of the build that was begun may not be used any
	// more.
	TokenOld bool
}

// AgentState is how the agent answered.
type AgentState string

// The answers of an agent. Silent is one missed answer; Lost are so many that
// the router counts as dead although its domain runs.
const (
	AgentReady    AgentState = "Ready"
	AgentSilent   AgentState = "Silent"
	AgentLost     AgentState = "Lost"
	AgentStranger AgentState = "Stranger" // it is not enrolled, or with another identity
)

// build is a router from nothing. The token comes behind the image, whose
// upload may take longer than a token is good for.
// Answers of the wire are waited for while the domain boots, which has no
// address but for management before the first spec.
var build = []Action{Ask, Image, Token, Config, Define, Claim, Boot, Enrol, Adopt, Apply}

// Next are the actions that make the router what its row and the wanted
// content's hash say, given what was observed. None: all is well.
func Next(r *v1.VirtualRouter, wantedHash string, o Observed) []Action {
	switch r.WantedState {
	case v1.StateDestroyed:
		return []Action{Destroy, Forget}
	case v1.StateStopped:
		if o.Domain != hypervisor.Stopped && o.Domain != hypervisor.Absent || r.State != v1.StateStopped {
			return []Action{Stop}
		}
		return nil
	}
	switch {
	case !o.HostUsable && r.HostUUID != "":
		return append([]Action{Leave, Place, Begin}, build...)
	case !o.HostUsable:
		return append([]Action{Place, Begin}, build...)
	case r.State == v1.StateCreating && !o.TokenOld: // begun and not finished: go on
		return build
	case r.State != v1.StateRunning, o.Domain != hypervisor.Running, o.Agent == AgentLost, o.Agent == AgentStranger:
		return append([]Action{Begin}, build...)
	case o.AppliedHash != wantedHash, r.AppliedHash != wantedHash,
		r.Status != v1.Connected && o.Agent == AgentReady: // one that is silent has nothing new to be told
		return []Action{Apply}
	}
	return nil
}
