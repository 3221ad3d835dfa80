package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is the files of one chain.
type folder interface {
	// names are those of its files, ascending.
	names() ([]string, error)
	open(name string) (io.ReadCloser, error)
	// create makes an empty file, whose name is kept from then on.
	create(name string) (file, error)
	// append opens a file to write behind its first bytes; others are cut off.
	append(name string, size int64) (file, error)
	remove(name string) error
}

type file interface {
	io.WriteCloser
	// Sync returns once all that was written is on the disk.
	Sync() error
}

// archive is the chains that are kept in one place.
type archive interface {
	chains() ([]string, error)
	folder(chain string) folder
}

const fileSuffix = ".jsonl"

// fileName is that of the file whose first record has a number.
func fileName(first uint64) string { return fmt.Sprintf("%012d%s", first, fileSuffix) }

func firstOf(name string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, fileSuffix), 10, 64)
	if err != nil || fileName(n) != name {
		return 0, fmt.Errorf("file %s has no name of a file of an audit chain", name)
	}
	return n, nil
}

// disk is an archive in a directory, a folder a chain.
type disk string

func (d disk) chains() (all []string, err error) {
	entries, err := os.ReadDir(string(d)) // in order
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list audit chains: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

func (d disk) folder(chain string) folder { return diskFolder(filepath.Join(string(d), chain)) }

type diskFolder string

func (d diskFolder) path(name string) string { return filepath.Join(string(d), name) }

func (d diskFolder) names() (all []string, err error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("list audit files: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), fileSuffix) {
			all = append(all, e.Name())
		}
	}
	slices.Sort(all)
	return all, nil
}

func (d diskFolder) open(name string) (io.ReadCloser, error) { return os.Open(d.path(name)) }

func (d diskFolder) create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make audit file: %w", err)
	}
	if err := syncDir(string(d)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d diskFolder) append(name string, size int64) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit file: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("cut audit file: %w", err), f.Close())
	}
	return f, nil
}

func (d diskFolder) remove(name string) error { return os.Remove(d.path(name)) }

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open audit directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync audit directory: %w", err)
	}
	return nil
}

var errTaken = errors.New("another process writes it")

// lock makes a chain ours until the file is closed.
func (d diskFolder) lock() (io.Closer, error) {
	f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock audit chain: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errTaken, f.Close())
	}
	return f, nil
}
