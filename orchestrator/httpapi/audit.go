package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Audit is where calls are recorded.
type Audit interface {
	// Begin returns once it is on the disk that a call is about to be made.
	// If it fails the call is not made.
	Begin(ctx context.Context, c v1.AuditCall) (number uint64, err error)
	// End says what became of it.
	End(number uint64, o v1.AuditOutcome)
	// Refused records a call that was not begun; of many, some.
	Refused(c v1.AuditCall, o v1.AuditOutcome)

	Find(ctx context.Context, q audit.Query) (found []v1.AuditRecord, next time.Time, err error)
	Head(ctx context.Context) v1.AuditHead
	// Chains are the names of those that Find and Verify read.
	Chains() ([]string, error)
	Verify(ctx context.Context, expected []audit.Expectation) (v1.AuditVerification, error)
}

// trail is what a call leaves for its record while it runs.
type trail struct {
	begun bool
	v1.AuditOutcome
}

type trailKey struct{}

// trailOf is a trail that nobody reads for what is not audited.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

// maxResources bounds a record's lists.
const maxResources = 64

func (t *trail) touch(list *[]string, kind, uuid string) {
	if len(t.Resources)+len(t.Cloud) >= maxResources {
		t.More++
		return
	}
	*list = append(*list, kind+"/"+uuid)
}

// wrote notes what a transaction has written. What the caller's account does
// not see is noted apart.
func (t *trail) wrote(account string, before *model.View, tx *model.Tx) {
	after := tx.For(account)
	for key, r := range tx.Writes() {
		view := after
		if r == nil {
			view, r = before, before.Any(key.Kind, key.UUID)
		}
		list := &t.Resources
		if account != "" && (r == nil || !view.Sees(r)) {
			list = &t.Cloud
		}
		t.touch(list, key.Kind.String(), key.UUID)
	}
}

// auditRefusals records calls that are refused before they are begun: changes,
// and whatever fails for want of a right.
func (a *API) auditRefusals(c *gin.Context) {
	t := &trail{}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), trailKey{}, t))
	tap := &problemTap{ResponseWriter: c.Writer}
	c.Writer = tap
	c.Next()
	c.Writer = tap.ResponseWriter
	status := tap.Status()
	denied := slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, status)
	if t.begun || status < 400 || !denied && (!changes(c) || c.FullPath() == "") {
		return
	}
	a.audit.Refused(a.auditCall(c, nil), a.outcome(t, tap))
}

// audited records a change: before it is made, and what became of it.
func (a *API) audited(c *gin.Context) {
	if !changes(c) || c.FullPath() == "" {
		return
	}
	ctx := c.Request.Context()
	body, _ := takeBody(c) // who reads it next finds out
	number, err := a.audit.Begin(ctx, a.auditCall(c, body))
	if err != nil {
		refuse(c, (*v1.Error)(a.problem(ctx, err)))
		return
	}
	t := trailOf(ctx)
	t.begun = true
	panicked := true
	defer func() {
		if panicked { // the answer comes later
			t.Status, t.Code, t.Revision = http.StatusInternalServerError, "internal", a.store.View().Revision
			a.audit.End(number, t.AuditOutcome)
		}
	}()
	c.Next()
	panicked = false
	tap, _ := c.Writer.(*problemTap)
	a.audit.End(number, a.outcome(t, tap))
}

// changes reports whether a call is one that changes something. A dry run is
// none.
func changes(c *gin.Context) bool { return !reads(c.Request.Method) && !isDryRun(c) }

func (a *API) outcome(t *trail, tap *problemTap) v1.AuditOutcome {
	o := t.AuditOutcome
	o.Status, o.Replayed = tap.Status(), tap.Header().Get("Idempotency-Replayed") != ""
	var p struct {
		Code      string   `json:"code"`
		Resources []string `json:"resources"`
	}
	if json.Unmarshal(tap.problem.Bytes(), &p) == nil {
		o.Code = p.Code
		o.Resources = append(o.Resources, p.Resources[:min(len(p.Resources), maxResources)]...)
	}
	if t.begun && o.Revision == 0 {
		o.Revision = a.store.View().Revision
	}
	return o
}

func (a *API) auditCall(c *gin.Context, body []byte) v1.AuditCall {
	call := v1.AuditCall{
		Actor: actorOf(c), Method: c.Request.Method, Route: ginParameter.ReplaceAllString(c.FullPath(), "{$1}"),
		Query: recordable(c.Request.URL.RawQuery), RequestID: requestID(c.Request.Context()), IdempotencyKey: recordable(c.GetHeader("Idempotency-Key")),
		Body: auditBody(body),
	}
	if call.Route == "" { // there is none
		call.Route = recordable(c.Request.URL.Path)
	}
	for _, p := range c.Params {
		if call.Parameters == nil {
			call.Parameters = map[string]string{}
		}
		call.Parameters[p.Key] = recordable(p.Value)
	}
	return call
}

func actorOf(c *gin.Context) v1.AuditActor {
	caller := callerOf(c.Request.Context())
	actor := v1.AuditActor{ID: caller.ID, Name: caller.Name, Role: caller.Role, AccountUUID: caller.Account, Address: c.Request.RemoteAddr}
	if peer, ok := peerOf(c.Request.Context()); ok {
		actor.PID, actor.Address = peer.Pid, "unix"
		if actor.ID == "" {
			actor.ID = uidCaller(peer)
		}
	}
	return actor
}

// takeBody reads the whole body and puts it back. If that fails, so does the
// next one who reads it.
func takeBody(c *gin.Context) ([]byte, error) {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		c.Request.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		return body, err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// problemTap keeps the problem document that goes through it.
type problemTap struct {
	gin.ResponseWriter
	problem bytes.Buffer
}

// maxProblem is more than any problem document has, in bytes.
const maxProblem = 64 << 10

func (t *problemTap) keep(p []byte) {
	if t.Status() >= 400 && t.problem.Len()+len(p) <= maxProblem {
		t.problem.Write(p)
	}
}

func (t *problemTap) Write(p []byte) (int, error) { t.keep(p); return t.ResponseWriter.Write(p) }

func (t *problemTap) WriteString(s string) (int, error) {
	t.keep([]byte(s))
	return t.ResponseWriter.WriteString(s)
}

// Unwrap lets deadlines through.
func (t *problemTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }
