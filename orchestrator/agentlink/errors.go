package agentlink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// RefusedError is an agent's own answer that it will not do something.
type RefusedError struct {
	// Status is the HTTP status.
	Status  int
	Problem agentv1.Problem
}

// Error gives code, field and detail.
func (e *RefusedError) Error() string {
	field := ""
	if e.Problem.Field != "" {
		field = " " + e.Problem.Field
	}
	return fmt.Sprintf("agent refused (%s%s): %s", e.Problem.Code, field, e.Problem.Detail)
}

// Refused returns the agent's problem, if err is a refusal.
func Refused(err error) (agentv1.Problem, bool) {
	var r *RefusedError
	if errors.As(err, &r) {
		return r.Problem, true
	}
	return agentv1.Problem{}, false
}

// IsRefused reports whether the agent refused with one of codes (any code,
// where none is given).
func IsRefused(err error, codes ...string) bool {
	p, ok := Refused(err)
	return ok && (len(codes) == 0 || slices.Contains(codes, p.Code))
}

// NeedsWhole: a change was refused and the whole spec may be taken: the router
// has accepted another one than was thought, or knows no changes. Of a change
// that it finds invalid, it has to say so of the whole.
func NeedsWhole(err error) bool {
	return IsRefused(err, agentv1.CodeOtherBase, agentv1.CodeInvalidSpec, agentv1.CodeNotFound)
}

// IsNotEnrolled: somebody answers at the address, but without a certificate of
// ours: the router was rebooted, or it is new. It needs a new config drive with
// a new join token, unless the one it booted with is unused.
func IsNotEnrolled(err error) bool {
	return errors.Is(err, errNotEnrolled) || IsRefused(err, agentv1.CodeNotEnrolled)
}

// IsExpired: the router's certificate is not valid now; Renew still works.
func IsExpired(err error) bool { return errors.Is(err, errExpired) }

// IsWrongPeer: another router of ours answers at the address, or one that
// failed to prove that it has the join token. Never retried into success:
// the address is in use by somebody else.
func IsWrongPeer(err error) bool {
	return errors.Is(err, errWrongPeer) || errors.Is(err, errProof) ||
		IsRefused(err, agentv1.CodeWrongRouter)
}

// IsUntrusted: the agent does not take our certificate: its config drive names
// another orchestrator CA, or its clock is more than a day ahead.
func IsUntrusted(err error) bool {
	// crypto/tls gives a peer's alert no type of its own, but this operation.
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// IsUnreachable: no answer came, for reasons of the network, the machine or
// time; the call may or may not have had its effect. Trying again is right.
func IsUnreachable(err error) bool {
	if IsNotEnrolled(err) || IsExpired(err) || IsWrongPeer(err) || IsUntrusted(err) || IsRefused(err) {
		return false
	}
	var timeout net.Error
	var op *net.OpError
	var errno syscall.Errno
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		(errors.As(err, &timeout) && timeout.Timeout()) || errors.As(err, &op) || errors.As(err, &errno)
}
