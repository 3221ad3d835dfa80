package ledger

import (
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path with parts, readable by its owner only:
// into a new file beside it, synced, renamed over it, and the directory
// synced. A reader sees the old content or the new, never a part.
func WriteFile(path string, parts ...[]byte) error {
	pattern := partPattern(path)
	f, err := os.CreateTemp(filepath.Dir(pattern), filepath.Base(pattern)) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already after the rename
	if err := fill(f, parts); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func fill(f *os.File, parts [][]byte) error {
	defer f.Close()
	for _, part := range parts {
		if _, err := f.Write(part); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// partPattern matches files that are on their way to path.
func partPattern(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".*")
}
