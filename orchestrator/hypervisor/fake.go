package hypervisor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Fake is a host in memory. It keeps state and enforces what a real one does: a
// domain needs its volumes and bridges, names are unique, a broken connection
// fails every call. Dump prints it. Safe for concurrent use.
type Fake struct {
	mu       sync.Mutex
	info     HostInfo
	domains  map[string]*fakeDomain // by UUID
	volumes  map[string][]byte
	bridges  map[string]bool // nil: every bridge exists
	failures map[string][]error
	calls    map[string]int
	lost     bool
	watchers map[chan Event]*fakeWatcher
}

type fakeDomain struct {
	DomainStatus
	spec    Domain
	console []byte
	boots   int
}

var _ Hypervisor = (*Fake)(nil)

// NewFake returns an empty host on which every bridge exists.
func NewFake() *Fake {
	return &Fake{
		info: HostInfo{Hostname: "fake", CPUs: 8, MemoryMiB: 16384, LibvirtVersion: "9.0.0",
			VirtTypes: []string{"qemu"}, VirtType: "qemu", VirtReason: "it is in memory"},
		domains:  map[string]*fakeDomain{},
		volumes:  map[string][]byte{},
		failures: map[string][]error{},
		calls:    map[string]int{},
		watchers: map[chan Event]*fakeWatcher{},
	}
}

// SetInfo replaces what Info answers.
func (f *Fake) SetInfo(info HostInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.info = info
}

// SetBridges makes exactly these bridges exist.
func (f *Fake) SetBridges(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bridges = map[string]bool{}
	for _, name := range names {
		f.bridges[name] = true
	}
}

// FailNext makes the next call of the method, such as "EnsureDomain", return err
// and do nothing. Repeated, it queues.
func (f *Fake) FailNext(method string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures[method] = append(f.failures[method], err)
}

// Calls is how often the method was called, failures included.
func (f *Fake) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// Boots is how often the domain was started.
func (f *Fake) Boots(uuid string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.domains[uuid]; d != nil {
		return d.boots
	}
	return 0
}

// Crash ends a domain as a dying QEMU does.
func (f *Fake) Crash(uuid string) { f.end(uuid, Crashed, "crashed") }

// Kill ends a domain as virsh destroy does.
func (f *Fake) Kill(uuid string) { f.end(uuid, Stopped, "destroyed") }

// Shutdown ends a domain as its own power-off or reboot does.
func (f *Fake) Shutdown(uuid string) { f.end(uuid, Stopped, "shutdown") }

// WriteConsole appends to what ConsoleTail reads.
func (f *Fake) WriteConsole(uuid, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.domains[uuid]; d != nil {
		d.console = append(d.console, text...)
	}
}

// StartGuest makes or starts a domain that is not ours, as a tenant's.
func (f *Fake) StartGuest(uuid, name string, macs ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := &fakeDomain{DomainStatus: DomainStatus{UUID: uuid, Name: name, State: Running, Reason: "booted", MACs: macs}}
	f.domains[uuid] = d
	f.tell(Event{Kind: EventDomain, Domain: d.DomainStatus})
}

// Leave ends a domain here because it went to another host.
func (f *Fake) Leave(uuid string) { f.end(uuid, Stopped, "migrated") }

// LoseConnection makes every call unreachable until Reconnect, and tells watchers.
func (f *Fake) LoseConnection() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = true
	f.tell(Event{Kind: EventLost, Reason: "connection lost"})
}

// Reconnect ends LoseConnection. Events in between were missed.
func (f *Fake) Reconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = false
	f.tell(Event{Kind: EventRelist})
}

// Dump prints domains and volumes, ordered, one a line.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, d := range f.sorted() {
		fmt.Fprintf(&b, "domain %s %s %s(%s) owned=%t macs=%s volumes=%s\n", d.Name, d.UUID, d.State, d.Reason,
			d.Owned, strings.Join(d.MACs, ","), strings.Join(d.spec.VolumeNames(), ","))
	}
	for _, name := range slices.Sorted(maps.Keys(f.volumes)) {
		fmt.Fprintf(&b, "volume %s %d\n", name, len(f.volumes[name]))
	}
	return b.String()
}

// VolumeContent returns a copy of a volume, nil if there is none.
func (f *Fake) VolumeContent(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.volumes[name])
}

// EnsureDomain implements Domains.
func (f *Fake) EnsureDomain(ctx context.Context, d Domain) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("describe domain %q: %w", d.Name, err)
	}
	defer f.mu.Unlock()
	if err := f.enter(ctx, "EnsureDomain"); err != nil {
		return err
	}
	have := f.domains[d.UUID]
	if have != nil && !have.Owned {
		return f.notOurs(have)
	}
	for _, other := range f.domains {
		if other.Name == d.Name && other.UUID != d.UUID {
			return fmt.Errorf("define domain %s: %w: domain %s already has this name", d.Name, ErrConflict, other.UUID)
		}
	}
	if have != nil && have.State == Running && reflect.DeepEqual(have.spec, d) {
		return nil
	}
	if err := f.startable(d); err != nil {
		return err
	}
	f.start(d)
	return nil
}

func (f *Fake) startable(d Domain) error {
	var errs []error
	for _, name := range d.VolumeNames() {
		if _, ok := f.volumes[name]; !ok {
			errs = append(errs, fmt.Errorf("start domain %s: volume %s: %w", d.Name, name, ErrNotFound))
		}
	}
	for _, nic := range d.Nics {
		if f.bridges != nil && !f.bridges[nic.Bridge] {
			errs = append(errs, fmt.Errorf("start domain %s: cannot find bridge %s", d.Name, nic.Bridge))
		}
	}
	return errors.Join(errs...)
}

func (f *Fake) start(d Domain) {
	have := f.domains[d.UUID]
	if have == nil {
		have = &fakeDomain{}
		f.domains[d.UUID] = have
	} else if have.State == Running {
		have.State, have.Reason = Stopped, "destroyed"
		f.tell(Event{Kind: EventDomain, Domain: have.DomainStatus})
	}
	have.spec, have.console = d, nil
	have.spec.Nics = slices.Clone(d.Nics)
	if d.Boot.Direct != nil {
		direct := *d.Boot.Direct
		have.spec.Boot.Direct = &direct
	}
	have.boots++
	have.DomainStatus = DomainStatus{UUID: d.UUID, Name: d.Name, State: Running, Reason: "booted", Owned: true}
	for _, nic := range d.Nics {
		have.MACs = append(have.MACs, nic.MAC)
	}
	f.tell(Event{Kind: EventDomain, Domain: have.DomainStatus})
}

// StopDomain implements Domains.
func (f *Fake) StopDomain(ctx context.Context, uuid string) error {
	defer f.mu.Unlock()
	if err := f.enter(ctx, "StopDomain"); err != nil {
		return err
	}
	return f.stop(uuid)
}

// DeleteDomain implements Domains.
func (f *Fake) DeleteDomain(ctx context.Context, uuid string) error {
	defer f.mu.Unlock()
	if err := f.enter(ctx, "DeleteDomain"); err != nil {
		return err
	}
	d := f.domains[uuid]
	if err := f.stop(uuid); err != nil || d == nil {
		return err
	}
	delete(f.domains, uuid)
	gone := d.DomainStatus
	gone.State, gone.Reason = Absent, "undefined"
	f.tell(Event{Kind: EventDomain, Domain: gone})
	return nil
}

// GetDomain implements Domains.
func (f *Fake) GetDomain(ctx context.Context, uuid string) (DomainStatus, error) {
	defer f.mu.Unlock()
	if err := f.enter(ctx, "GetDomain"); err != nil {
		return DomainStatus{}, err
	}
	d := f.domains[uuid]
	switch {
	case d == nil:
		return DomainStatus{UUID: uuid, State: Absent}, nil
	case !d.Owned:
		return d.DomainStatus, f.notOurs(d)
	}
	return d.DomainStatus, nil
}

// ListDomains implements Domains.
func (f *Fake) ListDomains(ctx context.Context) ([]DomainStatus, error) {
	return f.list(ctx, "ListDomains", func(d *fakeDomain) bool { return d.Owned })
}

// ListGuests implements Observer.
func (f *Fake) ListGuests(ctx context.Context) ([]DomainStatus, error) {
	return f.list(ctx, "ListGuests", func(d *fakeDomain) bool { return !d.Owned && (d.State == Running || d.State == Paused) })
}

// ConsoleTail implements Domains.
func (f *Fake) ConsoleTail(ctx context.Context, uuid string, max int) ([]byte, error) {
	if max < 1 {
		return nil, fmt.Errorf("%w console length %d", ErrInvalid, max)
	}
	defer f.mu.Unlock()
	if err := f.enter(ctx, "ConsoleTail"); err != nil {
		return nil, err
	}
	d := f.domains[uuid]
	if d == nil {
		return nil, nil
	}
	if !d.Owned {
		return nil, f.notOurs(d)
	}
	return bytes.Clone(d.console[len(d.console)-min(max, len(d.console)):]), nil
}

// Info implements Observer.
func (f *Fake) Info(ctx context.Context) (HostInfo, error) {
	defer f.mu.Unlock()
	if err := f.enter(ctx, "Info"); err != nil {
		return HostInfo{}, err
	}
	return f.info, nil
}

// Close implements Hypervisor.
func (f *Fake) Close() error { return nil }

// enter takes the lock, which its caller gives back in any case, and decides
// whether the call may happen.
func (f *Fake) enter(ctx context.Context, method string) error {
	f.mu.Lock()
	f.calls[method]++
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if f.lost {
		return &UnreachableError{Host: f.info.Hostname, Target: "fake", Call: method, Err: errors.New("connection lost")}
	}
	if queue := f.failures[method]; len(queue) > 0 {
		f.failures[method] = queue[1:]
		return queue[0]
	}
	return nil
}

func (f *Fake) stop(uuid string) error {
	d := f.domains[uuid]
	switch {
	case d == nil:
		return nil
	case !d.Owned:
		return f.notOurs(d)
	case d.State == Running || d.State == Paused:
		d.State, d.Reason = Stopped, "destroyed"
		f.tell(Event{Kind: EventDomain, Domain: d.DomainStatus})
	}
	return nil
}

func (f *Fake) end(uuid string, state State, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.domains[uuid]; d != nil && d.State != state {
		d.State, d.Reason = state, reason
		f.tell(Event{Kind: EventDomain, Domain: d.DomainStatus})
	}
}

func (f *Fake) list(ctx context.Context, method string, wanted func(*fakeDomain) bool) ([]DomainStatus, error) {
	defer f.mu.Unlock()
	if err := f.enter(ctx, method); err != nil {
		return nil, err
	}
	list := []DomainStatus{}
	for _, d := range f.sorted() {
		if wanted(d) {
			list = append(list, d.DomainStatus)
		}
	}
	return list, nil
}

func (f *Fake) sorted() []*fakeDomain {
	return slices.SortedFunc(maps.Values(f.domains), func(a, b *fakeDomain) int { return cmp.Compare(a.Name, b.Name) })
}

func (f *Fake) notOurs(d *fakeDomain) error {
	return fmt.Errorf("domain %s (%s): %w: it was not made by us", d.Name, d.UUID, ErrConflict)
}
