package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/backup"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Restore makes the store of a server from a backup: in a data directory that is
// empty or does not exist, or in an etcd that has none. What an attempt that was
// killed left is cleared away. The audit chain says where the store comes from.
func Restore(ctx context.Context, c Config, from io.ReadSeeker) (backup.Info, error) {
	info, err := restoreStore(ctx, c, from)
	if err != nil {
		return info, err
	}
	log, err := openAudit(c)
	if err != nil {
		return info, err
	}
	note := fmt.Sprintf("the store was restored from a backup of %s at revision %d (SHA-256 %s)", info.Created.Format(time.RFC3339), info.Revision, info.SHA256)
	return info, errors.Join(log.Note(note), log.Close())
}

func restoreStore(ctx context.Context, c Config, from io.ReadSeeker) (backup.Info, error) {
	if len(c.Etcd) > 0 {
		sc, err := storeConfig(c)
		if err != nil {
			return backup.Info{}, err
		}
		return store.RestoreInto(ctx, sc, from)
	}
	if err := checkEmpty(c.DataDir); err != nil {
		return backup.Info{}, err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return backup.Info{}, fmt.Errorf("make data directory: %w", err)
	}
	return store.Restore(ctx, storeDir(c), from, c.Log)
}

func storeDir(c Config) string { return filepath.Join(c.DataDir, "etcd") }

// checkEmpty lets pass only what an earlier attempt has left.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at data directory: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), store.Unfinished) {
			return fmt.Errorf("restore into %s: it has %s, and may be a server's; give another directory, or move that one away", dir, e.Name())
		}
	}
	return nil
}
