package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/backup"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
	"github.com/sluice-nfv/sluice/orchestrator/store/storetest"
)

// A store that was restored behaves as any other.
func TestRestoredStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, n int) (stores []*store.Store) {
		m := store.NewMemoryBackend()
		for range n {
			s, err := m.OpenRestored(t.Context(), 1<<40)
			if err != nil {
				t.Fatal(err)
			}
			stores = append(stores, closeAfter(t, s))
		}
		return stores
	}, true)
}

var discard = slog.New(slog.DiscardHandler)

// shownWithout is all resources as JSON, without what a restore changes.
func shownWithout(t *testing.T, v *model.View) (all []string) {
	t.Helper()
	for _, kind := range model.Kinds() {
		for r := range v.All(kind, "") {
			b, err := json.Marshal(r)
			var fields map[string]any
			if err == nil {
				err = json.Unmarshal(b, &fields)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, changed := range []string{"revision", "desiredGeneration", "appliedGeneration", "appliedHash", "nics", "conditions"} {
				delete(fields, changed)
			}
			b, _ = json.Marshal(fields)
			all = append(all, kind.String()+" "+string(b))
		}
	}
	return all
}

func backedUp(t *testing.T, s *store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b, "test"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBackupAndRestore: everything is there again, and nothing that counts goes
// back: not revisions, not fences, also not behind those after the backup.
func TestBackupAndRestore(t *testing.T) {
	const router = "00000000-0000-7000-8000-0000000000aa"
	old := openStore(t, store.Config{Dir: t.TempDir(), Log: discard})
	for i := range 2500 {
		if err := old.Private().Put(t.Context(), fmt.Sprint("k/", i), bytes.Repeat([]byte{byte(i)}, i)); err != nil {
			t.Fatal(err)
		}
	}
	update(t, old, func(tx *model.Tx) error {
		for i := range 100 {
			if err := newZone(fmt.Sprintf("00000000-0000-7000-8000-0000000001%02d", i))(tx); err != nil {
				return err
			}
		}
		if err := tx.Create(&v1.VIP{Meta: v1.Meta{UUID: router, Name: "v"}, UseFor: []string{}, Conditions: []v1.Condition{{Type: "Address", Status: v1.True}}}); err != nil {
			return err
		}
		return tx.Create(&v1.VirtualRouter{Meta: v1.Meta{UUID: router, Name: "r"}, Nics: []v1.RouterNic{{Name: "eth0", Claimed: true}}, DesiredGeneration: 5, DesiredHash: "wanted", AppliedGeneration: 5, AppliedHash: "wanted"})
	})
	content, before := backedUp(t, old), shownWithout(t, old.View())
	for range 50 { // what happens after the backup is lost, but was seen
		update(t, old, func(tx *model.Tx) error {
			r := model.Copy(model.Get[v1.VirtualRouter](tx.View, router))
			r.DesiredGeneration++
			tx.Save(r)
			return nil
		})
	}
	late, err := old.Lock(t.Context(), "router/x")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "etcd")
	info, err := store.Restore(t.Context(), dir, bytes.NewReader(content), discard)
	if err != nil || info.Entries != 2500+102 {
		t.Fatalf("restore: %+v %v", info, err)
	}
	s := openStore(t, store.Config{Dir: dir, Log: discard})
	if got := shownWithout(t, s.View()); !slices.Equal(got, before) {
		t.Errorf("restored is not what was backed up: %d resources, %d before", len(got), len(before))
	}
	for i := range 2500 {
		if v, found, err := s.Private().Get(t.Context(), fmt.Sprint("k/", i)); err != nil || !found || !bytes.Equal(v, bytes.Repeat([]byte{byte(i)}, i)) {
			t.Fatalf("private key %d: %d bytes, %v", i, len(v), err)
		}
	}
	r, was := model.Get[v1.VirtualRouter](s.View(), router), model.Get[v1.VirtualRouter](old.View(), router)
	if r.DesiredGeneration <= was.DesiredGeneration || r.DesiredGeneration != 5+store.GenerationJump || r.AppliedHash != "" || r.Revision <= was.Revision || s.View().Revision <= old.View().Revision {
		t.Errorf("restored %+v; before %+v, revisions %d and %d", r, was, s.View().Revision, old.View().Revision)
	}
	if vip := model.Get[v1.VIP](s.View(), router); r.Nics[0].Claimed || len(vip.Conditions) > 0 {
		t.Errorf("addresses count as asked about, and who was given them since is not known: %+v %+v", r.Nics, vip)
	}
	lock, err := s.Lock(t.Context(), "router/x")
	if err != nil || lock.Fence <= late.Fence {
		t.Errorf("fence %d after %d: %v", lock.Fence, late.Fence, err)
	}
	lock.Unlock()
	update(t, s, newZone("00000000-0000-7000-8000-0000000002aa")) // it takes changes
	again := filepath.Join(t.TempDir(), "etcd")
	if info, err = store.Restore(t.Context(), again, bytes.NewReader(backedUp(t, s)), discard); err != nil || info.Revision < 1<<40 {
		t.Fatalf("restored from a backup of what was restored: %+v %v", info, err)
	}
	twice := openStore(t, store.Config{Dir: again, Log: discard})
	if second, err := twice.Lock(t.Context(), "router/x"); err != nil || second.Fence <= lock.Fence {
		t.Errorf("fence %d after %d: %v", second.Fence, lock.Fence, err)
	}
}

func update(t *testing.T, s *store.Store, rule func(*model.Tx) error) {
	t.Helper()
	if _, err := s.Update(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreRefuses, and leaves nothing.
func TestRestoreRefuses(t *testing.T) {
	s := closeAfter(t, store.NewMemory(model.Catalog{}))
	update(t, s, newZone("00000000-0000-7000-8000-000000000001"))
	good := backedUp(t, s)
	foreign := func(key, value string) []byte {
		var b bytes.Buffer
		w, err := backup.NewWriter(&b, "test", time.Now())
		if err == nil {
			err = w.Add(key, []byte(value))
		}
		if err == nil {
			err = w.Close(3)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, row := range map[string]struct {
		content []byte
		says    string
	}{
		"damaged":      {bytes.Replace(good, []byte("key"), []byte("kez"), 1), "damaged"},
		"cut off":      {good[:len(good)-10], "cut off"},
		"newer":        {bytes.Replace(good, []byte(`"version":1`), []byte(`"version":9`), 1), "version 9"},
		"none":         {[]byte("hello\n"), "it is none"},
		"foreign key":  {foreign("/other/key", "x"), "none of a store"},
		"unknown kind": {foreign("/sluice/v1/r/planets/p1", `{"uuid":"p1"}`), "no such kind"},
		"bad resource": {foreign("/sluice/v1/r/zones/z1", `{"uuid":"z2"}`), "the value is of"},
	} {
		dir := filepath.Join(t.TempDir(), "etcd")
		_, err := store.Restore(t.Context(), dir, bytes.NewReader(row.content), discard)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", name, err, row.says)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
	dir := filepath.Join(t.TempDir(), "etcd")
	for i := range 2 {
		if _, err := store.Restore(t.Context(), dir, bytes.NewReader(good), discard); (err == nil) != (i == 0) {
			t.Errorf("restore %d into one directory: %v", i, err)
		}
	}
}
