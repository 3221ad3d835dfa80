package hypervisor

import (
	"errors"
	"fmt"
)

// Sentinels that implementations wrap. Callers ask the predicates below.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrUnreachable = errors.New("hypervisor unreachable")
	ErrInvalid     = errors.New("invalid")
)

// IsUnreachable says that the host did not answer: whether the effect happened is
// unknown, and trying again later is right.
func IsUnreachable(err error) bool { return errors.Is(err, ErrUnreachable) }

// IsNotFound says that something the call needs does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// IsConflict says that something of another owner is in the way.
func IsConflict(err error) bool { return errors.Is(err, ErrConflict) }

// IsInvalid says that the argument can never work.
func IsInvalid(err error) bool { return errors.Is(err, ErrInvalid) }

// UnreachableError names the host that did not answer and what to do about it.
type UnreachableError struct {
	Host   string // host name
	Target string // socket path or address
	Call   string // what was asked
	Err    error  // the cause
}

// Error reads as one sentence and ends with what to do.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s: libvirt on host %s (%s) does not answer: %v; check that libvirtd runs there "+
		"(systemctl status libvirtd, or hack/libvirt.sh status) and restart it if it hangs", e.Call, e.Host, e.Target, e.Err)
}

// Unwrap makes IsUnreachable and the cause both visible.
func (e *UnreachableError) Unwrap() []error { return []error{ErrUnreachable, e.Err} }
