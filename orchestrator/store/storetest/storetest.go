// Package storetest is the suite that every way of running the store passes:
// in memory, embedded, and several stores on one etcd.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Run runs the suite. open gives n stores over the same, new data; the test's
// cleanup closes them. With shared false only n = 1 is asked for.
func Run(t *testing.T, open func(t *testing.T, n int) []*store.Store, shared bool) {
	one := func(t *testing.T) *store.Store { return open(t, 1)[0] }
	t.Run("CommitIsSeenAndRead", func(t *testing.T) { commitIsSeen(t, one(t)) })
	t.Run("RefusalLeavesNothing", func(t *testing.T) { refusalLeavesNothing(t, one(t)) })
	t.Run("NothingWrittenCommitsNothing", func(t *testing.T) { nothingWritten(t, one(t)) })
	t.Run("DryRunCommitsNothing", func(t *testing.T) { dryRun(t, one(t)) })
	t.Run("BigTransaction", func(t *testing.T) { bigTransaction(t, one(t)) })
	t.Run("WatchTicks", func(t *testing.T) { watchTicks(t, one(t)) })
	t.Run("WaitSeesEachEnd", func(t *testing.T) { waitEnds(t, one(t)) })
	t.Run("StepsTellEachChange", func(t *testing.T) { steps(t, one(t)) })
	t.Run("Private", func(t *testing.T) { private(t, one(t)) })
	t.Run("LocksExclude", func(t *testing.T) { locksExclude(t, []*store.Store{one(t)}) })
	t.Run("Closed", func(t *testing.T) { closed(t, one(t)) })
	t.Run("ConcurrentAllocation", func(t *testing.T) { concurrentAllocation(t, []*store.Store{one(t)}) })
	t.Run("ViewNeverGoesBack", func(t *testing.T) { neverBack(t, []*store.Store{one(t)}) })
	if !shared {
		return
	}
	t.Run("TwoStores/ConcurrentAllocation", func(t *testing.T) { concurrentAllocation(t, open(t, 2)) })
	t.Run("TwoStores/ViewNeverGoesBack", func(t *testing.T) { neverBack(t, open(t, 2)) })
	t.Run("TwoStores/LocksExclude", func(t *testing.T) { locksExclude(t, open(t, 2)) })
	t.Run("TwoStores/StepsAgree", func(t *testing.T) { stepsAgree(t, open(t, 2)) })
	t.Run("TwoStores/PutOnce", func(t *testing.T) { putOnce(t, open(t, 2)) })
}

func createZone(name string, uuid *string) func(*model.Tx) error {
	return func(tx *model.Tx) error {
		z := &v1.Zone{Meta: v1.Meta{Name: name}, State: v1.Enabled}
		if err := tx.Create(z); err != nil {
			return err
		}
		*uuid = z.UUID
		return nil
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func commitIsSeen(t *testing.T, s *store.Store) {
	var uuid string
	first, err := s.Update(t.Context(), createZone("north", &uuid))
	must(t, err)
	z := model.Get[v1.Zone](first, uuid)
	if z == nil || z.Name != "north" || z.State != v1.Enabled {
		t.Fatalf("the returned view shows %+v", z)
	}
	if z.Revision == 0 || z.Revision > first.Revision {
		t.Errorf("revision %d in a view of %d", z.Revision, first.Revision)
	}
	second, err := s.Update(t.Context(), func(tx *model.Tx) error {
		c := model.Copy(model.Get[v1.Zone](tx.View, uuid))
		c.Name = "south"
		tx.Save(c)
		return nil
	})
	must(t, err)
	changed := model.Get[v1.Zone](second, uuid)
	if changed.Name != "south" || changed.Revision <= z.Revision {
		t.Errorf("after the change: %+v, before: revision %d", changed, z.Revision)
	}
	if z.Name != "north" {
		t.Error("a view that was handed out has changed")
	}
	third, err := s.Update(t.Context(), func(tx *model.Tx) error { tx.Drop(model.Zones, uuid); return nil })
	must(t, err)
	if model.Get[v1.Zone](third, uuid) != nil || s.View().Len(model.Zones) != 0 {
		t.Error("deleted, but still there")
	}
}

func refusalLeavesNothing(t *testing.T, s *store.Store) {
	before := s.View()
	refusal := v1.Conflict("taken", "no")
	_, err := s.Update(t.Context(), func(tx *model.Tx) error {
		var uuid string
		must(t, createZone("half", &uuid)(tx))
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Errorf("error is %v, want the rule's own", err)
	}
	if s.View() != before {
		t.Error("a refused rule made a new view")
	}
}

func nothingWritten(t *testing.T, s *store.Store) {
	before := s.View()
	after, err := s.Update(t.Context(), func(tx *model.Tx) error {
		var uuid string
		must(t, createZone("gone", &uuid)(tx))
		tx.Drop(model.Zones, uuid)
		tx.Drop(model.Zones, "never-was")
		return nil
	})
	must(t, err)
	if after != before {
		t.Errorf("revision %d became %d", before.Revision, after.Revision)
	}
}

func dryRun(t *testing.T, s *store.Store) {
	var uuid string
	view, err := s.DryRun(createZone("maybe", &uuid))
	must(t, err)
	if model.Get[v1.Zone](view, uuid) == nil {
		t.Error("a dry run does not show its result")
	}
	if s.View().Len(model.Zones) != 0 {
		t.Error("a dry run was committed")
	}
}

// bigTransaction: more writes than etcd allows a transaction by default (128).
func bigTransaction(t *testing.T, s *store.Store) {
	const n = 2000
	view, err := s.Update(t.Context(), func(tx *model.Tx) error {
		for i := range n {
			if err := tx.Create(&v1.Zone{Meta: v1.Meta{Name: fmt.Sprint("zone ", i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	if got := view.Len(model.Zones); got != n {
		t.Errorf("%d of %d arrived", got, n)
	}
}

func watchTicks(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	ticks := s.Watch(ctx)
	var uuid string
	for range 20 {
		_, err := s.Update(t.Context(), createZone("z", &uuid))
		must(t, err)
	}
	deadline := time.After(10 * time.Second)
	for s.View().Len(model.Zones) < 20 || len(ticks) == 0 {
		select {
		case <-deadline:
			t.Fatal("no tick after the last change")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	for range ticks { // ends because it is closed
	}
}

func waitEnds(t *testing.T, s *store.Store) {
	var uuid string
	go func() {
		for range 3 {
			if _, err := s.Update(context.Background(), createZone("z", &uuid)); err != nil {
				t.Error(err)
			}
		}
	}()
	must(t, s.Wait(t.Context(), func(v *model.View) (bool, error) { return v.Len(model.Zones) == 3, nil }))
	failure := errors.New("boot failed")
	if err := s.Wait(t.Context(), func(*model.View) (bool, error) { return false, failure }); !errors.Is(err, failure) {
		t.Errorf("a failed condition gives %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, func(*model.View) (bool, error) { return false, nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a timeout gives %v", err)
	}
}

func private(t *testing.T, s *store.Store) {
	p, ctx, before := s.Private(), t.Context(), s.View()
	if _, found, err := p.Get(ctx, "pki/ca"); found || err != nil {
		t.Fatalf("found %v, error %v", found, err)
	}
	must(t, p.Put(ctx, "pki/ca", []byte("key")))
	winner, err := p.PutOnce(ctx, "pki/ca", []byte("other"))
	must(t, err)
	if string(winner) != "key" {
		t.Errorf("PutOnce over a key gives %q", winner)
	}
	must(t, p.Put(ctx, "empty", nil))
	if v, found, err := p.Get(ctx, "empty"); !found || err != nil || len(v) != 0 {
		t.Errorf("an empty value: %q %v %v", v, found, err)
	}
	must(t, p.Put(ctx, "pki/b", nil))
	keys, err := p.Keys(ctx, "pki/", "pki/c")
	must(t, err)
	if !slices.Equal(keys, []string{"pki/b"}) {
		t.Errorf("keys before pki/c: %q", keys)
	}
	must(t, p.Delete(ctx, "pki/ca"))
	must(t, p.Delete(ctx, "pki/ca"))
	if _, found, _ := p.Get(ctx, "pki/ca"); found {
		t.Error("deleted, but there")
	}
	putWhile(t, p)
	var uuid string
	_, err = s.Update(ctx, createZone("z", &uuid))
	must(t, err)
	if before.Len(model.Zones) != 0 || s.View().Len(model.Zones) != 1 {
		t.Error("private keys disturb the view")
	}
}

// putWhile: a key is written while another one is as it was read, and not after
// that was written again or deleted.
func putWhile(t *testing.T, p *store.Private) {
	ctx := t.Context()
	must(t, p.Put(ctx, "keys/a", []byte("1")))
	must(t, p.Put(ctx, "keys/b", []byte("2")))
	must(t, p.Put(ctx, "keys0", nil))
	all, err := p.Entries(ctx, "keys/")
	must(t, err)
	if len(all) != 2 || all[0].Key != "keys/a" || string(all[1].Value) != "2" {
		t.Fatalf("entries of keys/: %v", all)
	}
	for i, want := range []bool{true, true, false, false} {
		switch i {
		case 2:
			must(t, p.Put(ctx, "keys/a", []byte("1")))
		case 3:
			must(t, p.Delete(ctx, "keys/a", "keys/b", "keys/none"))
		}
		ok, err := p.PutWhile(ctx, all[0], "mark", []byte{byte(i)})
		must(t, err)
		if ok != want {
			t.Errorf("step %d: written %v", i, ok)
		}
	}
	if v, _, _ := p.Get(ctx, "mark"); len(v) != 1 || v[0] != 1 {
		t.Errorf("mark is %v", v)
	}
	if left, err := p.Entries(ctx, "keys/"); len(left) != 0 || err != nil {
		t.Errorf("left: %v %v", left, err)
	}
}

func closed(t *testing.T, s *store.Store) {
	ended := make(chan error, 1)
	go func() {
		ended <- s.Wait(context.Background(), func(*model.View) (bool, error) { return false, nil })
	}()
	must(t, s.Close())
	must(t, s.Close())
	if err := <-ended; v1.Code(err) != "store-closed" {
		t.Errorf("Wait ends with %v", err)
	}
	if _, err := s.Update(t.Context(), func(*model.Tx) error { return nil }); v1.Code(err) != "store-closed" {
		t.Errorf("Update gives %v", err)
	}
}

// concurrentAllocation gives out addresses from many goroutines over all
// stores: each once, in the end without a gap.
func concurrentAllocation(t *testing.T, stores []*store.Store) {
	const workers, each, l3 = 10, 20, "l3"
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				if _, err := stores[w%len(stores)].Update(t.Context(), allocate(l3)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i, s := range stores {
		must(t, s.Wait(t.Context(), func(v *model.View) (bool, error) { return v.Len(model.Nics) >= workers*each, nil }))
		n, want := 0, netip.MustParseAddr("10.0.0.1")
		for ip := range s.View().UsedAddresses(l3, want) {
			if ip != want {
				t.Fatalf("store %d: %s is given out where %s should be: an allocation saw an old view", i, ip, want)
			}
			n, want = n+1, want.Next()
		}
		if n != workers*each || s.View().Len(model.Nics) != n {
			t.Errorf("store %d: %d addresses for %d nics, want %d", i, n, s.View().Len(model.Nics), workers*each)
		}
	}
}

func allocate(l3 string) func(*model.Tx) error {
	return func(tx *model.Tx) error {
		ip := netip.MustParseAddr("10.0.0.1")
		for used := range tx.UsedAddresses(l3, ip) {
			if used != ip {
				break
			}
			ip = ip.Next()
		}
		return tx.Create(&v1.VMNic{Meta: v1.Meta{Name: "n"}, L3NetworkUUID: l3, IP: ip, MAC: "02:" + ip.String()})
	}
}

// neverBack reads while others write: revisions only grow, and of two
// resources that every commit writes together both are always the same.
func neverBack(t *testing.T, stores []*store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for _, s := range stores {
		readers.Go(func() { watchForward(t, ctx, s) })
		writers.Go(func() {
			for range 50 {
				if _, err := s.Update(t.Context(), bumpPair); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	must(t, stores[0].Wait(t.Context(), func(v *model.View) (bool, error) {
		z := model.Get[v1.Zone](v, pairA)
		return z != nil && z.Description == fmt.Sprint(50*len(stores)), nil
	}))
}

const (
	pairA = "00000000-0000-7000-8000-00000000000a"
	pairB = "00000000-0000-7000-8000-00000000000b"
)

// bumpPair counts up in two resources at once.
func bumpPair(tx *model.Tx) error {
	n := 0
	if z := model.Get[v1.Zone](tx.View, pairA); z != nil {
		_, _ = fmt.Sscan(z.Description, &n)
	}
	for _, uuid := range []string{pairA, pairB} {
		tx.Save(&v1.Zone{Meta: v1.Meta{UUID: uuid, Name: "pair", Description: fmt.Sprint(n + 1)}})
	}
	return nil
}

func watchForward(t *testing.T, ctx context.Context, s *store.Store) {
	var last int64
	for ctx.Err() == nil {
		v := s.View()
		if v.Revision < last {
			t.Errorf("view went from %d back to %d", last, v.Revision)
			return
		}
		last = v.Revision
		a, b := model.Get[v1.Zone](v, pairA), model.Get[v1.Zone](v, pairB)
		if (a == nil) != (b == nil) || a != nil && (a.Description != b.Description || a.Revision != b.Revision) {
			t.Errorf("half a commit is visible: %+v, %+v", a, b)
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

func locksExclude(t *testing.T, stores []*store.Store) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	holders, fence := 0, int64(0)
	for i := range 8 {
		wg.Go(func() {
			l, err := stores[i%len(stores)].Lock(t.Context(), "router/1")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if holders++; holders != 1 {
				t.Errorf("%d hold the lock", holders)
			}
			if l.Fence <= fence {
				t.Errorf("fence %d after %d", l.Fence, fence)
			}
			fence = l.Fence
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			holders--
			mu.Unlock()
			l.Unlock()
			l.Unlock()
		})
	}
	wg.Wait()
	l, err := stores[0].Lock(t.Context(), "router/1")
	must(t, err)
	parent, err := stores[0].Lock(t.Context(), "router") // another lock, though a prefix
	must(t, err)
	parent.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := stores[len(stores)-1].Lock(ctx, "router/1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock gives %v", err)
	}
	select {
	case <-l.Lost:
		t.Error("lost without a reason")
	default:
	}
	must(t, stores[0].Close())
	select {
	case <-l.Lost:
	case <-time.After(5 * time.Second):
		t.Error("a closed store still holds its lock")
	}
	if len(stores) > 1 { // free for the others at once, not after the lease
		start := time.Now()
		_, err := stores[1].Lock(t.Context(), "router/1")
		must(t, err)
		if waited := time.Since(start); waited > 5*time.Second {
			t.Errorf("freed only after %s", waited)
		}
	}
}

func putOnce(t *testing.T, stores []*store.Store) {
	var wg sync.WaitGroup
	winners := make([]string, 10)
	for i := range winners {
		wg.Go(func() {
			w, err := stores[i%len(stores)].Private().PutOnce(t.Context(), "ca", fmt.Append(nil, "ca ", i))
			if err != nil {
				t.Error(err)
			}
			winners[i] = string(w)
		})
	}
	wg.Wait()
	for _, w := range winners {
		if w != winners[0] || w == "" {
			t.Fatalf("not one winner: %q", winners)
		}
	}
}
