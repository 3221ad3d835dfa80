package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

const (
	// auditBytes is how much of the files one call reads before it answers what
	// it has found so far, with a cursor.
	auditBytes = 64 << 20
	// auditReaders is how many calls read the files at once.
	auditReaders = 2
)

// auditRoutes show the records in this server's directory: all of them, or to an
// account those of its own tokens.
func (a *API) auditRoutes() {
	Handle(a, operation("list-audit", http.MethodGet, "/v1/audit", "List calls of this server that changed something or were refused, newest first"), a.listAudit)
	type one struct {
		UUID string `path:"uuid" doc:"UUID of the record"`
	}
	Handle(a, operation("get-audit", http.MethodGet, "/v1/audit/{uuid}", "Get"), func(ctx context.Context, in *one) (*auditRecord, error) {
		return a.getAudit(ctx, in.UUID)
	})
	Handle(a, operation("get-audit-head", http.MethodGet, "/v1/audit-head", "Get the newest record's number and hash, to be noted elsewhere"),
		func(ctx context.Context, _ *struct{}) (*auditHead, error) { return &auditHead{a.audit.Head(ctx)}, nil })
	type verify struct {
		Expect []string `query:"expect,explode" maxItems:"64" doc:"Heads that were noted before: CHAIN:NUMBER:HASH"`
	}
	op := operation("verify-audit", http.MethodGet, "/v1/audit-verification", "Walk over all chains and say where one is not what was written")
	Handle(a, op, func(ctx context.Context, in *verify) (*auditVerification, error) {
		return a.verifyAudit(ctx, in.Expect)
	})
}

type (
	auditRecord       struct{ Body *v1.AuditRecord }
	auditHead         struct{ Body v1.AuditHead }
	auditVerification struct{ Body v1.AuditVerification }
	auditPage         struct {
		Body struct {
			Items     []*v1.AuditRecord   `json:"items" nullable:"false"`
			Next      string              `json:"next,omitempty" doc:"Cursor of the next page; absent on the last"`
			Elsewhere []v1.AuditElsewhere `json:"elsewhere,omitempty" doc:"Chains that other servers on the same store write, in directories of their own: their records are not among the items"`
		}
	}
)

// auditQuery is the input of the list.
type auditQuery struct {
	Account  string    `query:"account" doc:"UUID of the account whose tokens called"`
	Actor    string    `query:"actor" doc:"Name or UUID of a token, or uid:0"`
	Resource string    `query:"resource" doc:"UUID that is in the path, or was touched"`
	Since    time.Time `query:"since" doc:"The earliest time"`
	Until    time.Time `query:"until" doc:"The first time that is too late"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many items at most; there may be fewer, and more on the next page"`
	Cursor   string    `query:"cursor" doc:"next of the page before"`
}

func (a *API) listAudit(ctx context.Context, in *auditQuery) (*auditPage, error) {
	q := audit.Query{Account: in.Account, Actor: in.Actor, Resource: in.Resource, Since: in.Since, Before: in.Until, Limit: in.Limit, Bytes: auditBytes}
	if in.Cursor != "" {
		at, err := time.Parse(time.RFC3339Nano, in.Cursor)
		if err != nil {
			return nil, v1.Invalid("invalid-cursor", "cursor %q is none that a list answered; start without one", shorten(in.Cursor))
		}
		q.Before = at
	}
	found, next, err := a.findAudit(ctx, q)
	if err != nil {
		return nil, err
	}
	page := &auditPage{}
	page.Body.Items = []*v1.AuditRecord{}
	for i := range found {
		page.Body.Items = append(page.Body.Items, &found[i])
	}
	if !next.IsZero() {
		page.Body.Next = next.Format(time.RFC3339Nano)
	}
	if callerOf(ctx).Account == "" {
		_, page.Body.Elsewhere, err = a.notedHeads(ctx)
	}
	return page, err
}

// aroundRecord is how far the time in a record's UUID may be from when it was
// written.
const aroundRecord = 10 * time.Minute

func (a *API) getAudit(ctx context.Context, id string) (*auditRecord, error) {
	missing := v1.NotFound("audit", shorten(id))
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return nil, missing
	}
	made := time.Unix(parsed.Time().UnixTime())
	found, _, err := a.findAudit(ctx, audit.Query{ID: id, Since: made.Add(-aroundRecord), Before: made.Add(aroundRecord), Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, missing
	}
	return &auditRecord{&found[0]}, nil
}

// findAudit is what the caller may see of what a query wants.
func (a *API) findAudit(ctx context.Context, q audit.Query) (found []v1.AuditRecord, next time.Time, err error) {
	account := callerOf(ctx).Account
	if account != "" {
		own := model.Get[v1.Account](a.view(ctx), account)
		if q.Account != "" && q.Account != account || own == nil {
			return nil, next, nil
		}
		q.Account = account
		if own.CreateDate.After(q.Since) { // an account of the same UUID before it was another one
			q.Since = own.CreateDate
		}
	}
	leave, err := a.enterAudit(ctx)
	if err != nil {
		return nil, next, err
	}
	defer leave()
	if found, next, err = a.audit.Find(ctx, q); err != nil {
		return nil, next, unreadable(err)
	}
	for i := range found {
		if r := &found[i]; account != "" {
			r.Chain, r.Number = "", 0
			if r.Outcome != nil {
				o := *r.Outcome
				o.Cloud = nil
				r.Outcome = &o
			}
		}
	}
	return found, next, nil
}

func (a *API) verifyAudit(ctx context.Context, heads []string) (*auditVerification, error) {
	expected, elsewhere, err := a.notedHeads(ctx) // before the chains: they are not behind
	if err != nil {
		return nil, err
	}
	for _, head := range heads {
		e, err := audit.ParseExpectation(head)
		if err != nil {
			return nil, err
		}
		expected = append(expected, e)
	}
	leave, err := a.enterAudit(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := a.audit.Verify(ctx, expected)
	if err != nil {
		return nil, unreadable(err)
	}
	v.Elsewhere = elsewhere
	return &auditVerification{v}, nil
}

// enterAudit waits for one of the places of those who read the files.
func (a *API) enterAudit(ctx context.Context) (leave func(), err error) {
	select {
	case a.auditing <- struct{}{}:
		return func() { <-a.auditing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func unreadable(err error) error {
	return v1.Unavailable("audit-unreadable", "the audit log cannot be read: %v; see the server's disk, then retry", err).Because(err)
}
