package v1

// What happened to the resource of an Event; the event's type in the stream.
const (
	EventCreated = "created"
	EventChanged = "changed"
	EventDeleted = "deleted"
	// EventReset says that events are missing: list everything again, then
	// go on reading. Its data has a revision and nothing else.
	EventReset = "reset"
)

// Event is the data of one server-sent event of GET /v1/events.
type Event struct {
	// Revision of the store that the change made.
	Revision int64 `json:"revision"`
	// Kind is the plural, as in URLs.
	Kind string `json:"kind,omitempty" example:"l3-networks"`
	UUID string `json:"uuid,omitempty"`
	Name string `json:"name,omitempty"`
	// Resource as it is after the change; absent when it was deleted.
	Resource any `json:"resource,omitempty"`
}
