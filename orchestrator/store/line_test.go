package store_test

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func eventually(t *testing.T, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not reached in 20 s")
		}
	}
}

// line is a connection to a unix socket that can be cut and mended.
type line struct {
	path string
	mu   sync.Mutex
	open bool
	ends map[net.Conn]bool
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	l := &line{path: filepath.Join(filepath.Dir(target), "line"), open: true, ends: map[net.Conn]bool{}}
	listener, err := net.Listen("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); l.cut() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", target)
			if err != nil || !l.join(near, far) {
				near.Close()
				continue
			}
		}
	}()
	return l
}

func (l *line) join(a, b net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		b.Close()
		return false
	}
	l.ends[a], l.ends[b] = true, true
	pump := func(to, from net.Conn) { _, _ = io.Copy(to, from); to.Close() }
	go pump(a, b)
	go pump(b, a)
	return true
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = false
	for c := range l.ends {
		c.Close()
	}
	clear(l.ends)
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
}
