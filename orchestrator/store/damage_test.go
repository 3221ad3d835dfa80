package store_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"

	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// written is a directory with some zones, closed.
func written(t *testing.T) (dir string, zones []string) {
	t.Helper()
	dir = t.TempDir()
	s, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		zones = append(zones, model.NewUUID())
		if _, err := s.Update(t.Context(), newZone(zones[len(zones)-1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, zones
}

func logFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "etcd", "member", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	return files[0]
}

// ends are where the records of a log end, in bytes.
func ends(t *testing.T, file string) (at []int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := wal.NewDecoder(fileutil.NewFileReader(f)); ; {
		r := &walpb.Record{}
		if err := d.Decode(r); errors.Is(err, io.EOF) {
			return at
		} else if err != nil {
			t.Fatal(err)
		}
		if r.GetType() == wal.CrcType {
			d.UpdateCRC(r.GetCrc())
		}
		at = append(at, d.LastOffset())
	}
}

func change(t *testing.T, file string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, edit(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTornEnd: a record that was being written when the machine lost power is
// no reason not to start, and nothing acknowledged is lost with it.
func TestTornEnd(t *testing.T) {
	dir, zones := written(t)
	file := logFile(t, dir)
	at := ends(t, file)
	record, end := at[len(at)-2], at[len(at)-1] // the last one is whole
	change(t, file, func(b []byte) []byte {
		half := (end - record) / 2
		return append(b[:end:end], b[record:record+half]...)
	})
	s := openStore(t, store.Config{Dir: dir})
	haveAll(t, s, zones)
	if _, err := s.Update(t.Context(), newZone(model.NewUUID())); err != nil {
		t.Errorf("a write gives %v", err)
	}
}

// TestDamage: what cannot be repaired is refused with the file's name and what
// to do, and is left as it is.
func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string) (file string)
		says   string
	}{
		"log, a bit in the middle": {func(t *testing.T, dir string) string {
			file := logFile(t, dir)
			at := ends(t, file)
			change(t, file, func(b []byte) []byte { b[at[len(at)/2]-12] ^= 1; return b })
			return file
		}, "crc mismatch"},
		"log, acknowledged entries cut off": {func(t *testing.T, dir string) string {
			file := logFile(t, dir)
			at := ends(t, file)
			if err := os.Truncate(file, at[len(at)/2]+3); err != nil {
				t.Fatal(err)
			}
			return filepath.Dir(file)
		}, "its end was cut off"},
		"database, both heads": {func(t *testing.T, dir string) string {
			file := filepath.Join(dir, "etcd", "member", "snap", "db")
			change(t, file, func(b []byte) []byte { clear(b[:8192]); return b })
			return file
		}, "invalid database"},
		"database cut": {func(t *testing.T, dir string) string {
			file := filepath.Join(dir, "etcd", "member", "snap", "db")
			if err := os.Truncate(file, 100); err != nil {
				t.Fatal(err)
			}
			return file
		}, "read database"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := written(t)
			file := c.damage(t, dir)
			before := sums(t, dir)
			_, err := store.Open(t.Context(), store.Config{Dir: dir})
			if err == nil {
				t.Fatal("it opens")
			}
			t.Log(err)
			for _, want := range []string{file, c.says, "backup"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q: %v", want, err)
				}
			}
			if !maps.Equal(before, sums(t, dir)) {
				t.Error("files were changed")
			}
		})
	}
}
