package hypervisor

import (
	"context"
	"io"
)

// Hypervisor is one host that runs routers.
type Hypervisor interface {
	Domains
	Volumes
	Observer
	// Close ends every connection. Domains and volumes are left as they are.
	Close() error
}

// Domains keeps the virtual machines of routers. It touches only domains it made
// itself; one that carries another owner's mark answers IsConflict.
type Domains interface {
	// EnsureDomain makes the domain exist exactly as d says and run. A running
	// domain that already matches is left alone; one that differs is replaced,
	// which interrupts it; a paused or crashed one is started anew. Another
	// domain of the same name is IsConflict and is named in the error. Volumes
	// and bridges it names must exist.
	EnsureDomain(ctx context.Context, d Domain) error
	// StopDomain powers the domain off at once and keeps its definition: a
	// router is diskless and has nothing to lose. A missing one is nil.
	StopDomain(ctx context.Context, uuid string) error
	// DeleteDomain powers the domain off and forgets it, its console log
	// included; its other volumes stay. A missing one is nil.
	DeleteDomain(ctx context.Context, uuid string) error
	// GetDomain observes one domain of ours. A missing one is not an error: its
	// State is Absent.
	GetDomain(ctx context.Context, uuid string) (DomainStatus, error)
	// ListDomains observes all domains of ours, running or not, ordered by name.
	ListDomains(ctx context.Context) ([]DomainStatus, error)
	// ConsoleTail returns at most the last max bytes the domain wrote to its
	// serial console since its last start. None written: empty.
	ConsoleTail(ctx context.Context, uuid string, max int) ([]byte, error)
}

// Volumes keeps the files that domains boot from. A volume is known by name and
// size alone: content that may change must be named after its hash.
type Volumes interface {
	// EnsureVolume makes a volume of exactly size bytes from what open returns.
	// A complete one of that name is left alone and open is not called; a half
	// uploaded one, or one of another size, is replaced.
	EnsureVolume(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error
	// EnsureOverlay makes an empty qcow2 volume whose unwritten blocks are those
	// of the qcow2 volume backing. An existing one is left alone.
	EnsureOverlay(ctx context.Context, name, backing string) error
	// DeleteVolume removes a volume. A missing one is nil.
	DeleteVolume(ctx context.Context, name string) error
	// ListVolumes returns all volumes, ordered by name.
	ListVolumes(ctx context.Context) ([]Volume, error)
}

// Observer tells about the host and about what happens on it.
type Observer interface {
	// Info describes the host.
	Info(ctx context.Context) (HostInfo, error)
	// ListGuests observes the running domains that are not ours, with their
	// MACs, ordered by name: the tenants' machines among them.
	ListGuests(ctx context.Context) ([]DomainStatus, error)
	// Events tells of every change of any domain until ctx ends, which closes
	// the channel. Lost connections are made again without the caller's help.
	// The first event, and the first after each loss, is EventRelist: events may
	// have been missed before it, none are missed after it.
	Events(ctx context.Context) (<-chan Event, error)
}
