// Package ledger keeps the last spec that a router accepted, so that a
// restarted agent goes on without the orchestrator. It lives on tmpfs: it
// outlives the agent's process and not the machine, because a router that
// booted has to wait, closed, for a fresh spec rather than trust an old one.
package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Dir is where a router keeps its ledger and identity; a tmpfs.
const Dir = "/run/sluice"

// File is the ledger's name in its directory. A spec of thousands of mappings is
// megabytes, so what comes after it is appended to a journal beside it.
const File = "ledger.json"

// Mark names one spec.
type Mark struct {
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
}

// Entry is the ledger's content.
type Entry struct {
	// RouterUUID owns the entry: a ledger of another router is not applied.
	RouterUUID string
	// Spec is the accepted RouterSpec as it came in, unknown fields included,
	// so that a newer agent started over it understands all of it. Empty: none
	// was accepted yet.
	Spec json.RawMessage
	// Changes are the SpecChanges accepted since, oldest first.
	Changes []json.RawMessage
	// Accepted, of the newest of them, is stored before its first effect.
	Accepted   Mark
	AcceptedAt time.Time
	// Applied is the last spec that was reached completely.
	Applied Mark
	// Fence is the highest store revision that was seen, in refused specs too.
	Fence int64
}

// base is the first line of File. The spec follows as it is.
type base struct {
	RouterUUID string `json:"routerUuid"`
	// Journal is the number of the journal that goes on from here. A new base
	// has a new one, so that it is never read with what came before it.
	Journal uint64 `json:"journal"`
	// SpecBytes is how long the spec is.
	SpecBytes int `json:"specBytes"`
	record
}

// record is a line of the journal: what has become another.
type record struct {
	Change     json.RawMessage `json:"change,omitempty"`
	Accepted   Mark            `json:"accepted,omitzero"`
	AcceptedAt time.Time       `json:"acceptedAt,omitzero"`
	Applied    Mark            `json:"applied,omitzero"`
	Fence      int64           `json:"fence,omitempty"`
}

// Ledger is a base file and its journal. It is safe for concurrent use.
type Ledger struct {
	dir string

	mu      sync.Mutex
	number  uint64   // of the journal
	whole   int64    // bytes of the base; 0: there is none, or it was not read
	journal *os.File // nil: not open
	size    int64    // of the journal's whole lines
}

// Open makes dir (0700) where it is missing, and removes what a killed process
// left half written. It reads nothing yet.
func Open(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{dir: dir}
	rests, _ := filepath.Glob(partPattern(l.path())) // a fixed pattern
	for _, rest := range rests {
		_ = os.Remove(rest) // or it stays and takes a little memory
	}
	for _, path := range l.journals() { // no new one gets a name that is taken
		var n uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "journal-%d.jsonl", &n); err == nil {
			l.number = max(l.number, n)
		}
	}
	return l, nil
}

func (l *Ledger) journals() []string {
	all, _ := filepath.Glob(filepath.Join(l.dir, "journal-*.jsonl")) // a fixed pattern
	return all
}

func (l *Ledger) path() string { return filepath.Join(l.dir, File) }

func (l *Ledger) journalPath(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("journal-%d.jsonl", number))
}

// Load returns what was stored; ok is false where nothing was yet. A base that
// does not parse is an error: it was written whole or not at all, so damage
// means that somebody else wrote to it. So does damage in a journal, but for its
// last line: that one was being written when the process was killed, and nobody
// was told that it was stored.
func (l *Ledger) Load() (e Entry, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok, err = l.load()
	if err != nil {
		l.whole = 0 // it is not gone on from
		return Entry{}, false, fmt.Errorf("load ledger: %w", err)
	}
	return e, ok, nil
}

func (l *Ledger) load() (e Entry, ok bool, err error) {
	raw, err := os.ReadFile(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	head, spec, _ := bytes.Cut(raw, []byte{'\n'})
	var b base
	if err := json.Unmarshal(head, &b); err != nil {
		return e, false, fmt.Errorf("%s: %w", l.path(), err)
	}
	if len(spec) != b.SpecBytes {
		return e, false, fmt.Errorf("%s: the spec has %d bytes, and should have %d", l.path(), len(spec), b.SpecBytes)
	}
	e.RouterUUID = b.RouterUUID
	e.take(b.record)
	if len(spec) > 0 {
		e.Spec = spec
	}
	l.number, l.whole = b.Journal, int64(len(raw))
	return e, true, l.replay(&e)
}

// replay takes in the journal, and remembers how much of it is good.
func (l *Ledger) replay(e *Entry) error {
	path := l.journalPath(l.number)
	rest, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	good := int64(0)
	for len(rest) > 0 {
		line, after, complete := bytes.Cut(rest, []byte{'\n'})
		var r record
		err := json.Unmarshal(line, &r)
		if err != nil && len(after) > 0 {
			return fmt.Errorf("%s, byte %d: %w", path, good, err)
		}
		if err != nil || !complete {
			break
		}
		e.take(r)
		good, rest = good+int64(len(line))+1, after
	}
	l.size = good
	return nil
}

func (e *Entry) take(r record) {
	if len(r.Change) > 0 {
		e.Changes = append(e.Changes, r.Change)
	}
	if r.Accepted != (Mark{}) {
		e.Accepted, e.AcceptedAt = r.Accepted, r.AcceptedAt
	}
	if r.Applied != (Mark{}) {
		e.Applied = r.Applied
	}
	e.Fence = max(e.Fence, r.Fence)
}

// Store replaces all there is; Changes are not part of it. After it returned
// nil, a Load finds e whatever happens to the process; before, it finds what was
// there.
func (l *Ledger) Store(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.store(e); err != nil {
		return fmt.Errorf("store ledger: %w", err)
	}
	return nil
}

func (l *Ledger) store(e Entry) error {
	b := base{RouterUUID: e.RouterUUID, Journal: l.number + 1, SpecBytes: len(e.Spec),
		record: record{Accepted: e.Accepted, AcceptedAt: e.AcceptedAt, Applied: e.Applied, Fence: e.Fence}}
	head, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := WriteFile(l.path(), append(head, '\n'), e.Spec); err != nil {
		return err
	}
	if l.journal != nil {
		_ = l.journal.Close() // all that it said is in the base
		l.journal = nil
	}
	for _, path := range l.journals() {
		_ = os.Remove(path) // or it stays and takes a little memory
	}
	l.number, l.size, l.whole = b.Journal, 0, int64(len(head)+1+len(e.Spec))
	return nil
}

// Append stores what is another in e than in the last entry, at the cost of
// that: the newest change (nil: none), Accepted and Fence. It holds as Store
// does.
func (l *Ledger) Append(e Entry, change json.RawMessage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.whole == 0 {
		if err := l.store(e); err != nil {
			return fmt.Errorf("store ledger: %w", err)
		}
		return nil
	}
	return l.append(record{Change: change, Accepted: e.Accepted, AcceptedAt: e.AcceptedAt, Fence: e.Fence}, true)
}

// Reached records what Load gives as Applied. It may be forgotten when the
// machine crashes.
func (l *Ledger) Reached(m Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(record{Applied: m}, false)
}

func (l *Ledger) append(r record, sync bool) error {
	line, err := json.Marshal(r)
	if err == nil && l.journal == nil {
		err = l.openJournal()
	}
	if err == nil {
		_, err = l.journal.WriteAt(append(line, '\n'), l.size)
	}
	if err == nil && sync {
		err = l.journal.Sync()
	}
	if err != nil {
		if l.journal != nil {
			_ = l.journal.Truncate(l.size) // else the next line is written over it
		}
		return fmt.Errorf("store ledger: %w", err)
	}
	l.size += int64(len(line)) + 1
	return nil
}

// openJournal goes on after the last good line.
func (l *Ledger) openJournal() error {
	f, err := os.OpenFile(l.journalPath(l.number), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(l.size), syncDir(l.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	l.journal = f
	return nil
}

// smallJournal is never worth a new base.
const smallJournal = 64 << 10

// Outgrown is whether the journal is longer than its base, so that storing the
// whole anew costs less than going on. Reading the journal then stays cheap, too.
func (l *Ledger) Outgrown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size > max(l.whole, smallJournal)
}
