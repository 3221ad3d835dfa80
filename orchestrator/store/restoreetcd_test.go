package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// failing is a backup that cannot be read again to its end.
type failing struct {
	*bytes.Reader
	again bool
	left  int
}

func (f *failing) Seek(offset int64, whence int) (int64, error) {
	f.again = true
	return f.Reader.Seek(offset, whence)
}

func (f *failing) Read(p []byte) (int, error) {
	if !f.again {
		return f.Reader.Read(p)
	}
	if f.left == 0 {
		return 0, errors.New("input/output error")
	}
	n, err := f.Reader.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// TestRestoreIntoEtcd: a backup becomes the store of an etcd that has none. One
// that was cut short is opened by nobody, and the next attempt begins anew.
func TestRestoreIntoEtcd(t *testing.T) {
	old := closeAfter(t, store.NewMemory(model.Catalog{}))
	for i := range 30 {
		update(t, old, newZone(fmt.Sprintf("00000000-0000-7000-8000-0000000001%02d", i)))
	}
	for i := range 2500 {
		if err := old.Private().Put(t.Context(), fmt.Sprint("k/", i), bytes.Repeat([]byte{1}, 2000)); err != nil {
			t.Fatal(err)
		}
	}
	content, want := backedUp(t, old), shownWithout(t, old.View())
	endpoint := []string{listen(t)}
	into := func(endpoint []string) store.Config { return store.Config{Endpoints: endpoint, Log: discard} }
	refused := func(err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	_, err := store.RestoreInto(t.Context(), into(endpoint), bytes.NewReader(content[:len(content)-5]))
	refused(err, "cut off")
	_, err = store.RestoreInto(t.Context(), into(endpoint), &failing{Reader: bytes.NewReader(content), left: len(content) * 3 / 4})
	refused(err, "input/output error")
	_, err = store.Open(t.Context(), store.Config{Endpoints: endpoint, Log: discard})
	refused(err, "run `sluice restore` again")

	other := closeAfter(t, store.NewMemory(model.Catalog{})) // of the attempt nothing is left
	update(t, other, newZone("00000000-0000-7000-8000-000000000999"))
	if _, err := store.RestoreInto(t.Context(), into(endpoint), io.ReadSeeker(bytes.NewReader(backedUp(t, other)))); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, store.Config{Endpoints: endpoint, Log: discard})
	if got := shownWithout(t, s.View()); !slices.Equal(got, shownWithout(t, other.View())) {
		t.Errorf("restored: %v", got)
	}
	if keys, err := s.Private().Keys(t.Context(), "k/", "k0"); err != nil || len(keys) > 0 {
		t.Errorf("%d keys of the attempt are left: %v", len(keys), err)
	}
	_, err = store.RestoreInto(t.Context(), into(endpoint), bytes.NewReader(content))
	refused(err, "has a store already")

	fresh := []string{listen(t)}
	if info, err := store.RestoreInto(t.Context(), into(fresh), bytes.NewReader(content)); err != nil || info.Entries != 2530 {
		t.Fatalf("%+v %v", info, err)
	}
	s = openStore(t, store.Config{Endpoints: fresh, Log: discard})
	if got := shownWithout(t, s.View()); !slices.Equal(got, want) || s.View().Revision <= old.View().Revision {
		t.Errorf("restored is not what was backed up: %d resources, %d before, revision %d after %d", len(got), len(want), s.View().Revision, old.View().Revision)
	}
	update(t, s, newZone("00000000-0000-7000-8000-0000000002aa"))
}
