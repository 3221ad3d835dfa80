// Package audit keeps who changed what over the API: append-only files of JSON
// lines, each of which carries the hash of the one before. A call is written
// and on the disk before anything is done (its intent), and what became of it
// afterwards (its outcome), so that a server that ends in between leaves an
// intent without an outcome and never a change without a record. Calls that
// wait at the same time share one fsync.
//
// The chain shows every edit, every record that is missing, and every one that
// is out of its place. It does not keep who can write the files from writing
// the whole rest of the chain anew, or from cutting off its end: for that, note
// the head somewhere else from time to time, and verify against it.
package audit

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// How much of a chain is kept, in bytes.
const (
	DefaultSize = 1 << 30
	MinSize     = 16 << 20
)

// files divides what is kept into files, in bytes: one of them is removed at a
// time, so they are small beside the whole.
func files(size int64) (fileSize int64, count int) {
	size = max(MinSize, cmp.Or(size, DefaultSize))
	fileSize = min(16<<20, max(1<<20, size/64))
	return fileSize, int(size / fileSize)
}

// retryEvery is how often what could not be written is tried again while nobody
// calls.
const retryEvery = time.Second

// maxWaiting bounds the outcomes and refusals that wait for the disk to have
// room. Calls are refused meanwhile, so that few come.
const maxWaiting = 10_000

// CodeInterrupted is the outcome of a call that the server did not live to end.
const CodeInterrupted = "interrupted"

var errClosed = v1.Unavailable("audit-unavailable", "the audit log is closed: the orchestrator is shutting down; nothing was done, retry later")

// Log is a chain that is being written, and all chains beside it. It is safe
// for concurrent use.
type Log struct {
	archive  archive
	chain    string
	fileSize int64
	keep     int // files
	log      *slog.Logger
	now      func() time.Time
	release  io.Closer // of the chain's lock; nil in memory

	mu      sync.Mutex
	queue   []*entry
	closed  bool
	durable durable
	failing bool
	refused *sampler

	wake chan struct{}
	done chan struct{}
	writer
}

// durable is what is on the disk for certain.
type durable struct {
	head place
	name string // of the file
	size int64
}

// entry waits to be written. One without a kind only waits for those before it.
type entry struct {
	kind    string
	payload payload
	body    []byte
	number  uint64     // once it is written
	written chan error // nil: nobody waits, and it is tried until it succeeds
}

// Begin writes that a call is about to be made, and returns once that is on the
// disk; nothing may be done before. It fails with audit-unavailable.
func (l *Log) Begin(ctx context.Context, c v1.AuditCall) (number uint64, err error) {
	e := &entry{kind: kindIntent, payload: payload{ID: newID(), Call: &c}, written: make(chan error, 1)}
	if err := l.put(e); err != nil {
		return 0, err
	}
	select {
	case err = <-e.written:
	case <-ctx.Done(): // the caller has gone; what was written needs an end
		go func() {
			if err := <-e.written; err == nil {
				l.End(e.number, v1.AuditOutcome{Code: CodeInterrupted})
			}
		}()
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, v1.Unavailable("audit-unavailable", "the audit log cannot be written, so nothing was done: %v; see whether the disk is full, then retry", err).Because(err)
	}
	return e.number, nil
}

// End writes what became of a call. It does not wait for the disk.
func (l *Log) End(number uint64, o v1.AuditOutcome) {
	if o.Time.IsZero() {
		o.Time = l.now().UTC()
	}
	_ = l.put(&entry{kind: kindOutcome, payload: payload{Of: number, Outcome: &o}}) // closed: the next start ends it
}

// Refused writes that a call was refused before it was begun. Of many by the
// same actor, or by strangers, only some are written, with the number of the
// others. It does not wait for the disk.
func (l *Log) Refused(c v1.AuditCall, o v1.AuditOutcome) {
	now := l.now()
	if o.Time.IsZero() {
		o.Time = now.UTC()
	}
	l.mu.Lock()
	suppressed, ok := l.refused.take(c.Actor.ID, now)
	l.mu.Unlock()
	if ok {
		_ = l.put(&entry{kind: kindRefusal, payload: payload{ID: newID(), Call: &c, Outcome: &o, Suppressed: suppressed}}) // closed: refused anyway
	}
}

// Note writes something about the chain itself, and returns once it is on the
// disk.
func (l *Log) Note(text string) error {
	e := &entry{kind: kindNote, payload: payload{ID: newID(), Note: text}, written: make(chan error, 1)}
	if err := l.put(e); err != nil {
		return err
	}
	return <-e.written
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func (l *Log) put(e *entry) error {
	if e.kind != "" {
		e.body = e.payload.encode()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if e.written == nil && len(l.queue) >= maxWaiting {
		return errors.New("too many records wait for the disk")
	}
	l.queue = append(l.queue, e)
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// flush waits until all that was put before is on the disk, or cannot be.
func (l *Log) flush(ctx context.Context) {
	e := &entry{written: make(chan error, 1)}
	if err := l.put(e); err != nil { // closed: all is
		return
	}
	select {
	case <-e.written: //nolint:errcheck // what cannot be written is said where it was put
	case <-ctx.Done():
	}
}

// Close writes what waits and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	close(l.wake)
	<-l.done
	err := l.out.Close()
	if l.release != nil {
		err = errors.Join(err, l.release.Close())
	}
	return err
}

// run writes until the log is closed.
func (l *Log) run() {
	defer close(l.done)
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for open := true; open; {
		select {
		case _, open = <-l.wake:
		case <-retry.C:
		}
		l.mu.Lock()
		batch := l.queue
		l.queue = nil
		l.mu.Unlock()
		if len(batch) > 0 {
			l.settle(batch, l.write(batch))
		}
	}
}

// settle tells those who wait, and keeps the rest for the next attempt.
func (l *Log) settle(batch []*entry, err error) {
	l.mu.Lock()
	if l.failing != (err != nil) {
		if l.failing = err != nil; err != nil {
			l.log.Error("audit log cannot be written; changes are refused until it can", "chain", l.chain, "err", err)
		} else {
			l.log.Info("audit log is written again", "chain", l.chain)
		}
	}
	var again []*entry
	if err == nil {
		l.durable = durable{l.head, l.name, l.size}
	} else {
		for _, e := range batch {
			if e.written == nil {
				again = append(again, e)
			}
		}
		l.queue = append(again, l.queue...)
	}
	l.mu.Unlock()
	for _, e := range batch {
		if e.written != nil {
			e.written <- err
		}
	}
}

// Head is the newest record on the disk.
func (l *Log) Head(ctx context.Context) v1.AuditHead {
	l.flush(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.durable.head.head(l.chain)
}

// Chains are the names of all chains in the directory: the one that is written,
// and those beside it.
func (l *Log) Chains() ([]string, error) { return l.archive.chains() }

// Verify walks over all chains. It fails if files cannot be read; damage is in
// the answer.
func (l *Log) Verify(ctx context.Context, expected []Expectation) (v1.AuditVerification, error) {
	l.flush(ctx)
	return reportAll(l.archive, l.limit(), expected)
}

// limit is how much of each file is on the disk for certain: -1 is all.
func (l *Log) limit() func(chain, name string) int64 {
	l.mu.Lock()
	d := l.durable
	l.mu.Unlock()
	return func(chain, name string) int64 {
		switch {
		case chain != l.chain || name < d.name:
			return -1
		case name == d.name:
			return d.size
		}
		return 0 // newer than what was asked for
	}
}
