package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/backup"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Backup writes all of the store as it is at one revision: the resources and
// the private keys, but no locks. Changes go on meanwhile.
func (s *Store) Backup(ctx context.Context, to io.Writer, server string) error {
	w, err := backup.NewWriter(to, server, time.Now())
	if err != nil {
		return err
	}
	revision, err := s.backend.scan(ctx, modelStart, modelEnd, func(page []entry) error {
		for _, e := range page {
			if e.key == epochKey {
				continue
			}
			if err := w.Add(e.key, e.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("back up store: %w", err)
	}
	return w.Close(revision)
}

// What a restored store is ahead of its backup: of the revisions that etcd gave
// since then, and of the generations that routers have accepted since then. A
// thousand a second would take 34 years, and 49 days for one router.
const (
	revisionJump   = 1 << 40
	generationJump = 1 << 32
)

// Restore makes a store in a directory that does not exist yet, from a backup
// that is checked first. The directory appears when it is whole.
func Restore(ctx context.Context, dir string, from io.ReadSeeker, log *slog.Logger) (backup.Info, error) {
	info, err := checked(from)
	if err != nil {
		return info, err
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return info, errors.Join(fmt.Errorf("restore store: there is one in %s; give an empty data directory", dir), err)
	}
	unfinished := dir + Unfinished
	if err := os.RemoveAll(unfinished); err != nil {
		return info, fmt.Errorf("remove unfinished restore: %w", err)
	}
	if err := fillDir(ctx, unfinished, from, info, log); err != nil {
		return info, errors.Join(fmt.Errorf("restore store: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return info, fmt.Errorf("restore store: %w", err)
	}
	return info, syncDir(filepath.Dir(dir))
}

// Unfinished ends the name of a directory that is being restored.
const Unfinished = ".restoring"

// checked is a backup that is whole, to be read again.
func checked(from io.ReadSeeker) (backup.Info, error) {
	info, err := backup.Read(from, func(string, []byte) error { return nil })
	if err != nil {
		return info, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return info, fmt.Errorf("read backup again: %w", err)
	}
	return info, nil
}

func fillDir(ctx context.Context, dir string, from io.Reader, info backup.Info, log *slog.Logger) (err error) {
	b, err := startEmbedded(ctx, dir, DefaultQuota, log)
	if err != nil {
		return err
	}
	return errors.Join(fill(ctx, b, from, info), b.close())
}

// fill writes all entries, and with the last of them that it is a whole store.
func fill(ctx context.Context, b backend, from io.Reader, info backup.Info) error {
	var some []entry
	size := 0
	put := func() error {
		_, _, err := b.commit(ctx, nil, some)
		some, size = some[:0], 0
		return err
	}
	_, err := backup.Read(from, func(key string, value []byte) error {
		e, err := restored(key, value)
		if err != nil {
			return err
		}
		some, size = append(some, e), size+len(value)
		if size > 1<<20 || len(some) == batchKeys {
			return put()
		}
		return nil
	})
	if err != nil {
		return err
	}
	some = append(some, entry{key: baseKey, value: []byte(strconv.FormatInt(info.Revision+revisionJump, 10))}, entry{key: restoringKey})
	return put()
}

// batchKeys are written in one transaction.
const batchKeys = 1000

// restored is an entry as it goes into the new store. A router is told all
// again, under a generation above those that it has accepted since the backup.
// Of addresses it is not known who was given them since: the wire is asked again
// before one is taken, as by a router that is built.
func restored(key string, value []byte) (entry, error) {
	if !strings.HasPrefix(key, privatePrefix) && !strings.HasPrefix(key, resourcePrefix) {
		return entry{}, fmt.Errorf("key %q of the backup is none of a store", key)
	}
	e := entry{key: key, value: present(value)}
	if !strings.HasPrefix(key, resourcePrefix) {
		return e, nil
	}
	k, err := parseKey(key)
	if err != nil {
		return e, err
	}
	r, err := decode(k, e)
	if err != nil {
		return e, err
	}
	switch r := r.(type) {
	case *v1.VirtualRouter:
		r = model.Copy(r)
		r.DesiredGeneration += generationJump
		r.AppliedGeneration, r.AppliedHash = 0, ""
		r.Nics = slices.Clone(r.Nics)
		for i := range r.Nics {
			r.Nics[i].Claimed = false
		}
		e.value, err = encode(r)
	case *v1.VIP:
		r = model.Copy(r)
		r.Conditions = nil
		e.value, err = encode(r)
	}
	return e, err
}
