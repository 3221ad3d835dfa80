package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
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
	info, err := backup.Read(from, func(string, []byte) error { return nil })
	if err != nil {
		return info, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return info, fmt.Errorf("read backup again: %w", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return info, errors.Join(fmt.Errorf("restore store: there is one in %s; give an empty data directory", dir), err)
	}
	unfinished := dir + Unfinished
	if err := os.RemoveAll(unfinished); err != nil {
		return info, fmt.Errorf("remove unfinished restore: %w", err)
	}
	if err := fill(ctx, unfinished, from, info, log); err != nil {
		return info, errors.Join(fmt.Errorf("restore store: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return info, fmt.Errorf("restore store: %w", err)
	}
	return info, syncDir(filepath.Dir(dir))
}

// Unfinished ends the name of a directory that is being restored.
const Unfinished = ".restoring"

func fill(ctx context.Context, dir string, from io.Reader, info backup.Info, log *slog.Logger) (err error) {
	b, err := startEmbedded(ctx, dir, DefaultQuota, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var some []entry
	size := 0
	put := func() error {
		_, _, err := b.commit(ctx, nil, some)
		some, size = some[:0], 0
		return err
	}
	_, err = backup.Read(from, func(key string, value []byte) error {
		e, err := restored(key, value)
		if err != nil {
			return err
		}
		some, size = append(some, e), size+len(value)
		if size > 1<<20 || len(some) == 1000 {
			return put()
		}
		return nil
	})
	if err != nil {
		return err
	}
	some = append(some, entry{key: baseKey, value: []byte(strconv.FormatInt(info.Revision+revisionJump, 10))})
	return put()
}

// restored is an entry as it goes into the new store. A router is told all
// again, under a generation above those that it has accepted since the backup.
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
	if router, ok := r.(*v1.VirtualRouter); ok {
		router = model.Copy(router)
		router.DesiredGeneration += generationJump
		router.AppliedGeneration, router.AppliedHash = 0, ""
		e.value, err = encode(router)
	}
	return e, err
}
