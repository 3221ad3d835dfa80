package mmsg

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nap is a wait, for a receiver that lets messages come together. The Go
// scheduler is not told of it: nothing else runs on the processor meanwhile, so
// a nap is short, and not every one in a row is one.
type Nap struct{ length unix.Timespec }

// NapFor makes a nap of d, well below a millisecond. The kernel adds its timer
// slack to it, 50 us by default (prctl(2), PR_SET_TIMERSLACK).
func NapFor(d time.Duration) *Nap { return &Nap{length: unix.NsecToTimespec(int64(d))} }

// Take waits; a signal ends it early.
func (n *Nap) Take() {
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&n.length)), 0, 0) //nolint:errcheck // EINTR: early is fine
}
