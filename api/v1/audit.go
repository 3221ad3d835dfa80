package v1

import "time"

// AuditRecord is one call that changes something, or that was refused.
type AuditRecord struct {
	UUID string    `json:"uuid"`
	Time time.Time `json:"time"`
	// State is one of the Audit constants.
	State string `json:"state" enum:"done,refused,failed,running,unknown,interrupted,note"`
	// Chain and Number are where it is kept. Accounts are not told.
	Chain  string `json:"chain,omitempty"`
	Number uint64 `json:"number,omitempty"`
	AuditCall
	// Outcome is absent while the call runs, and if the server ended before it.
	Outcome *AuditOutcome `json:"outcome,omitempty"`
	// Note is what the server says of the chain itself.
	Note string `json:"note,omitempty"`
	// Suppressed is how many refusals like this one came before it, since the
	// last that was recorded, and were only counted.
	Suppressed int `json:"suppressed,omitempty"`
}

// States of audit records.
const (
	AuditDone        = "done"
	AuditRefused     = "refused"     // nothing was changed: 4xx
	AuditFailed      = "failed"      // 5xx: part of it may have been done
	AuditRunning     = "running"     // no answer yet
	AuditUnknown     = "unknown"     // the server ended before the answer
	AuditInterrupted = "interrupted" // as unknown, noted by the next start
	AuditNote        = "note"        // the server about the chain
)

// AuditCall is who calls what.
type AuditCall struct {
	Actor  AuditActor `json:"actor"`
	Method string     `json:"method,omitempty"`
	Route  string     `json:"route,omitempty" example:"/v1/vips/{uuid}"`
	// Parameters are those of the path.
	Parameters     map[string]string `json:"parameters,omitempty"`
	Query          string            `json:"query,omitempty"`
	RequestID      string            `json:"requestId,omitempty" doc:"X-Request-Id of the answer, as in the server's log"`
	IdempotencyKey string            `json:"idempotencyKey,omitempty"`
	Body           *AuditBody        `json:"body,omitempty"`
}

// AuditActor is who made a call, and from where.
type AuditActor struct {
	// ID is token:UUID, uid:NUMBER on the unix socket, or empty: nobody known.
	ID          string `json:"id,omitempty" example:"token:0198f3c2-7d5a-7c3e-9a51-0d6f5a1b2c3d"`
	Name        string `json:"name,omitempty"`
	Role        string `json:"role,omitempty"`
	AccountUUID string `json:"accountUuid,omitempty"`
	// PID is the process at the other end of the unix socket.
	PID int32 `json:"pid,omitempty"`
	// Address is the other end of the connection; unix for the socket. What a
	// proxy says of those behind it is not believed.
	Address string `json:"address,omitempty"`
}

// AuditBody is what was sent.
type AuditBody struct {
	// Content is the JSON without its secrets. If it is cut, it is the text of
	// the beginning; absent if the body is no JSON.
	Content any    `json:"content,omitempty"`
	Cut     bool   `json:"cut,omitempty"`
	Size    int    `json:"size" doc:"Bytes"`
	SHA256  string `json:"sha256" doc:"Of the whole body, as it was sent"`
}

// AuditOutcome is what became of a call.
type AuditOutcome struct {
	Time   time.Time `json:"time"`
	Status int       `json:"status,omitempty" doc:"HTTP status of the answer"`
	Code   string    `json:"code,omitempty" doc:"Of the problem, as in the answer"`
	// Resources were made, changed or deleted, or are in the way: KIND/UUID, or
	// the UUID alone.
	Resources []string `json:"resources,omitempty"`
	// Cloud are those that the caller's account does not see.
	Cloud    []string `json:"cloud,omitempty"`
	More     int      `json:"moreResources,omitempty" doc:"How many more than are listed"`
	Revision int64    `json:"revision,omitempty" doc:"Of the store, after the call"`
	Replayed bool     `json:"replayed,omitempty" doc:"The answer of an earlier call with this Idempotency-Key"`
}

// AuditHead is the newest record of a chain. Noted elsewhere, it shows later
// whether the end of the chain was cut off.
type AuditHead struct {
	Chain  string    `json:"chain"`
	Number uint64    `json:"number"`
	Hash   string    `json:"hash"`
	Time   time.Time `json:"time"`
	// Expect is all of it as one word, for verification.
	Expect string `json:"expect" example:"host-1f2e3d4c:17:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
}

// AuditChainReport is what a walk over a chain found.
type AuditChainReport struct {
	Chain   string `json:"chain"`
	Intact  bool   `json:"intact"`
	Records int    `json:"records"`
	// First is 1, or higher after old files were removed.
	First uint64     `json:"first"`
	Head  *AuditHead `json:"head,omitempty"`
	// Open are calls without an outcome: running, or the server ended.
	Open int `json:"open"`
	// Damage is the first bad place; absent if the chain is intact.
	Damage *AuditDamage `json:"damage,omitempty"`
}

// AuditDamage is where a chain is not what was written.
type AuditDamage struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Number is that of the record that should be there.
	Number uint64 `json:"number,omitempty"`
	What   string `json:"what"`
}

// AuditVerification is what a walk over all chains of a server's directory found.
type AuditVerification struct {
	Intact    bool               `json:"intact"`
	Chains    []AuditChainReport `json:"chains" nullable:"false"`
	Elsewhere []AuditElsewhere   `json:"elsewhere,omitempty" doc:"Chains that other servers on the same store write, in directories of their own: they were not walked over"`
}

// AuditElsewhere is a chain that another server on the same store writes, in a
// directory of its own.
type AuditElsewhere struct {
	Server string    `json:"server" doc:"Its host, and the directory there" example:"host-b:/var/lib/sluice/audit"`
	Head   AuditHead `json:"head" doc:"The newest record that it has told of"`
	Noted  time.Time `json:"noted" doc:"When it did; a server that runs does so every ten minutes"`
}
