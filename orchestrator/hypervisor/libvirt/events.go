package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Pauses between attempts to connect again.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Events implements hypervisor.Observer.
func (h *Host) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	w := &watcher{host: h, out: make(chan hypervisor.Event, 64)}
	go w.run(ctx)
	return w.out, nil
}

// watcher is one Events channel with a connection of its own.
type watcher struct {
	host *Host
	out  chan hypervisor.Event
	// known is what a domain was when last seen: one that stopped has often left
	// nothing to ask.
	known map[string]hypervisor.DomainStatus
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.out)
	pause := firstPause
	for {
		began := time.Now()
		err := w.subscribed(ctx)
		if ctx.Err() != nil {
			return
		}
		w.host.config.Log.Warn("libvirt events lost", "host", w.host.target.host, "err", err)
		w.emit(ctx, hypervisor.Event{Kind: hypervisor.EventLost, Reason: err.Error()})
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// subscribed lives as long as its connection and says why that ended.
func (w *watcher) subscribed(ctx context.Context) error {
	l, err := connect(ctx, w.host.target, w.host.config.CallTimeout)
	if err != nil {
		return err
	}
	// Closing is the only end: to unsubscribe while events arrive blocks go-libvirt.
	stop := context.AfterFunc(ctx, func() { l.net.Close() })
	defer stop()
	defer l.net.Close()

	source, err := w.subscribe(ctx, l)
	if err != nil {
		return err
	}
	defer source.drain()
	// The list is read after the subscription, so nothing falls between them.
	all, err := w.host.listAll(ctx)
	if err != nil {
		return err
	}
	w.known = map[string]hypervisor.DomainStatus{}
	for _, status := range all {
		w.known[status.UUID] = status
	}
	w.emit(ctx, hypervisor.Event{Kind: hypervisor.EventRelist})
	lost := make(chan error, 1)
	go func() { lost <- w.ping(ctx, l) }()
	w.forward(ctx, source)
	l.net.Close()
	return <-lost
}

// sources are the channels of go-libvirt; they close with the connection.
type sources struct {
	lifecycle      <-chan golibvirt.DomainEventLifecycleMsg
	added, removed <-chan any
}

func (w *watcher) subscribe(ctx context.Context, l *link) (sources, error) {
	got := make(chan sources, 1)
	// Never the caller's ctx: its end would unsubscribe.
	forever := context.Background()
	err := l.do(ctx, "subscribe to events", w.host.config.CallTimeout, func(lv *golibvirt.Libvirt) (err error) {
		var s sources
		if s.lifecycle, err = lv.LifecycleEvents(forever); err != nil {
			return err
		}
		if s.added, err = lv.SubscribeEvents(forever, golibvirt.DomainEventIDDeviceAdded, nil); err != nil {
			return err
		}
		if s.removed, err = lv.SubscribeEvents(forever, golibvirt.DomainEventIDDeviceRemoved, nil); err != nil {
			return err
		}
		got <- s
		return nil
	})
	if err != nil {
		return sources{}, err
	}
	return <-got, nil
}

// drain lets go-libvirt's goroutines end: they block on a channel nobody reads.
func (s sources) drain() {
	go func() {
		for range s.lifecycle {
		}
	}()
	go func() {
		for range s.added {
		}
	}()
	go func() {
		for range s.removed {
		}
	}()
}

func (w *watcher) forward(ctx context.Context, s sources) {
	for {
		select {
		case msg, open := <-s.lifecycle:
			if !open {
				return
			}
			w.lifecycle(ctx, msg)
		case msg, open := <-s.added:
			if !open {
				return
			}
			if m, ok := msg.(*golibvirt.DomainEventCallbackDeviceAddedMsg); ok {
				w.changed(ctx, m.Dom)
			}
		case msg, open := <-s.removed:
			if !open {
				return
			}
			if m, ok := msg.(*golibvirt.DomainEventCallbackDeviceRemovedMsg); ok {
				w.changed(ctx, m.Msg.Dom)
			}
		}
	}
}

func (w *watcher) lifecycle(ctx context.Context, msg golibvirt.DomainEventLifecycleMsg) {
	state, reason, known := stateAfter(msg.Event, msg.Detail)
	if !known {
		return
	}
	status := w.recall(msg.Dom)
	now, err := w.host.observe(ctx, msg.Dom)
	switch {
	case err == nil && state == hypervisor.Absent && now.State == hypervisor.Running:
		return // undefined while it runs: it goes on as a transient domain
	case err == nil:
		status.MACs, status.Owned = now.MACs, now.Owned
	}
	status.State, status.Reason = state, reason
	w.known[status.UUID] = status
	if state == hypervisor.Absent {
		delete(w.known, status.UUID)
	}
	w.emit(ctx, hypervisor.Event{Kind: hypervisor.EventDomain, Domain: status})
}

// changed tells of a domain whose devices changed, as after virsh attach-device.
func (w *watcher) changed(ctx context.Context, dom golibvirt.Domain) {
	now, err := w.host.observe(ctx, dom)
	if err != nil {
		return // gone; its own event follows
	}
	w.known[now.DomainStatus.UUID] = now.DomainStatus
	w.emit(ctx, hypervisor.Event{Kind: hypervisor.EventDomain, Domain: now.DomainStatus})
}

func (w *watcher) recall(dom golibvirt.Domain) hypervisor.DomainStatus {
	id := uuid.UUID(dom.UUID).String()
	status := w.known[id]
	status.UUID, status.Name = id, dom.Name
	return status
}

func (w *watcher) emit(ctx context.Context, e hypervisor.Event) {
	select {
	case w.out <- e:
	case <-ctx.Done():
	}
}

// ping returns when the connection is dead, which on a daemon that hangs shows
// only in a call that is not answered.
func (w *watcher) ping(ctx context.Context, l *link) error {
	tick := time.NewTicker(w.host.config.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.net.done:
			return w.host.target.unreachable("watch events", errors.New("connection lost"))
		case <-tick.C:
		}
		err := l.do(ctx, "watch events", w.host.config.CallTimeout, func(lv *golibvirt.Libvirt) error {
			_, err := lv.ConnectGetLibVersion()
			return err
		})
		if err != nil {
			l.net.Close()
			return fmt.Errorf("ping: %w", err)
		}
	}
}
