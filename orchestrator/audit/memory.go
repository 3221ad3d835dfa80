package audit

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// NewMemory is a log that keeps everything in this process, with the same
// behaviour otherwise. For tests.
func NewMemory() *Log {
	l, err := start(newMemory(), "memory", Config{Log: slog.Default()}, nil)
	if err != nil { // nothing of it can fail
		panic("audit: open memory: " + err.Error())
	}
	return l
}

// memory is an archive of one chain with a disk's behaviour: what is not synced
// is lost, in part or whole, when the machine stops, which is at its fault.
type memory struct {
	mu    sync.Mutex
	files map[string]*memoryFile
	// left is how many operations succeed before fault is what all do; negative:
	// all of them.
	left  int
	fault error
}

type memoryFile struct {
	*memory
	content []byte
	synced  int // bytes
}

func newMemory() *memory { return &memory{files: map[string]*memoryFile{}, left: -1} }

func (m *memory) chains() ([]string, error) { return []string{"memory"}, nil }
func (m *memory) folder(string) folder      { return m }

// operate counts an operation that changes something.
func (m *memory) operate() error {
	switch {
	case m.fault == nil || m.left < 0:
		return nil
	case m.left == 0:
		return m.fault
	}
	m.left--
	return nil
}

func (m *memory) names() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), nil
}

func (m *memory) open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(slices.Clone(f.content))), nil
}

func (m *memory) create(name string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.operate(); err != nil {
		return nil, err
	}
	f := &memoryFile{memory: m}
	m.files[name] = f
	return f, nil
}

func (m *memory) append(name string, size int64) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	if err := m.operate(); err != nil {
		return nil, err
	}
	f.content = f.content[:size]
	f.synced = min(f.synced, int(size))
	return f, nil
}

func (m *memory) remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.operate(); err != nil {
		return err
	}
	delete(m.files, name)
	return nil
}

// Write that fails leaves half of what it was to write.
func (f *memoryFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.operate(); err != nil {
		f.content = append(f.content, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	f.content = append(f.content, p...)
	return len(p), nil
}

func (f *memoryFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.operate(); err != nil {
		return err
	}
	f.synced = len(f.content)
	return nil
}

func (f *memoryFile) Close() error { return nil }
