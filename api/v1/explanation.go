package v1

import "github.com/sluice-nfv/sluice/api/agentv1"

// Explanation is what is wanted of a router, what is there, and why they
// differ.
type Explanation struct {
	Router VirtualRouter `json:"router"`
	// WantedHash is of what the newest objects ask for; empty if that cannot be
	// planned, and then PlanError says why.
	WantedHash string `json:"wantedHash" doc:"Of what the newest objects ask for"`
	PlanError  string `json:"planError,omitempty"`
	// Status is what the agent says, unless it does not answer.
	Status      *agentv1.RouterStatus `json:"status,omitempty"`
	StatusError string                `json:"statusError,omitempty"`
	Serving     bool                  `json:"serving"`
	// Findings are sentences, the most important first.
	Findings []string `json:"findings" nullable:"false"`
	// Notes are sentences about what is served as it is wanted, and may be meant
	// otherwise.
	Notes []string `json:"notes,omitempty"`
}
