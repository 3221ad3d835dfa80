package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Kinds of lines.
const (
	kindFile    = "file" // the first of each file
	kindIntent  = "intent"
	kindOutcome = "outcome"
	kindRefusal = "refusal" // of a call that was not begun
	kindNote    = "note"
)

// line is one record on the disk: JSON whose last field is the SHA-256 of all
// before that field. The hash of the record before is in it, so that no byte
// of the chain can change without the rest of it.
type line struct {
	Number   uint64    `json:"n"`
	Previous string    `json:"prev"`
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	payload
}

// payload is what a line says, besides its place in the chain.
type payload struct {
	// Of is the number of the intent that an outcome belongs to.
	Of         uint64           `json:"of,omitempty"`
	ID         string           `json:"id,omitempty"`
	Call       *v1.AuditCall    `json:"call,omitempty"`
	Outcome    *v1.AuditOutcome `json:"outcome,omitempty"`
	Note       string           `json:"note,omitempty"`
	Suppressed int              `json:"suppressed,omitempty"`
	File       *fileHeader      `json:"file,omitempty"`
}

// fileHeader begins each file.
type fileHeader struct {
	Chain string `json:"chain"`
	// Begins is the first record that is kept, and After the hash before it:
	// what is older was removed on purpose.
	Begins uint64 `json:"begins"`
	After  string `json:"after"`
	// Open are the intents that have no outcome yet.
	Open []uint64 `json:"open,omitempty"`
}

// place is where a chain has got to.
type place struct {
	number uint64
	hash   string
	time   time.Time
}

// genesis is the place before the first record of a chain.
func genesis(chain string) place {
	return place{hash: hashOf([]byte("sluice audit chain " + chain))}
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// head is the newest record, for people to note elsewhere.
func (p place) head(chain string) *v1.AuditHead {
	return &v1.AuditHead{Chain: chain, Number: p.number, Hash: p.hash, Time: p.time, Expect: fmt.Sprintf("%s:%d:%s", chain, p.number, p.hash)}
}

const hashField = `,"hash":"`

// tailLength is that of the last field: name, hash and what closes the line.
const tailLength = len(hashField) + 2*sha256.Size + len(`"}`)

// follow appends the next line of the chain to a text. Times of a chain only
// grow, so that each is a place in it.
func (p place) follow(to []byte, kind string, now time.Time, body []byte) ([]byte, place) {
	if now = now.UTC().Round(0); !now.After(p.time) {
		now = p.time.Add(1)
	}
	begin := len(to)
	to = fmt.Appendf(to, `{"n":%d,"prev":"%s","kind":"%s","time":"%s"`, p.number+1, p.hash, kind, now.Format(time.RFC3339Nano))
	if len(body) > len("{}") {
		to = append(append(to, ','), body[1:len(body)-1]...)
	}
	next := place{p.number + 1, hashOf(to[begin:]), now}
	return append(to, hashField+next.hash+"\"}\n"...), next
}

func (p payload) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil { // texts, numbers and JSON that was read before
		panic(fmt.Sprintf("audit: encode record: %v", err))
	}
	return b
}

var (
	errForm = errors.New("it is no record: its end is not a hash field")
	errHash = errors.New("its hash is not that of its content: it was changed")
)

// check is whether a line, without its newline, is what was written.
func check(raw []byte) (content []byte, hash string, err error) {
	if len(raw) <= tailLength || !bytes.HasPrefix(raw[len(raw)-tailLength:], []byte(hashField)) || !bytes.HasSuffix(raw, []byte(`"}`)) {
		return nil, "", errForm
	}
	content = raw[:len(raw)-tailLength]
	hash = string(raw[len(content)+len(hashField) : len(raw)-len(`"}`)])
	if hashOf(content) != hash {
		return nil, "", errHash
	}
	return content, hash, nil
}

// decode reads a line. It is for what was checked, or is only shown.
func decode(raw []byte) (line, error) {
	var l line
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&l); err != nil {
		return l, fmt.Errorf("decode record: %w", err)
	}
	return l, nil
}

// join is decode with all that ties the line to the one before it.
func (p place) join(raw []byte) (line, place, error) {
	_, hash, err := check(raw)
	if err != nil {
		return line{}, p, err
	}
	l, err := decode(raw)
	switch {
	case err != nil:
		return l, p, err
	case l.Number != p.number+1:
		return l, p, fmt.Errorf("it is record %d, and %d is expected: records are missing, or not in their order", l.Number, p.number+1)
	case l.Previous != p.hash:
		return l, p, fmt.Errorf("it follows a record with hash %.64s, and the one before it has %s: that one was changed or is another's", l.Previous, p.hash)
	case !l.Time.After(p.time):
		return l, p, fmt.Errorf("its time %s is not after that of the record before, %s", l.Time.Format(time.RFC3339Nano), p.time.Format(time.RFC3339Nano))
	}
	return l, place{l.Number, hash, l.Time}, nil
}

// numberAt is the number of a line; 0 if it has none.
func numberAt(raw []byte) uint64 {
	_, rest, _ := bytes.Cut(raw, []byte(`{"n":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, _ := strconv.ParseUint(string(digits), 10, 64) // 0 with an error
	return n
}

// glance is what can be told of a line without decoding it.
type glance struct {
	kind string
	time time.Time
	of   uint64
}

func glanceAt(raw []byte) (g glance, ok bool) {
	_, rest, ok := bytes.Cut(raw, []byte(`,"kind":"`))
	kind, rest, ok2 := bytes.Cut(rest, []byte(`","time":"`))
	at, rest, ok3 := bytes.Cut(rest, []byte(`"`))
	if !ok || !ok2 || !ok3 {
		return g, false
	}
	g.kind = string(kind)
	var err error
	if g.time, err = time.Parse(time.RFC3339Nano, string(at)); err != nil {
		return g, false
	}
	if of, is := bytes.CutPrefix(rest, []byte(`,"of":`)); is && g.kind == kindOutcome {
		end := bytes.IndexAny(of, ",}")
		if end < 0 {
			return g, false
		}
		g.of, err = strconv.ParseUint(string(of[:end]), 10, 64)
	}
	return g, err == nil
}
