// Package backup is the format of a backup: JSON lines, of which the first says
// what it is, the last how many there are and a SHA-256 over them, and those
// between are the keys of the store. A file without its last line was cut off.
// It has the keys of both certificate authorities and is not encrypted.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"
)

const (
	format = "sluice backup"
	// version is of the format; a reader refuses newer ones.
	version = 1
	// maxLine is more than etcd takes in one request, in bytes.
	maxLine = 32 << 20
)

// Info is what a backup says of itself.
type Info struct {
	// Server is the version of the program that made it.
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
	// Revision of the store that all of it is of.
	Revision int64  `json:"revision"`
	Entries  int    `json:"entries"`
	SHA256   string `json:"sha256"`
}

type header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
}

type entry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

type trailer struct {
	End      bool   `json:"end"`
	Revision int64  `json:"revision"`
	Entries  int    `json:"entries"`
	SHA256   string `json:"sha256"`
}

// Writer writes one backup.
type Writer struct {
	to      *bufio.Writer
	sum     hash.Hash
	entries int
}

// NewWriter begins a backup made by a version of the server.
func NewWriter(to io.Writer, server string, now time.Time) (*Writer, error) {
	w := &Writer{to: bufio.NewWriter(to), sum: sha256.New()}
	return w, w.line(header{format, version, server, now.UTC().Truncate(time.Second)})
}

// Add writes one key.
func (w *Writer) Add(key string, value []byte) error {
	w.entries++
	return w.line(entry{key, value})
}

// Close writes the end: without it the backup is not one.
func (w *Writer) Close(revision int64) error {
	if err := w.line(trailer{true, revision, w.entries, sumOf(w.sum.Sum(nil), revision)}); err != nil {
		return err
	}
	return w.to.Flush()
}

// sumOf is the checksum of all lines so far and the revision.
func sumOf(lines []byte, revision int64) string {
	sum := sha256.Sum256(strconv.AppendInt(lines, revision, 10))
	return hex.EncodeToString(sum[:])
}

func (w *Writer) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode backup: %w", err)
	}
	b = append(b, '\n')
	w.sum.Write(b)
	if _, err := w.to.Write(b); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

// Read reads a whole backup and checks it. Entries are handed out before its
// end was seen: what they become counts only if no error is returned.
func Read(from io.Reader, each func(key string, value []byte) error) (Info, error) {
	r := &reader{from: bufio.NewReaderSize(from, 64<<10), sum: sha256.New()}
	var h header
	if err := r.decode(&h); err != nil || h.Format != format {
		return Info{}, errors.New("read backup: it is none, or its beginning is damaged")
	}
	if h.Version > version {
		return Info{}, fmt.Errorf("read backup: it has version %d of the format, and this program knows %d: use the version of sluice that made it (%s), or a newer one", h.Version, version, h.Server)
	}
	for n := 0; ; n++ {
		lines := r.sum.Sum(nil)
		raw, err := r.next()
		if err != nil {
			return Info{}, fmt.Errorf("read backup: it ends after %d entries without its last line: %w; it was cut off, make another one", n, err)
		}
		if !bytes.HasPrefix(raw, []byte(`{"key":`)) {
			return r.end(raw, h, n, lines)
		}
		var e entry
		if err := strict(raw, &e); err != nil || e.Key == "" {
			return Info{}, fmt.Errorf("read backup: entry %d is damaged; use another backup", n+1)
		}
		if err := each(e.Key, e.Value); err != nil {
			return Info{}, err
		}
	}
}

type reader struct {
	from *bufio.Reader
	sum  hash.Hash
}

// next is a line with its newline.
func (r *reader) next() (raw []byte, err error) {
	for {
		part, err := r.from.ReadSlice('\n')
		raw = append(raw, part...)
		switch {
		case err == nil:
			r.sum.Write(raw)
			return raw, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(raw) > maxLine:
			return nil, errors.New("a line is longer than any entry")
		}
	}
}

func (r *reader) decode(v any) error {
	raw, err := r.next()
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func (r *reader) end(raw []byte, h header, entries int, lines []byte) (Info, error) {
	var t trailer
	if err := strict(raw, &t); err != nil || !t.End {
		return Info{}, fmt.Errorf("read backup: the line after entry %d is damaged; use another backup", entries)
	}
	sum := sumOf(lines, t.Revision)
	if t.Entries != entries || t.SHA256 != sum {
		return Info{}, fmt.Errorf("read backup: %d entries with SHA-256 %s, and its last line says %d with %.64s: it was changed; use another backup", entries, sum, t.Entries, t.SHA256)
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return Info{}, errors.New("read backup: something follows its last line; use another backup")
	}
	return Info{h.Server, h.Created, t.Revision, entries, sum}, nil
}

// strict takes only what the writer writes, to the byte.
func strict(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	again, err := json.Marshal(v)
	if err == nil && !bytes.Equal(append(again, '\n'), raw) {
		err = errors.New("it is not as it was written")
	}
	return err
}
