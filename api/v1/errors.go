package v1

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error is a refusal or failure as the API answers it: RFC 9457 problem
// details with a stable code.
type Error struct {
	// Type is a URI reference for the code.
	Type string `json:"type"`
	// Title is the code in words.
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail names object, stage, cause and next step.
	Detail string `json:"detail"`
	// Code is kebab-case and stable.
	Code string `json:"code"`
	// Resources concerned, as UUIDs.
	Resources []string `json:"resources,omitempty"`
	// Causes is the chain below, outermost first.
	Causes []string `json:"causes,omitempty"`
	// Quota is the one that is used up, for quota-exceeded.
	Quota *Quota `json:"quota,omitempty"`
	// RetryAfter is when a repetition makes sense, in seconds; 0 is left out.
	RetryAfter int `json:"retryAfter,omitempty"`
}

// Error is the detail with its code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Detail, e.Code) }

// On adds resources concerned.
func (e *Error) On(uuids ...string) *Error {
	e.Resources = append(e.Resources, uuids...)
	return e
}

// Because adds the chain of causes.
func (e *Error) Because(err error) *Error {
	for ; err != nil; err = errors.Unwrap(err) {
		e.Causes = append(e.Causes, err.Error())
	}
	return e
}

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{
		Type:   "https://sluice-nfv.github.io/problems/" + code,
		Title:  strings.ReplaceAll(code, "-", " "),
		Status: status, Code: code, Detail: fmt.Sprintf(format, args...),
	}
}

// Forbidden is 403: not for this caller.
func Forbidden(code, format string, args ...any) *Error {
	return Errorf(http.StatusForbidden, code, format, args...)
}

// Invalid is 400: malformed.
func Invalid(code, format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, code, format, args...)
}

// NotFound is 404.
func NotFound(kind, uuid string) *Error {
	return Errorf(http.StatusNotFound, "not-found", "%s %s does not exist; list them with `sluice %s list`", kind, uuid, kind).On(uuid)
}

// Conflict is 409: in use, or taken.
func Conflict(code, format string, args ...any) *Error {
	return Errorf(http.StatusConflict, code, format, args...)
}

// Refused is 422: against a rule of the model.
func Refused(code, format string, args ...any) *Error {
	return Errorf(http.StatusUnprocessableEntity, code, format, args...)
}

// Unavailable is 503: a retry may help.
func Unavailable(code, format string, args ...any) *Error {
	return Errorf(http.StatusServiceUnavailable, code, format, args...)
}

// Code is the code of the Error in err's chain, or empty.
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
