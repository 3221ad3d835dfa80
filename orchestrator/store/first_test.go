package store_test

import (
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// TestAnUnfinishedFirstStartIsMadeAnew: etcd's files of a first start that was
// cut short are cleared away; those of a store that had once begun never are.
func TestAnUnfinishedFirstStartIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "etcd", "member", "wal", "0.wal")
	mark := filepath.Join(dir, "etcd.unfinished")
	if err := os.MkdirAll(filepath.Dir(half), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{half, mark} {
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	uuid := model.NewUUID()
	for range 2 {
		s, err := store.Open(t.Context(), store.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Error("the mark is there still")
		}
		if _, err := os.Stat(half); err == nil {
			t.Error("the half made log is there still")
		}
		if model.Get[v1.Zone](s.View(), uuid) == nil { // the second time, it is there
			if _, err := s.Update(t.Context(), newZone(uuid)); err != nil {
				t.Fatal(err)
			}
		} else {
			uuid = ""
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if uuid != "" {
		t.Error("what was stored is gone")
	}
}
