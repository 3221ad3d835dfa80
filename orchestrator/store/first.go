package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// birthFile is in a store's directory from before its etcd is made until it has
// elected itself for the first time. etcd writes its log before the log says
// who is a member: one that ends in between finds no leader ever after.
const birthFile = "etcd.unfinished"

// beginBirth clears away an etcd whose making was cut short, which nobody was
// told of yet, and notes that one is being made where there is none.
func beginBirth(dir string, log *slog.Logger) error {
	mark, data := filepath.Join(dir, birthFile), etcdDir(dir)
	if _, err := os.Stat(mark); err == nil {
		log.Warn("the first start of the store was cut short; it is made anew", "dir", data)
		if err := os.RemoveAll(data); err != nil {
			return fmt.Errorf("remove unfinished store: %w", err)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("note that the store is being made: %w", err)
	}
	return syncDir(dir)
}

// endBirth notes that the store is made. Nothing may be written to it before.
func endBirth(dir string) error {
	err := os.Remove(filepath.Join(dir, birthFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("note that the store is made: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(fileutil.Fsync(d), d.Close())
}
