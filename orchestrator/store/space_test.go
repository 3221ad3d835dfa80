package store_test

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

const smallQuota = 2 << 20 // bytes

// fill writes zones until etcd refuses one, each with a new version of a large
// private key before it, and returns those that were acknowledged.
func fill(t *testing.T, s *store.Store) (zones []string, refused error) {
	t.Helper()
	large := []byte(strings.Repeat("x", 100<<10))
	for range 1000 { // the keeper may make room between two writes
		if err := s.Private().Put(t.Context(), "large", large); err != nil {
			return zones, err
		}
		uuid := model.NewUUID()
		if _, err := s.Update(t.Context(), newZone(uuid)); err != nil {
			return zones, err
		}
		zones = append(zones, uuid)
	}
	t.Fatal("100 MB went into a quota of 2")
	return nil, nil
}

func haveAll(t *testing.T, s *store.Store, zones []string) {
	t.Helper()
	for _, uuid := range zones {
		if model.Get[v1.Zone](s.View(), uuid) == nil {
			t.Errorf("zone %s was acknowledged and is lost", uuid)
		}
	}
}

// TestFull fills the database over and over: each time writes are refused with
// a clear error, reads go on, and room is made without anybody's help.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{Dir: dir, Quota: smallQuota})
	if err != nil {
		t.Fatal(err)
	}
	var zones []string
	for range 3 {
		more, refused := fill(t, s)
		zones = append(zones, more...)
		e, ok := errors.AsType[*v1.Error](refused)
		if !ok || e.Code != store.CodeFull || e.Status != 503 || !strings.Contains(e.Detail, "retry") {
			t.Fatalf("refused with %v", refused)
		}
		haveAll(t, s, zones)
		if _, found, err := s.Private().Get(t.Context(), "large"); err != nil || !found {
			t.Errorf("a read while it is full gives %t, %v", found, err)
		}
		eventually(t, func() bool {
			uuid := model.NewUUID()
			_, err := s.Update(t.Context(), newZone(uuid))
			if err == nil {
				zones = append(zones, uuid)
			} else if v1.Code(err) != store.CodeFull {
				t.Fatalf("while it is full, a write gives %v", err)
			}
			return err == nil
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, store.Config{Dir: dir, Quota: smallQuota})
	haveAll(t, again, zones)
	if n := again.View().Len(model.Zones); n != len(zones) {
		t.Errorf("%d zones, %d were acknowledged", n, len(zones))
	}
}

// TestFullAtStart: an alarm of the run before is cleared before anything is
// served; one that the live data itself raises needs a larger quota.
func TestFullAtStart(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{Dir: dir, Quota: smallQuota})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for ; ; kept++ { // every one is live
		if err := s.Private().Put(t.Context(), "large/"+model.NewUUID(), make([]byte, 100<<10)); err != nil {
			if v1.Code(err) != store.CodeFull {
				t.Fatal(err)
			}
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), store.Config{Dir: dir, Quota: smallQuota}); err != nil {
		t.Fatalf("a full store does not open for reading: %v", err)
	}
	if _, err := s.Update(t.Context(), newZone(model.NewUUID())); v1.Code(err) != store.CodeFull {
		t.Errorf("a write into live data at the quota gives %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, store.Config{Dir: dir, Quota: 100 * smallQuota}) // a fast disk fills beyond the quota before etcd notices
	uuid := model.NewUUID()
	if _, err := s.Update(t.Context(), newZone(uuid)); err != nil {
		t.Fatalf("with a larger quota a write gives %v", err)
	}
	haveAll(t, s, []string{uuid})
	keys, err := s.Private().Keys(t.Context(), "large/", "large0")
	if err != nil || len(keys) != kept {
		t.Errorf("%d of %d keys (%v)", len(keys), kept, err)
	}
}
