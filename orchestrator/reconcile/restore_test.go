package reconcile

import (
	"bytes"
	"path/filepath"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// TestRestoredStoreAdoptsRouters: after a restore a router that runs is told its
// old content and nothing else happens to it, although it has seen higher
// fences and generations since the backup was made.
func TestRestoredStoreAdoptsRouters(t *testing.T) {
	s := newSite(t, 1, 3)
	s.serve(s.vms[0])
	var content bytes.Buffer
	if err := s.store.Backup(t.Context(), &content, "test"); err != nil {
		t.Fatal(err)
	}
	for range 5000 { // fences are revisions
		must(t, 0, s.store.Private().Put(t.Context(), "later", nil))
	}
	for _, vm := range s.vms[1:] { // what the backup does not know
		s.serve(vm)
	}
	before := s.router()
	s.r.Close()
	dir := filepath.Join(t.TempDir(), "etcd")
	if _, err := store.Restore(t.Context(), dir, bytes.NewReader(content.Bytes()), s.r.Log); err != nil {
		t.Fatal(err)
	}
	restored, err := store.Open(t.Context(), store.Config{Dir: dir, Catalog: catalog, Log: s.r.Log})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.store.Close()
	s.store = restored
	s.start()
	s.eventually("adopted", func() bool {
		r := s.router()
		return r.AppliedHash != "" && r.AppliedHash == r.DesiredHash && r.Status == v1.Connected
	})
	after := s.router()
	if after.Epoch != before.Epoch || s.machines[0].Boots(after.UUID) != 1 || after.AppliedGeneration <= before.AppliedGeneration {
		t.Errorf("it was built anew, or went back: epoch %d after %d, %d boots, generation %d after %d",
			after.Epoch, before.Epoch, s.machines[0].Boots(after.UUID), after.AppliedGeneration, before.AppliedGeneration)
	}
	if status, err := s.r.RouterStatus(t.Context(), after.UUID); err != nil || status.AppliedHash != after.AppliedHash {
		t.Errorf("its agent has reached %s, not %s: %v", status.AppliedHash, after.AppliedHash, err)
	}
	s.serve(s.vms[2]) // and it goes on
	if boots := s.machines[0].Boots(after.UUID); boots != 1 || model.Get[v1.VMInstance](s.store.View(), s.vms[2]).State != v1.StateRunning {
		t.Errorf("booted %d times", boots)
	}
}
