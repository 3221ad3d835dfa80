package store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// etcd has read more commits than it may be behind when it starts again, and
// says so in a loop until it applies the first of them.
func TestStartAfterManyCommitsIsQuiet(t *testing.T) {
	const commits, writers = 5200, 100
	dir := t.TempDir()
	s := openStore(t, store.Config{Dir: dir})
	var all errgroup.Group
	for i := range writers {
		all.Go(func() error {
			for range commits / writers {
				if err := s.Private().Put(t.Context(), fmt.Sprint("x/", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s, err := store.Open(t.Context(), store.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, s)
	if bytes.Contains(said.Bytes(), []byte("publish")) {
		t.Errorf("the start says: %.300s", said.Bytes())
	}
}
