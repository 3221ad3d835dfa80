package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Config says where the log is, and how much of it is kept.
type Config struct {
	// Dir has a folder for each chain; it is made with mode 0700.
	Dir string
	// Host begins the name of a new chain.
	Host string
	// Size is how much of a chain is kept, in bytes; 0 is DefaultSize, and
	// MinSize the least. What is older is removed, file by file.
	Size int64
	// Log is slog.Default() if nil.
	Log *slog.Logger

	// fileSize is from where on a new file is begun, in bytes, and files how many
	// are kept.
	fileSize int64
	files    int
}

// Open goes on with the first chain in the directory that nobody else writes,
// or begins one. What a killed server left is mended: a torn last line is cut
// off and noted, and calls without an outcome are noted as interrupted. A chain
// that is damaged otherwise is left as it is, for people to look at, and a new
// one is begun.
func Open(c Config) (*Log, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make audit directory: %w", err)
	}
	chains, err := disk(c.Dir).chains()
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		l, err := openChain(c, chain)
		var d *Damage
		switch {
		case err == nil:
			return l, nil
		case errors.As(err, &d):
			c.Log.Error("audit chain is damaged: it is left as it is, and another one is written; see `sluice audit verify`", "chain", chain, "err", d)
		case !errors.Is(err, errTaken):
			return nil, err
		}
	}
	chain := newName(c.Host)
	if err := os.Mkdir(filepath.Join(c.Dir, chain), 0o700); err != nil {
		return nil, fmt.Errorf("make audit chain: %w", err)
	}
	if err := syncDir(c.Dir); err != nil {
		return nil, err
	}
	return openChain(c, chain)
}

var strange = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// newName is unique, so that records of several orchestrators can lie side by
// side.
func newName(host string) string {
	host = strings.Trim(strange.ReplaceAllString(host, "-"), ".-")
	if len(host) > 64 {
		host = host[:64]
	}
	id := newID()
	return cmp.Or(host, "server") + "-" + id[len(id)-8:]
}

func openChain(c Config, chain string) (*Log, error) {
	folder := diskFolder(filepath.Join(c.Dir, chain))
	lock, err := folder.lock()
	if err != nil {
		return nil, err
	}
	l, err := start(disk(c.Dir), chain, c, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

// start goes on where a chain ends.
func start(a archive, chain string, c Config, lock io.Closer) (*Log, error) {
	fileSize, count := files(c.Size)
	l := &Log{
		archive: a, chain: chain, log: c.Log, now: time.Now, release: lock, refused: newSampler(),
		fileSize: cmp.Or(c.fileSize, fileSize), keep: max(2, cmp.Or(c.files, count)),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		writer: writer{files: a.folder(chain), head: genesis(chain), open: map[uint64]bool{}},
	}
	torn, err := l.resume()
	if err != nil {
		return nil, err
	}
	if err := l.write(l.mend(torn)); err != nil {
		return nil, errors.Join(err, l.out.Close())
	}
	l.removeOld()
	l.durable = durable{l.head, l.name, l.size}
	go l.run()
	return l, nil
}

// resume finds the end of the chain, and cuts off a line that is not whole. The
// last two files tell all: one alone may have no whole line.
func (l *Log) resume() (torn []byte, err error) {
	names, err := l.files.names()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		l.name = fileName(1)
		l.out, err = l.files.create(l.name)
		return nil, err
	}
	l.name = names[len(names)-1]
	w := newWalk(l.chain)
	if err := w.files(l.files, names[max(0, len(names)-2):], unlimited); err != nil {
		return nil, err
	}
	if w.first != 0 {
		l.head = w.at
	}
	l.open, l.size = w.open, w.size
	l.rotate = len(names) > l.keep // less is to be kept than before, and a new file has to say so
	l.out, err = l.files.append(l.name, l.size)
	return w.torn, err
}

// mend are the records about what the last server left.
func (l *Log) mend(torn []byte) (batch []*entry) {
	note := func(format string, args ...any) {
		batch = append(batch, &entry{kind: kindNote, payload: payload{ID: newID(), Note: fmt.Sprintf(format, args...)}})
	}
	if len(torn) > 0 {
		note("a torn line of %d bytes (SHA-256 %s) behind record %d was cut off: the server ended while it was written, and had not begun what it was about", len(torn), hashOf(torn), l.head.number)
	}
	for _, n := range slices.Sorted(maps.Keys(l.open)) {
		batch = append(batch, &entry{kind: kindOutcome, payload: payload{Of: n, Outcome: &v1.AuditOutcome{Time: l.now().UTC(), Code: CodeInterrupted}}})
	}
	note("the server starts; %d calls were interrupted", len(l.open))
	for _, e := range batch {
		e.body = e.payload.encode()
	}
	return batch
}
