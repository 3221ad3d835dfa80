package v1

// PlanType is the media type of a Plan, so that nobody takes one for the
// resource that the call answers without ?dryRun.
const PlanType = "application/vnd.sluice.plan+json"

// Plan is what a call with ?dryRun=true answers: everything was checked, and
// this is what would come of it now. UUIDs, MACs and addresses that would be
// chosen can be others when it is done.
type Plan struct {
	// Changes of objects, in the order in which they would be made.
	Changes []PlannedChange `json:"changes" nullable:"false"`
	// Routers that would be made, changed or destroyed for it.
	Routers []PlannedRouter `json:"routers" nullable:"false"`
}

// PlannedChange is what would become of one object.
type PlannedChange struct {
	Change string `json:"change" enum:"created,changed,deleted"`
	// Kind is the plural, as in URLs.
	Kind string `json:"kind" example:"vips"`
	UUID string `json:"uuid"`
	Name string `json:"name,omitempty"`
	// Fields that would differ, of an object that would be changed.
	Fields []PlannedField `json:"fields,omitempty"`
	// Resource as it would be; absent when it would be deleted.
	Resource any `json:"resource,omitempty"`
}

// PlannedField is a field that would differ; absent: it is not set.
type PlannedField struct {
	Field string `json:"field"`
	From  any    `json:"from,omitempty"`
	To    any    `json:"to,omitempty"`
}

// PlannedRouter is what would become of a router.
type PlannedRouter struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	// Actions that would bring it there, in order, as far as its state is known.
	Actions []string `json:"actions,omitempty"`
	// Rows of its configuration that would come (+) and go (-).
	Rows []string `json:"rows,omitempty"`
	// Error is why its configuration could not be planned.
	Error string `json:"error,omitempty"`
}
