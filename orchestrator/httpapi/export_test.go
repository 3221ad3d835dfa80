package httpapi

import (
	"context"
	"net/http"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// At makes it another time for what expires.
func (a *API) At(now time.Time) { a.now = func() time.Time { return now } }

// Server is what Serve serves with.
func (a *API) Server(ctx context.Context) *http.Server { return a.server(ctx) }

// SetAnswerPatience is how long a call waits for another with its key.
func (a *API) SetAnswerPatience(d time.Duration) { a.answerPatience = d }

// SetNewKeys is how many new Idempotency-Keys an account may use.
func (a *API) SetNewKeys(r Rate) { a.newKeys = newLimiters(r) }

// ForgetExpired is what happens hourly.
func (a *API) ForgetExpired(ctx context.Context) error { return a.forgetExpired(ctx) }

// Tune changes the limits of event streams, before the first.
func (a *API) Tune(heartbeat, write time.Duration, streams, events int) {
	a.news = newNewsroom(limits{heartbeat, write, streams, events, 32 << 20})
}

// NoteHead notes the head of the audit chain in the store.
func (a *API) NoteHead(ctx context.Context) { a.noteHead(ctx, &v1.AuditElsewhere{}) }

// Streams is how many event streams are open.
func (a *API) Streams() int {
	a.news.mu.Lock()
	defer a.news.mu.Unlock()
	return a.news.streams()
}

// UnmarshalStrict and MaxDepth are of bodies.
var UnmarshalStrict = unmarshalStrict

const MaxDepth = maxDepth

// Permit lists a route of a test in the table of access, for admins.
func Permit(route string) (forbid func()) {
	entry := access["GET /metrics"]
	access[route] = entry
	return func() { delete(access, route) }
}

// Access is the table, in words: the roles of each route, and what it does with
// the object in its path.
func Access() map[string]struct{ Roles, Reach string } {
	all := map[string]struct{ Roles, Reach string }{}
	for route, entry := range access {
		roles := entry.who.String()
		if entry.who&tenantReaders != 0 {
			roles += ", account reader"
		}
		if entry.who&nobodyAtAll != 0 {
			roles = "open"
		}
		all[route] = struct{ Roles, Reach string }{roles, []string{"none", "sees", "owns"}[entry.reach]}
	}
	return all
}

// Routes are what is registered, as the table names it.
func (a *API) Routes() (all []string) {
	for _, r := range a.engine.Routes() {
		all = append(all, routeOf(r.Method, r.Path))
	}
	return all
}
