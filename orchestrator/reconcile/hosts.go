package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// hostRetry is the pause between attempts to reach a host, and bridgesEvery how
// often the bridges of a connected one are looked after.
const (
	hostRetry    = 2 * time.Second
	bridgesEvery = 15 * time.Second
)

// hosts keeps one connection to each host.
type hosts struct {
	r  *Reconciler
	mu sync.Mutex
	by map[string]*hostLink
}

// hostLink is the connection to one host, kept by a goroutine of its own.
type hostLink struct {
	*hosts
	uuid   string
	log    *slog.Logger
	cancel context.CancelFunc
	news   chan struct{}
	hv     hypervisor.Hypervisor // nil until reached
	err    error                 // why not
	once   sync.Once
	tried  chan struct{} // closed when the first attempt is over
}

func newHosts(r *Reconciler) *hosts { return &hosts{r: r, by: map[string]*hostLink{}} }

// sync starts links to new hosts and ends those to hosts that are gone.
func (h *hosts) sync(view *model.View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for row := range model.List[v1.Host](view) {
		link := h.by[row.UUID]
		if link == nil {
			ctx, cancel := context.WithCancel(h.r.ctx)
			link = &hostLink{
				hosts: h, uuid: row.UUID, log: h.r.Log.With("host", row.UUID), cancel: cancel,
				news: make(chan struct{}, 1), tried: make(chan struct{}), err: fmt.Errorf("not connected yet"),
			}
			h.by[row.UUID] = link
			h.r.wg.Go(func() { link.run(ctx) })
		}
		signal(link.news)
	}
	for uuid, link := range h.by {
		if model.Get[v1.Host](view, uuid) == nil {
			link.cancel()
			delete(h.by, uuid)
		}
	}
}

// get is the connection to a host, or why there is none.
func (h *hosts) get(uuid string) (hypervisor.Hypervisor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	link := h.by[uuid]
	if link == nil {
		return nil, v1.Unavailable("host-missing", "host %q is not known; add it, or rebuild the router on another one", uuid).On(uuid)
	}
	if link.hv == nil {
		return nil, v1.Unavailable("hypervisor-unreachable", "host %s cannot be reached: %v; see that libvirtd runs there, it is tried again every %s",
			uuid, link.err, hostRetry).On(uuid).Because(link.err)
	}
	return link.hv, nil
}

// pending reports whether the first attempt to reach a host is still being
// made: as after the server's start, when nothing is known of it yet.
func (h *hosts) pending(uuid string) bool {
	select {
	case <-h.settled(uuid):
		return false
	default:
		return true
	}
}

// settled is closed when a host is not pending.
func (h *hosts) settled(uuid string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if link := h.by[uuid]; link != nil {
		return link.tried
	}
	none := make(chan struct{})
	close(none)
	return none
}

func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, link := range h.by {
		if link.hv != nil {
			_ = link.hv.Close()
		}
	}
}

// run connects, and stays connected until the host is deleted.
func (l *hostLink) run(ctx context.Context) {
	for ctx.Err() == nil {
		row := model.Get[v1.Host](l.r.Store.View(), l.uuid)
		if row == nil {
			return
		}
		hv, info, err := l.connect(ctx, row)
		l.set(hv, err)
		if err == nil {
			// Only now: who reads Connected may use the connection at once.
			l.record(ctx, v1.Connected, nil, info)
			err = l.watch(ctx, hv)
			l.set(nil, err)
			_ = hv.Close()
		}
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("host is not connected", "err", err)
		l.record(ctx, v1.Disconnected, err, hypervisor.HostInfo{})
		l.observeRouters()
		select {
		case <-ctx.Done():
		case <-time.After(hostRetry):
		}
	}
}

func (l *hostLink) set(hv hypervisor.Hypervisor, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hv, l.err = hv, err
	l.once.Do(func() { close(l.tried) })
}

// connect reaches the hypervisor and makes every L2 network of the host's
// cluster real there; only then does the host count as Connected.
func (l *hostLink) connect(ctx context.Context, row *v1.Host) (hypervisor.Hypervisor, hypervisor.HostInfo, error) {
	var info hypervisor.HostInfo
	cluster := model.Get[v1.Cluster](l.r.Store.View(), row.ClusterUUID)
	if cluster == nil {
		return nil, info, v1.NotFound("cluster", row.ClusterUUID)
	}
	// One orchestrator at a time makes the pool of a new host and probes it.
	lock, err := l.r.Store.Lock(ctx, "host/"+l.uuid)
	if err != nil {
		return nil, info, err
	}
	defer lock.Unlock()
	hv, err := l.r.Open(ctx, row.LibvirtURI, cluster.HypervisorType)
	if err != nil {
		return nil, info, err
	}
	if info, err = l.prepare(ctx, hv); err != nil {
		_ = hv.Close()
		return nil, info, err
	}
	return hv, info, nil
}

func (l *hostLink) prepare(ctx context.Context, hv hypervisor.Hypervisor) (hypervisor.HostInfo, error) {
	info, err := hv.Info(ctx)
	if err != nil {
		return info, err
	}
	if err := l.unfence(ctx, hv); err != nil {
		return info, err
	}
	return info, l.realizeAll(ctx)
}

// unfence ends a fence: the domains of routers that are elsewhere by now go,
// before the host counts as Connected.
func (l *hostLink) unfence(ctx context.Context, hv hypervisor.Hypervisor) error {
	if !fenced(l.r.Store.View(), l.uuid) {
		return nil
	}
	removed := slices.Clone(model.Get[v1.Host](l.r.Store.View(), l.uuid).LeftBehind)
	for _, router := range removed {
		l.log.Info("remove what a router left behind", "router", router)
		if err := hv.DeleteDomain(ctx, router); err != nil {
			return err
		}
		if err := deleteVolumes(ctx, hv, router, func(string) bool { return true }); err != nil {
			return err
		}
	}
	if _, err := l.r.Store.Update(ctx, func(tx *model.Tx) error { return model.ReturnHost(tx, l.uuid, removed) }); err != nil {
		return err
	}
	if fenced(l.r.Store.View(), l.uuid) {
		return fmt.Errorf("routers left the host meanwhile; their domains are removed next")
	}
	return nil
}

// watching is what is known of a host while its events are followed.
type watching struct {
	*hostLink
	hv        hypervisor.Hypervisor
	connected bool
	attached  string           // of the L2 networks that were made real last
	templates string           // of those whose files were looked after last
	again     <-chan time.Time // when to look at all guests once more
}

// watch follows what happens on the host. It returns only when the events end.
func (l *hostLink) watch(ctx context.Context, hv hypervisor.Hypervisor) error {
	events, err := hv.Events(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(bridgesEvery)
	defer tick.Stop()
	w := &watching{hostLink: l, hv: hv, connected: true}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.news: // an L2 network may have been attached meanwhile
			w.attach(ctx)
		case <-tick.C:
			if w.connected {
				l.realized(ctx)
				w.dropTemplates(ctx)
			} else {
				w.reconnect(ctx)
			}
		case <-w.again:
			w.guestsSettled(!w.connected || l.relistGuests(ctx, hv)) // a lost connection ends in a relist
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("events of the host ended")
			}
			w.take(ctx, e)
		}
	}
}

func (w *watching) attach(ctx context.Context) {
	now := w.bridgesOf()
	if !w.connected || now == w.attached {
		return
	}
	if w.attached = now; !w.realized(ctx) {
		w.attached = "" // again at the next news
	}
}

func (w *watching) take(ctx context.Context, e hypervisor.Event) {
	switch e.Kind {
	case hypervisor.EventDomain:
		if e.Domain.Owned {
			w.r.observe(e.Domain.UUID)
		} else if !w.guest(ctx, e.Domain) {
			w.guestsSettled(false)
		}
	case hypervisor.EventLost:
		w.connected = false
		w.record(ctx, v1.Disconnected, fmt.Errorf("%s", e.Reason), hypervisor.HostInfo{})
	case hypervisor.EventRelist:
		w.reconnect(ctx)
	}
}

func (w *watching) reconnect(ctx context.Context) {
	w.connected = w.relist(ctx, w.hv)
	w.guestsSettled(!w.connected || w.relistGuests(ctx, w.hv))
}

// guestsSettled has all guests looked at again soon, if they are not.
func (w *watching) guestsSettled(ok bool) {
	if w.again = nil; !ok {
		w.again = time.After(guestsAgain)
	}
}

// relist brings everything about the host up to date. It may have been
// restarted, and its bridges with it.
func (l *hostLink) relist(ctx context.Context, hv hypervisor.Hypervisor) bool {
	info, err := l.prepare(ctx, hv)
	if err != nil {
		l.log.Warn("host is not connected", "err", err)
		l.record(ctx, v1.Disconnected, err, hypervisor.HostInfo{})
		return false
	}
	l.record(ctx, v1.Connected, nil, info)
	l.observeRouters()
	return true
}

func (l *hostLink) observeRouters() {
	for router := range model.Related[v1.VirtualRouter](l.r.Store.View(), model.RoutersOfHost, l.uuid) {
		l.r.observe(router.UUID)
	}
}

func (l *hostLink) realized(ctx context.Context) bool {
	err := l.realizeAll(ctx)
	if err != nil && ctx.Err() == nil {
		l.log.Warn("realize L2 networks", "err", err)
	}
	return err == nil
}

// record stores what the host is like now, if that is news.
func (l *hostLink) record(ctx context.Context, status string, cause error, info hypervisor.HostInfo) {
	_, err := l.r.Store.Update(ctx, func(tx *model.Tx) error {
		row := model.Get[v1.Host](tx.View, l.uuid)
		if row == nil {
			return nil
		}
		next := model.Copy(row)
		next.Status = status
		c := v1.Condition{Type: v1.ReadyCondition, Status: v1.True, Reason: status, Since: tx.Now}
		if cause != nil {
			c.Status, c.Message = v1.False, cause.Error()
		} else {
			next.CPUNum, next.MemorySize, next.VirtType = info.CPUs, info.MemoryMiB, info.VirtType
		}
		if same(row, next, c) {
			return nil
		}
		next.Conditions = []v1.Condition{c}
		tx.Save(next)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		l.log.Error("record host", "err", err)
	}
}

func same(have, next *v1.Host, c v1.Condition) bool {
	return len(have.Conditions) == 1 && have.Conditions[0].Message == c.Message && have.Status == next.Status &&
		have.CPUNum == next.CPUNum && have.MemorySize == next.MemorySize && have.VirtType == next.VirtType
}
