package httpapi

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Problem is v1.Error on its way out.
type Problem v1.Error

func (p *Problem) Error() string { return (*v1.Error)(p).Error() }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457, whatever was negotiated.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders tells when a retry makes sense.
func (p *Problem) GetHeaders() http.Header {
	switch {
	case p.RetryAfter > 0:
		return http.Header{"Retry-After": {strconv.Itoa(p.RetryAfter)}}
	case p.Status == http.StatusServiceUnavailable:
		return http.Header{"Retry-After": {"2"}}
	}
	return nil
}

const problemType = "application/problem+json"

// Huma has process-wide settings; this package is its only user.
func init() {
	huma.NewError = malformed
	huma.ValidateStrictCasing = true // else "NAME" would be taken for "name"
}

// problem is the one mapper from errors to answers. An error that is no
// *v1.Error is a defect: it is logged with the request's id, and not shown.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var known *v1.Error
	switch {
	case errors.As(err, &known):
		p := Problem(*known)
		if len(p.Causes) == 0 && known.Error() != err.Error() {
			p.Causes = []string{err.Error()}
		}
		a.discreet(callerOf(ctx), &p)
		return &p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return (*Problem)(v1.Unavailable("interrupted", "the call was interrupted: %v; look whether it took effect, then repeat it", err))
	}
	id := requestID(ctx)
	a.log.Error("call failed unexpectedly", "request", id, "err", err)
	return (*Problem)(internal(id))
}

var anyUUID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// discreet takes out of a refusal what its caller's account does not see: a
// rule speaks of whoever is in the way. What was not found was named by the
// caller himself, and stays.
func (a *API) discreet(c *Caller, p *Problem) {
	if c.Account == "" || p.Code == "not-found" {
		return
	}
	if p.Code == "router-failed" { // it tells of management addresses, hosts and the console
		p.Detail, p.Causes, p.Resources = "the network's router does not serve what is wanted yet; it is tried again, and so is a repeated call. If it stays so, tell an operator, who sees why (`sluice explain router`)", nil, nil
		return
	}
	view := a.store.View().For(c.Account)
	p.Resources = slices.DeleteFunc(slices.Clone(p.Resources), func(uuid string) bool { return foreign(view, uuid) })
	hide := func(text string) string {
		return anyUUID.ReplaceAllStringFunc(text, func(uuid string) string {
			if foreign(view, uuid) {
				return "(of others)"
			}
			return uuid
		})
	}
	p.Detail = hide(p.Detail)
	causes := make([]string, len(p.Causes))
	for i, cause := range p.Causes {
		causes[i] = hide(cause)
	}
	p.Causes = causes
}

// foreign reports whether there is something of that UUID, but not for the
// view's account.
func foreign(v *model.View, uuid string) bool {
	for _, kind := range model.Kinds() {
		if r := v.Any(kind, uuid); r != nil && !v.Sees(r) {
			return true
		}
	}
	return false
}

func internal(id string) *v1.Error {
	return v1.Errorf(http.StatusInternalServerError, "internal", "an unexpected error; the orchestrator's log tells more about request %s", id)
}

// malformed is what huma's own refusals become.
func malformed(status int, message string, errs ...error) huma.StatusError {
	code := "invalid-request"
	switch status {
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest // malformed, not against a rule of the model
	case http.StatusRequestEntityTooLarge:
		status, code = http.StatusBadRequest, "body-too-large"
	case http.StatusUnsupportedMediaType:
		code, message = "unsupported-media-type", "send Content-Type: application/json"
	case http.StatusRequestTimeout:
		code = "request-timeout"
	case http.StatusInternalServerError:
		code, errs = "internal", nil
	}
	details := []string{message}
	for _, err := range errs {
		details = append(details, detailOf(err))
	}
	return (*Problem)(v1.Errorf(status, code, "%s", shorten(strings.Join(details, "; "))))
}

// detailOf says what is wrong and where, without the value: that can be the
// whole body.
func detailOf(err error) string {
	var d huma.ErrorDetailer
	if !errors.As(err, &d) {
		return err.Error()
	}
	detail := d.ErrorDetail()
	if detail.Location == "" {
		return detail.Message
	}
	return detail.Location + ": " + detail.Message
}

// maxDetail bounds, in bytes, what a caller's own input can blow up an answer to.
const maxDetail = 2000

func shorten(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + " ..."
}

// refuse ends a call outside huma.
func refuse(c *gin.Context, e *v1.Error) {
	for k, v := range (*Problem)(e).GetHeaders() {
		c.Header(k, v[0])
	}
	c.Header("Content-Type", problemType) // before JSON, which keeps what is set
	c.AbortWithStatusJSON(e.Status, e)
}
