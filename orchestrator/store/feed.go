package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// frame is one published view.
type frame struct {
	view *model.View
	// epoch is the revision of the epoch key: of the newest commit.
	epoch int64
	// step led here from the frame before.
	step Step
	// replaced is closed once a newer frame is published, which is then next.
	replaced chan struct{}
	next     *frame
}

// publish makes a view current. Only one goroutine calls it at a time: open's,
// then the feeder's.
func (s *Store) publish(step Step, epoch int64) {
	now := &frame{view: step.View, epoch: epoch, step: step, replaced: make(chan struct{})}
	old := s.current.Swap(now)
	if old != nil {
		old.next = now
		close(old.replaced)
	}
}

// load reads everything and publishes it. Pages are decoded on all cores while
// the next ones are read.
func (s *Store) load(ctx context.Context) error {
	var epoch int64
	var pages []*[]v1.Resource
	var decoding errgroup.Group
	decoding.SetLimit(runtime.GOMAXPROCS(0))
	revision, err := s.backend.scan(ctx, modelStart, modelEnd, func(page []entry) error {
		into := new([]v1.Resource)
		pages = append(pages, into)
		if len(page) > 0 && page[0].key == epochKey {
			epoch = page[0].revision
		}
		decoding.Go(func() (err error) {
			*into, err = decodeAll(page)
			return err
		})
		return nil
	})
	if bad := decoding.Wait(); bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	var seen int64
	if f := s.current.Load(); f != nil {
		seen = f.view.Revision
	}
	if revision < seen {
		return fmt.Errorf("read store: it is at revision %d, but %d was seen already: was it restored from a backup? restart the orchestrator", revision, seen)
	}
	var all []v1.Resource
	for _, page := range pages {
		all = append(all, *page...)
	}
	view := model.ViewOf(all)
	view.Catalog, view.Revision = s.catalog, revision
	s.publish(Step{View: view, Gap: revision > seen}, epoch)
	return nil
}

func decodeAll(entries []entry) (all []v1.Resource, err error) {
	for _, e := range entries {
		if e.key == epochKey || !ofModel(e) {
			continue
		}
		k, err := parseKey(e.key)
		if err != nil {
			return nil, err
		}
		r, err := decode(k, e)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// apply puts entries into a view that nobody else has seen.
func apply(view *model.View, entries []entry) (done applied, err error) {
	for _, e := range entries {
		if e.key == epochKey {
			done.epoch = e.revision
			continue
		}
		if !ofModel(e) {
			continue
		}
		k, err := parseKey(e.key)
		if err != nil {
			return done, err
		}
		before := view.Any(k.Kind, k.UUID)
		if e.value == nil {
			view.Remove(k.Kind, k.UUID)
			done.add(Change{Key: k, Revision: e.revision, Before: before})
			continue
		}
		r, err := decode(k, e)
		if err != nil {
			return done, err
		}
		view.Intern(r)
		view.Put(k.Kind, r)
		done.add(Change{Key: k, Revision: e.revision, Before: before, After: r})
	}
	return done, nil
}

// ofModel is false for private keys, which lie between the epoch and the
// resources.
func ofModel(e entry) bool {
	return e.key == epochKey || strings.HasPrefix(e.key, resourcePrefix)
}

// Pauses between attempts to follow the store again after the watch was lost.
const (
	retryFirst = 20 * time.Millisecond
	retryMax   = 2 * time.Second
)

// feed keeps the view current until Close.
func (s *Store) feed() {
	defer close(s.fed)
	pause := retryFirst
	for {
		err := s.follow(s.running)
		if s.running.Err() != nil {
			return
		}
		s.trouble.Store(&err)
		s.log.Warn("watch lost, reading everything again", "err", err)
		for {
			select {
			case <-s.running.Done():
				return
			case <-time.After(pause):
			}
			err := s.reload()
			if err == nil {
				break
			}
			s.trouble.Store(&err)
			s.log.Error("store not readable", "err", err, "retry", pause)
			pause = min(2*pause, retryMax)
		}
		s.trouble.Store(nil)
		pause = retryFirst
	}
}

func (s *Store) reload() error {
	ctx, cancel := context.WithTimeout(s.running, openTimeout)
	defer cancel()
	return s.load(ctx)
}

// follow publishes a view for each batch of changes until the watch is lost.
func (s *Store) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for b := range s.backend.watch(ctx, modelStart, modelEnd, s.View().Revision) {
		if b.err != nil {
			return b.err
		}
		if err := s.advance(b); err != nil {
			return err
		}
	}
	return errors.New("watch store: ended")
}

// advance publishes what one batch makes of the current view. Whole revisions
// arrive in a batch, so readers never see half a commit.
func (s *Store) advance(b batch) error {
	now := s.current.Load()
	if b.revision <= now.view.Revision || !slices.ContainsFunc(b.entries, ofModel) {
		return nil
	}
	view := now.view.Clone()
	what, err := apply(view, b.entries)
	if err != nil {
		return err
	}
	view.Revision = b.revision
	s.publish(Step{View: view, Changes: what.changes}, max(what.epoch, now.epoch))
	return nil
}

// Watch ticks after changes: at least once after the last of them, for all
// that came while the reader was busy. The reader calls View. The channel is
// closed when the context ends or the store is closed.
func (s *Store) Watch(ctx context.Context) <-chan struct{} {
	ticks := make(chan struct{}, 1)
	seen := s.current.Load()
	go func() {
		defer close(ticks)
		for {
			select {
			case <-seen.replaced:
			case <-ctx.Done():
				return
			case <-s.running.Done():
				return
			}
			seen = s.current.Load()
			select {
			case ticks <- struct{}{}:
			default: // one is waiting already
			}
		}
	}()
	return ticks
}

// Wait evaluates a condition on the current view and then on newer ones, until
// it is done or fails, the context ends, or the store is closed.
func (s *Store) Wait(ctx context.Context, condition func(*model.View) (done bool, err error)) error {
	for {
		f := s.current.Load()
		if done, err := condition(f.view); done || err != nil {
			return err
		}
		select {
		case <-f.replaced:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.running.Done():
			return errClosed
		}
	}
}
