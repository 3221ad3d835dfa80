package agentv1

import "time"

// The paths of the agent's API. There is no other one: nothing runs a command
// or reads a file.
const (
	PathSpec   = "/v1/spec"
	PathStatus = "/v1/status"
	// PathBrief leaves out of the status the lists that grow with the router.
	PathBrief    = PathStatus + "?brief"
	PathIdentity = "/v1/identity"
	PathEvents   = "/v1/events"
	// PathCommands is followed by a command's name.
	PathCommands = "/v1/commands/"
	PathHealth   = "/healthz"
	PathMetrics  = "/metrics"
)

// IdempotencyHeader carries a caller's key (1 to 128 characters) for a command:
// a repeat with the same key and body gets the stored answer and has no effect.
const IdempotencyHeader = "Idempotency-Key"

// The commands.
const (
	CommandPing              = "ping"
	CommandResync            = "resync"
	CommandProbe             = "probe"
	CommandDiagnostics       = "diagnostics"
	CommandFlushConntrack    = "flush-conntrack"
	CommandRotateCertificate = "rotate-certificate"
	// CommandReboot ends the router's operating system in order, soon after the
	// answer. A router has nothing of its own to come back with: its domain ends
	// with it, and the orchestrator starts another with a new join token.
	CommandReboot = "reboot"
)

// The values of Problem.Code.
const (
	CodeOlderGeneration    = "older-generation"
	CodeConflictingContent = "conflicting-content"
	// CodeOtherBase: a change starts from a content that is not the accepted one.
	CodeOtherBase          = "other-base"
	CodeLowerFence         = "lower-fence"
	CodeWrongRouter        = "wrong-router"
	CodeInvalidSpec        = "invalid-spec"
	CodeNotEnrolled        = "not-enrolled"
	CodeUnsupportedVersion = "unsupported-version"
	CodeInternal           = "internal"
	// CodeAlreadyEnrolled: an identity was issued and no rotation was asked for.
	CodeAlreadyEnrolled = "already-enrolled"
	// CodeInvalidCertificate: the chain is for another key or router.
	CodeInvalidCertificate = "invalid-certificate"
	// CodeInvalidRequest: the body or a header of the call is malformed.
	CodeInvalidRequest = "invalid-request"
	// CodeNotFound: no such path, command, or no spec yet.
	CodeNotFound = "not-found"
)

// PingResult answers CommandPing.
type PingResult struct {
	Now time.Time `json:"now"`
}

// CertificateRequest answers CommandRotateCertificate: a PKCS #10 request
// (PEM) for a new key, to be answered by PUT PathIdentity within the session's
// lifetime; until then the agent serves with the old one.
type CertificateRequest struct {
	CSR string `json:"csr"`
}

// Probe is the body of CommandProbe: a check from inside the router.
type Probe struct {
	// Kind is "ping", "tcp" or "dns".
	Kind string `json:"kind"`
	// Interface is the MAC of the nic to send from; empty: by route.
	Interface string `json:"interface,omitempty"`
	// Target is an address (ping) or address:port (tcp, dns).
	Target string `json:"target"`
	// Question is the name whose A record is asked for (dns).
	Question string `json:"question,omitempty"`
	// TimeoutMillis is 1 to 10000; 0 means 1000.
	TimeoutMillis int `json:"timeoutMillis,omitempty"`
}

// ProbeResult answers CommandProbe.
type ProbeResult struct {
	OK bool `json:"ok"`
	// Micros is the time to the answer, in microseconds.
	Micros int64 `json:"micros,omitempty"`
	// Answer is what came back (dns: the addresses).
	Answer []string `json:"answer,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Diagnostics answers CommandDiagnostics: texts for people, by section (rules,
// routes, neighbours, conntrack, logs). Their layout is no contract.
type Diagnostics struct {
	Sections map[string]string `json:"sections"`
}

// Event is one entry of the event stream (server-sent events; the SSE id is ID).
type Event struct {
	// ID grows by one an event, from 1 at the start of the agent's process.
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	// Type is accepted, applied, incomplete, healed, service-fault,
	// service-ready, enrolled, address-conflict (a guest declined its address),
	// name-clash (several guests have a name, all of which DNS answers with),
	// name-clash-ended, warning, or lost (events were dropped before this one).
	Type       string `json:"type"`
	Generation uint64 `json:"generation,omitempty"`
	// Service is the service concerned, where it is one.
	Service string `json:"service,omitempty"`
	Detail  string `json:"detail,omitempty"`
}
