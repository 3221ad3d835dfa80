// Package sysctl reads and writes kernel settings below /proc/sys/net, which
// shows those of the calling thread's network namespace. Keys are paths below
// /proc/sys with slashes, since link names may have dots.
package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const root = "/proc/sys"

// Observe returns the values of keys, without those that this kernel, or a
// link that is missing, does not have.
func Observe(ctx context.Context, keys []string) (map[string]string, error) {
	values := make(map[string]string, len(keys))
	for _, key := range keys {
		b, err := os.ReadFile(filepath.Join(root, key))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		values[key] = strings.TrimSpace(string(b))
	}
	return values, ctx.Err()
}

// Set writes a value. Only keys below net are taken.
func Set(key, value string) error {
	if !filepath.IsLocal(key) || !strings.HasPrefix(key, "net/") {
		return fmt.Errorf("%q is not a key below net", key)
	}
	// Not created where missing, unlike os.WriteFile.
	f, err := os.OpenFile(filepath.Join(root, key), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
