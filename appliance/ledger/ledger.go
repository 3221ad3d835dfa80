// Package ledger keeps the last spec that a router accepted, so that a
// restarted agent goes on without the orchestrator. It lives on tmpfs: it
// outlives the agent's process and not the machine, because a router that
// booted has to wait, closed, for a fresh spec rather than trust an old one.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Dir is where a router keeps its ledger and identity; a tmpfs.
const Dir = "/run/sluice"

// File is the ledger's name in its directory. A spec of thousands of mappings is
// megabytes, so what is stored with each apply is beside it.
const (
	File        = "ledger.json"
	AppliedFile = "applied.json"
)

// Mark names one spec.
type Mark struct {
	Generation uint64 `json:"generation"`
	Hash       string `json:"hash"`
}

// Entry is the ledger's content.
type Entry struct {
	// RouterUUID owns the entry: a ledger of another router is not applied.
	RouterUUID string `json:"routerUuid"`
	// Spec is the accepted RouterSpec as it came in, unknown fields included,
	// so that a newer agent started over it understands all of it. Empty: none
	// was accepted yet.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Accepted is stored before the first effect of the spec.
	Accepted   Mark      `json:"accepted"`
	AcceptedAt time.Time `json:"acceptedAt,omitzero"`
	// Applied is the last spec that was reached completely.
	Applied Mark `json:"-"`
	// Fence is the highest store revision that was seen, in refused specs too.
	Fence int64 `json:"fence"`
}

// Ledger is one file. Its methods are not safe for concurrent use.
type Ledger struct {
	path, applied string
}

// Open makes dir (0700) where it is missing, and removes what a killed process
// left half written. It reads nothing yet.
func Open(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{path: filepath.Join(dir, File), applied: filepath.Join(dir, AppliedFile)}
	for _, path := range []string{l.path, l.applied} {
		rests, _ := filepath.Glob(partPattern(path)) // a fixed pattern
		for _, rest := range rests {
			_ = os.Remove(rest) // or it stays and takes a little memory
		}
	}
	return l, nil
}

// Load returns the last stored entry; ok is false where there is none yet. A
// file that does not parse is an error: it was written whole or not at all, so
// damage means that somebody else wrote to it.
func (l *Ledger) Load() (e Entry, ok bool, err error) {
	if ok, err = load(l.path, &e); err == nil && ok {
		_, err = load(l.applied, &e.Applied)
	}
	if err != nil {
		return Entry{}, false, err
	}
	return e, ok, nil
}

func load(path string, into any) (ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return false, fmt.Errorf("load ledger %s: %w", path, err)
	}
	return true, nil
}

// Store replaces the entry. After it returned nil, a Load finds e whatever
// happens to the process; before, it finds the entry that was there. Applied is
// not part of it: see Reached.
func (l *Ledger) Store(e Entry) error { return store(l.path, e) }

// Reached records what Load gives as Applied.
func (l *Ledger) Reached(m Mark) error { return store(l.applied, m) }

func store(path string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = WriteFile(path, b)
	}
	if err != nil {
		return fmt.Errorf("store ledger: %w", err)
	}
	return nil
}
