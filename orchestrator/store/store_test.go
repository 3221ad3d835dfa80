package store_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
	"github.com/sluice-nfv/sluice/orchestrator/store/storetest"
)

func closeAfter(t *testing.T, s *store.Store) *store.Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openStore(t *testing.T, c store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return closeAfter(t, s)
}

func TestMemory(t *testing.T) {
	t.Run("New", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, _ int) []*store.Store {
			return []*store.Store{closeAfter(t, store.NewMemory(model.Catalog{}))}
		}, false)
	})
	t.Run("Shared", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, n int) (stores []*store.Store) {
			m := store.NewMemoryBackend()
			for range n {
				s, err := m.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				stores = append(stores, closeAfter(t, s))
			}
			return stores
		}, true)
	})
}

func TestEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, _ int) []*store.Store {
		return []*store.Store{openStore(t, store.Config{Dir: t.TempDir()})}
	}, false)
}

// listen starts an etcd on a socket in a short path (108 bytes at most).
func listen(t *testing.T) (endpoint string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sl-etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u := url.URL{Scheme: "unix", Path: filepath.Join(dir, "c")}
	store.StartListening(t, func(c *embed.Config) {
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{u}, []url.URL{u}
	})
	return u.String()
}

func TestEndpoints(t *testing.T) {
	storetest.Run(t, func(t *testing.T, n int) (stores []*store.Store) {
		endpoint := listen(t)
		for range n {
			stores = append(stores, openStore(t, store.Config{Endpoints: []string{endpoint}}))
		}
		return stores
	}, true)
}

func newZone(uuid string) func(*model.Tx) error {
	return func(tx *model.Tx) error {
		return tx.Create(&v1.Zone{Meta: v1.Meta{UUID: uuid, Name: "zone"}, State: v1.Enabled})
	}
}

func TestUndecodableValueFailsOpenNamingTheKey(t *testing.T) {
	for name, bad := range map[string][2]string{
		"not JSON":     {"/sluice/v1/r/zones/z1", "{"},
		"wrong type":   {"/sluice/v1/r/zones/z1", `{"uuid":7}`},
		"other uuid":   {"/sluice/v1/r/zones/z1", `{"uuid":"z2"}`},
		"unknown kind": {"/sluice/v1/r/planets/p1", `{"uuid":"p1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := store.NewMemoryBackend()
			m.PutRaw(bad[0], bad[1])
			if _, err := m.Open(t.Context()); err == nil || !strings.Contains(err.Error(), bad[0]) {
				t.Errorf("Open gives %v", err)
			}
		})
	}
}

// TestUndecodableChange: a bad value that arrives later keeps the view where it
// was, says so, and recovers when the value is repaired.
func TestUndecodableChange(t *testing.T) {
	const key, uuid = "/sluice/v1/r/zones/00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000001"
	m := store.NewMemoryBackend()
	s, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	m.PutRaw(key, "{")
	eventually(t, func() bool { err := s.Trouble(); return err != nil && strings.Contains(err.Error(), key) })
	if s.View().Len(model.Zones) != 0 {
		t.Error("an undecodable zone is in the view")
	}
	m.PutRaw(key, `{"uuid":"`+uuid+`","name":"repaired"}`)
	eventually(t, func() bool { return s.Trouble() == nil && model.Get[v1.Zone](s.View(), uuid) != nil })
}

// TestBrokenWatches breaks all watches over and over while the suite runs.
func TestBrokenWatches(t *testing.T) {
	storetest.Run(t, func(t *testing.T, n int) (stores []*store.Store) {
		m := store.NewMemoryBackend()
		for range n {
			s, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stores = append(stores, closeAfter(t, s))
		}
		go func() {
			for t.Context().Err() == nil {
				m.Compact()
				time.Sleep(5 * time.Millisecond)
			}
		}()
		return stores
	}, true)
}

// TestLostConnection cuts a store off etcd, changes everything behind its back
// and compacts the history, so that it cannot resume its watch.
func TestLostConnection(t *testing.T) {
	endpoint := listen(t)
	line := newLine(t, strings.TrimPrefix(endpoint, "unix://"))
	far := openStore(t, store.Config{Endpoints: []string{"unix://" + line.path}})
	near := openStore(t, store.Config{Endpoints: []string{endpoint}})
	const kept, dropped = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
	update := func(s *store.Store, rule func(*model.Tx) error) *model.View {
		v, err := s.Update(t.Context(), rule)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	update(far, newZone(dropped))

	line.cut()
	update(near, newZone(kept))
	v := update(near, func(tx *model.Tx) error { tx.Drop(model.Zones, dropped); return nil })
	compact(t, endpoint, v.Revision)
	if model.Get[v1.Zone](far.View(), dropped) == nil {
		t.Fatal("the line is not cut")
	}
	line.mend()
	eventually(t, func() bool {
		return model.Get[v1.Zone](far.View(), dropped) == nil && model.Get[v1.Zone](far.View(), kept) != nil
	})
	update(far, func(tx *model.Tx) error { tx.Drop(model.Zones, kept); return nil })
	eventually(t, func() bool { return near.View().Len(model.Zones) == 0 })
}

func compact(t *testing.T, endpoint string, revision int64) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	openStore(t, store.Config{Dir: dir})
	if _, err := store.Open(t.Context(), store.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second Open gives %v", err)
	}
}

func TestOpenNeedsOnePlace(t *testing.T) {
	for _, c := range []store.Config{{}, {Dir: "x", Endpoints: []string{"y"}}} {
		if _, err := store.Open(t.Context(), c); err == nil {
			t.Errorf("%+v opens", c)
		}
	}
}

// TestLostAnswer: a commit whose answer was lost is found out about; one that
// another store prevented is not taken for made.
func TestLostAnswer(t *testing.T) {
	const one, two = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
	m := store.NewMemoryBackend()
	s, err := m.OpenLossy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	if v, err := s.Update(t.Context(), newZone(one)); err != nil || model.Get[v1.Zone](v, one) == nil {
		t.Errorf("a commit that was made gives %v", err)
	}
	other, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, other)
	_, err = s.Update(t.Context(), func(tx *model.Tx) error {
		if _, err := other.Update(t.Context(), newZone(two)); err != nil {
			return err
		}
		return newZone(model.NewUUID())(tx)
	})
	if v1.Code(err) != "store-unavailable" {
		t.Errorf("a commit that was not made gives %v", err)
	}
	if n := other.View().Len(model.Zones); n != 2 {
		t.Errorf("%d zones", n)
	}
}

// TestLateView: what an orchestrator refuses, or finds done already, is so in
// the store and not only in its own view.
func TestLateView(t *testing.T) {
	const uuid = "00000000-0000-7000-8000-000000000001"
	m := store.NewMemoryBackend()
	near, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, near)
	far, err := m.OpenLate(t.Context(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, far)
	if _, err := near.Update(t.Context(), newZone(uuid)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Update(t.Context(), func(tx *model.Tx) error {
		if model.Get[v1.Zone](tx.View, uuid) == nil {
			return v1.NotFound("zone", uuid)
		}
		return nil
	}); err != nil {
		t.Errorf("refused for what is there: %v", err)
	}
	other := model.NewUUID()
	if _, err := near.Update(t.Context(), newZone(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Update(t.Context(), func(tx *model.Tx) error { tx.Drop(model.Zones, other); return nil }); err != nil {
		t.Fatal(err)
	}
	if v, err := near.Update(t.Context(), func(*model.Tx) error { return nil }); err != nil || model.Get[v1.Zone](v, other) != nil {
		t.Errorf("a zone that was deleted is still there (%v)", err)
	}
}

func TestPrivateKeysMakeNoView(t *testing.T) {
	s := openStore(t, store.Config{Dir: t.TempDir()})
	same := s.View()
	if err := s.Private().Put(t.Context(), "pki/ca", []byte("key")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // for the watch
	if s.View() != same {
		t.Error("a private key made a new view")
	}
}

// TestLostLease: who loses its lease learns it, and the next holder's fence is
// higher.
func TestLostLease(t *testing.T) {
	endpoint := listen(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, b := openStore(t, store.Config{Endpoints: []string{endpoint}}), openStore(t, store.Config{Endpoints: []string{endpoint}})
	first, err := a.Lock(t.Context(), "router-1")
	if err != nil {
		t.Fatal(err)
	}
	leases, err := c.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("%v %v", leases, err)
	}
	if _, err := c.Revoke(t.Context(), leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	second, err := b.Lock(t.Context(), "router-1")
	if err != nil {
		t.Fatal(err)
	}
	if second.Fence <= first.Fence {
		t.Errorf("fence %d after %d", second.Fence, first.Fence)
	}
	select {
	case <-first.Lost:
	case <-time.After(15 * time.Second):
		t.Error("the first holder does not learn that it lost the lock")
	}
	first.Unlock() // must not free the second's
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if l, err := a.Lock(ctx, "router-1"); err == nil {
		t.Error("both hold the lock")
		l.Unlock()
	}
	second.Unlock()
	third, err := a.Lock(t.Context(), "router-1") // on a new lease
	if err != nil {
		t.Fatal(err)
	}
	third.Unlock()
}
