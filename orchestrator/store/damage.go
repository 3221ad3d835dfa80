package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap/zapcore"
)

// etcd ends the process, or panics in a goroutine of its own, when its files
// are damaged. What can be known before is looked at before, without a write;
// the rest is turned into an error here. Nothing is deleted or repaired but
// the torn end of the log, which etcd cuts off by itself (and copies to
// *.broken): a record that was not on disk whole was never acknowledged.

// startEtcd fails with an error that names the damaged file and what to do.
func startEtcd(c *embed.Config) (server *embed.Etcd, err error) {
	if err := examine(c.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = damaged(c.Dir, "open", fmt.Errorf("%v", p))
		}
	}()
	return embed.StartEtcd(c)
}

// panicking turns etcd's exit of the process into a panic with the reason.
type panicking struct{}

func (panicking) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok {
			panic(fmt.Sprintf("%s: %v", e.Message, err))
		}
	}
	panic(e.Message)
}

func damaged(file, stage string, err error) error {
	return fmt.Errorf("%s %s: %w; nothing was changed: keep a copy of the data directory, then restore its newest backup into an empty one (`sluice restore`), "+
		"or look for the fault of the disk (dmesg)", stage, file, err)
}

// examine reads the database's index and the log, and fails if etcd could not
// start on them or would lose writes. etcd reads the whole log too.
func examine(dir string) error {
	db := filepath.Join(dir, "member", "snap", "db")
	applied, err := appliedIndex(db)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a new directory; or etcd says what it misses
	}
	if err != nil {
		return damaged(db, "read database", err)
	}
	folder := filepath.Join(dir, "member", "wal")
	last, err := lastIndex(folder)
	if err != nil {
		return err
	}
	// etcd would take new writes for those that the database has already.
	if last < applied {
		return damaged(folder, "read log", fmt.Errorf("it ends at entry %d, but the database has entry %d: its end was cut off", last, applied))
	}
	return nil
}

// appliedIndex is the newest entry of the log that the database has.
func appliedIndex(file string) (index uint64, err error) {
	if _, err := os.Stat(file); err != nil {
		return 0, err
	}
	defer func() {
		if p := recover(); p != nil { // how bbolt says that a page is bad
			err = fmt.Errorf("%v", p)
		}
	}()
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte("meta")); b != nil {
			if v := b.Get([]byte("consistent_index")); len(v) == 8 {
				index = binary.BigEndian.Uint64(v)
			}
		}
		return nil
	})
	return index, err
}

// lastIndex is the last entry of the log. A torn end is no damage.
func lastIndex(folder string) (last uint64, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.wal")) // ascending
	if err != nil {
		return 0, err
	}
	for i, file := range files {
		err := segment(file, &last)
		if err != nil && !(i == len(files)-1 && errors.Is(err, io.ErrUnexpectedEOF)) {
			return last, damaged(file, "read log", err)
		}
	}
	return last, nil
}

func segment(file string, last *uint64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	d := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		r := &walpb.Record{}
		switch err := d.Decode(r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("after byte %d: %w", d.LastOffset(), err)
		case r.GetType() == wal.CrcType:
			d.UpdateCRC(r.GetCrc())
		case r.GetType() == wal.StateType: // each file begins with one
			*last = max(*last, wal.MustUnmarshalState(r.Data).GetCommit())
		case r.GetType() == wal.EntryType:
			*last = wal.MustUnmarshalEntry(r.Data).GetIndex()
		}
	}
}
