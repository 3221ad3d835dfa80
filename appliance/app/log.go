package app

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
)

func newLog(w io.Writer, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// recentBytes is how much of the log diagnostics show, at least, once there is
// as much.
const recentBytes = 64 << 10

// recentLog keeps the end of what is written to it, in whole lines.
type recentLog struct {
	mu  sync.Mutex
	buf []byte
}

// Write never fails.
func (r *recentLog) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, p...)
	if len(r.buf) > 2*recentBytes { // not at each line
		over := len(r.buf) - recentBytes
		if line := bytes.IndexByte(r.buf[over:], '\n'); line >= 0 {
			over += line + 1
		}
		r.buf = append(r.buf[:0], r.buf[over:]...)
	}
	return len(p), nil
}

func (r *recentLog) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.buf)
}
