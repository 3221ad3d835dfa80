package hypervisor

import (
	"context"
	"slices"
	"sync"
)

// fakeWatcher queues without bound, as libvirt does, so that no reader can hold
// up the host.
type fakeWatcher struct {
	mu    sync.Mutex
	queue []Event
	wake  chan struct{} // holds one token while the queue is not empty
}

func (w *fakeWatcher) push(e Event) {
	w.mu.Lock()
	w.queue = append(w.queue, e)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *fakeWatcher) pop() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.queue
	w.queue = nil
	return events
}

// Events implements Observer.
func (f *Fake) Events(ctx context.Context) (<-chan Event, error) {
	out := make(chan Event)
	w := &fakeWatcher{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	f.watchers[out] = w
	f.calls["Events"]++
	if !f.lost {
		w.push(Event{Kind: EventRelist})
	}
	f.mu.Unlock()
	go f.deliver(ctx, w, out)
	return out, nil
}

func (f *Fake) deliver(ctx context.Context, w *fakeWatcher, out chan Event) {
	defer close(out)
	defer func() {
		f.mu.Lock()
		delete(f.watchers, out)
		f.mu.Unlock()
	}()
	for {
		for _, e := range w.pop() {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

// tell is called with the lock held. While the connection is lost, domain events
// are lost with it.
func (f *Fake) tell(e Event) {
	if f.lost && e.Kind == EventDomain {
		return
	}
	e.Domain.MACs = slices.Clone(e.Domain.MACs)
	for _, w := range f.watchers {
		w.push(e)
	}
}
