// Package v1 is the northbound contract of the orchestrator: resources,
// requests, errors, and the checks that need nothing but the value itself.
// It imports only the standard library.
package v1

import "time"

// Meta is what every resource has.
type Meta struct {
	// UUID is a UUIDv7, or the caller's own given on create.
	UUID        string    `json:"uuid" doc:"UUID, lower case" example:"0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"`
	Name        string    `json:"name" minLength:"1" maxLength:"255" doc:"Name, 1 to 255 characters"`
	Description string    `json:"description,omitempty" maxLength:"2048"`
	CreateDate  time.Time `json:"createDate"`
	LastOpDate  time.Time `json:"lastOpDate"`
	// Revision changes with every write; it is the ETag of the resource.
	Revision   int64    `json:"revision" doc:"For If-Match"`
	SystemTags []string `json:"systemTags,omitempty"`
	// AccountUUID is the owner; empty: the admin's account, or the cloud.
	AccountUUID string `json:"accountUuid,omitempty" doc:"The account that owns it; absent: the admin's, or the cloud"`
	// SharedWith are accounts that may use it, for L2 and L3 networks.
	SharedWith []string `json:"sharedWith,omitempty" doc:"Accounts that may use it; * is everybody"`
}

// GetMeta lets generic code reach the common fields.
func (m *Meta) GetMeta() *Meta { return m }

// Resource is a pointer to any resource.
type Resource interface{ GetMeta() *Meta }

// CreateMeta is what every create request may carry.
type CreateMeta struct {
	UUID        string   `json:"uuid,omitempty" doc:"The caller's own UUID; made if absent"`
	Name        string   `json:"name" minLength:"1" maxLength:"255"`
	Description string   `json:"description,omitempty" maxLength:"2048"`
	SystemTags  []string `json:"systemTags,omitempty"`
}

// Condition is one observed aspect of an object, in the manner of Kubernetes.
type Condition struct {
	// Type: ReadyCondition, or a stage (Placement, Storage, Domain, Boot, Enrol, Apply).
	Type string `json:"type"`
	// Status: True, False or Unknown.
	Status string `json:"status" enum:"True,False,Unknown"`
	// Reason is one CamelCase word, stable.
	Reason string `json:"reason"`
	// Message names the object, the cause and the next step.
	Message string `json:"message,omitempty"`
	// Since is when Status last changed.
	Since time.Time `json:"since"`
	// DurationMs is how long the stage took the last time, in milliseconds.
	DurationMs int64 `json:"durationMs,omitempty"`
}

// ReadyCondition sums the others up.
const ReadyCondition = "Ready"

// FindCondition is the condition of a type; the zero one if there is none.
func FindCondition(all []Condition, kind string) Condition {
	for _, c := range all {
		if c.Type == kind {
			return c
		}
	}
	return Condition{}
}

// Condition status values.
const (
	True    = "True"
	False   = "False"
	Unknown = "Unknown"
)

// Administrative states (the owner's word).
const (
	Enabled     = "Enabled"
	Disabled    = "Disabled"
	Maintenance = "Maintenance"
)

// Observed connection status of hosts and routers.
const (
	Connecting   = "Connecting"
	Connected    = "Connected"
	Disconnected = "Disconnected"
)
