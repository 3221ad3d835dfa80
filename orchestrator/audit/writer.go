package audit

import (
	"fmt"
	"maps"
	"slices"
)

// writer is the end of the chain. Only the log's goroutine uses it.
type writer struct {
	files folder
	out   file
	name  string
	size  int64 // of what was written whole
	head  place
	open  map[uint64]bool
	// broken: what is behind size is not known, and is cut off before more is
	// written.
	broken bool
	// rotate: a new file is begun whatever the size of this one.
	rotate bool
}

// write puts a batch on the disk, all or nothing as far as this process can
// tell. What a failed attempt has left is cut off by the next.
func (l *Log) write(batch []*entry) error {
	if err := l.ready(); err != nil {
		return err
	}
	text, head := []byte(nil), l.head
	rotated := l.size == 0
	if rotated {
		header, err := l.header()
		if err != nil {
			return err
		}
		text, head = head.follow(text, kindFile, l.now(), header)
	}
	for _, e := range batch {
		if e.kind == "" {
			continue
		}
		text, head = head.follow(text, e.kind, l.now(), e.body)
		e.number = head.number
	}
	if len(text) == 0 {
		return nil
	}
	l.broken = true
	if _, err := l.out.Write(text); err != nil {
		return fmt.Errorf("write %s: %w", l.name, err)
	}
	if err := l.out.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.name, err)
	}
	l.broken, l.head, l.size = false, head, l.size+int64(len(text))
	l.account(batch)
	if rotated {
		l.removeOld()
	}
	return nil
}

// account keeps the list of the calls without an outcome.
func (w *writer) account(batch []*entry) {
	for _, e := range batch {
		switch e.kind {
		case kindIntent:
			w.open[e.number] = true
		case kindOutcome:
			delete(w.open, e.payload.Of)
		}
	}
}

// ready mends what a failed attempt left, and begins a new file in time.
func (l *Log) ready() error {
	if l.broken {
		_ = l.out.Close() // it failed; what it says now is no news
		out, err := l.files.append(l.name, l.size)
		if err != nil {
			return err
		}
		l.out, l.broken = out, false
	}
	if l.size < l.fileSize && !(l.rotate && l.size > 0) {
		return nil
	}
	name := fileName(l.head.number + 1)
	out, err := l.files.create(name)
	if err != nil {
		return err
	}
	err = l.out.Close()
	l.out, l.name, l.size, l.rotate = out, name, 0, false
	return err
}

// header is the first line of a new file. It says where the chain begins, before
// what is older is removed.
func (l *Log) header() ([]byte, error) {
	names, err := l.files.names()
	if err != nil {
		return nil, err
	}
	h := fileHeader{Chain: l.chain, Begins: 1, After: genesis(l.chain).hash, Open: slices.Sorted(maps.Keys(l.open))}
	if oldest := names[max(0, len(names)-l.keep)]; oldest != names[len(names)-1] {
		first, err := firstLine(l.files, oldest)
		if err != nil {
			return nil, err
		}
		h.Begins, h.After = first.Number, first.Previous
	}
	return payload{File: &h}.encode(), nil
}

// removeOld removes the files before the first that the newest header says is
// kept: the chain has to tell of it before they go. One that cannot be removed
// is, the next time.
func (l *Log) removeOld() {
	names, err := l.files.names()
	var newest line
	if err == nil {
		newest, err = firstLine(l.files, l.name)
	}
	for len(names) > 0 && err == nil && newest.File != nil && names[0] < fileName(newest.File.Begins) {
		err = l.files.remove(names[0])
		names = names[1:]
	}
	if err != nil {
		l.log.Warn("old audit files not removed", "chain", l.chain, "err", err)
	}
}
