package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Query says which records are wanted; what is empty wants all.
type Query struct {
	// ID is of one record.
	ID string
	// Account of the actor, by UUID.
	Account string
	// Actor by id, name, or UUID of the token.
	Actor string
	// Resource by UUID: in the path, or touched by the call.
	Resource string
	// Since is the earliest time, and Before the first that is too late.
	Since, Before time.Time
	// Limit is how many records at most; 0 is any number.
	Limit int
	// Bytes is how much is read at most; 0 is everything.
	Bytes int
}

// longestCall is how long after its intent an outcome may come.
const longestCall = 30 * time.Minute

// Find is the records that a query wants, of all chains, newest first. If there
// may be more, next is where to go on: Before of the next query.
func (l *Log) Find(ctx context.Context, q Query) (found []v1.AuditRecord, next time.Time, err error) {
	l.flush(ctx)
	return find(ctx, l.archive, l.limit(), l.chain, q)
}

// item is a record before it is decoded.
type item struct {
	glance
	raw, outcome []byte
}

func find(ctx context.Context, a archive, limit func(chain, name string) int64, live string, q Query) (found []v1.AuditRecord, next time.Time, err error) {
	chains, err := a.chains()
	if err != nil {
		return nil, next, err
	}
	readers := make([]*reader, 0, len(chains))
	for _, chain := range chains {
		r := &reader{chain: chain, from: a.folder(chain), before: q.Before, limit: func(name string) int64 { return limit(chain, name) }, outcomes: map[uint64][]byte{}}
		if r.names, err = r.from.names(); err == nil {
			err = r.advance()
		}
		if err != nil {
			return nil, next, fmt.Errorf("read audit chain %s: %w", chain, err)
		}
		readers = append(readers, r)
	}
	var last time.Time
	for {
		r := newest(readers)
		if r == nil || r.at.time.Before(q.Since) {
			return found, time.Time{}, nil
		}
		full := q.Limit > 0 && len(found) >= q.Limit || q.Bytes > 0 && bytesOf(readers) > q.Bytes
		if full && !last.IsZero() && !r.at.time.Equal(last) {
			return found, last, ctx.Err()
		}
		if last = r.at.time; q.might(r.at) {
			if record, err := r.at.decode(r.chain, r.chain == live); err == nil && q.wants(&record) { // damage is for Verify
				found = append(found, record)
			}
		}
		if err := r.advance(); err != nil {
			return nil, next, fmt.Errorf("read audit chain %s: %w", r.chain, err)
		}
	}
}

// newest is the reader with the newest record; nil: all are at their end.
func newest(readers []*reader) (best *reader) {
	for _, r := range readers {
		if r.at != nil && (best == nil || r.at.time.After(best.at.time)) {
			best = r
		}
	}
	return best
}

func bytesOf(readers []*reader) (n int) {
	for _, r := range readers {
		n += r.bytes
	}
	return n
}

// might is whether a record can be one that is wanted, without decoding it.
func (q *Query) might(i *item) bool {
	for _, text := range []string{q.ID, q.Account} {
		if text != "" && !bytes.Contains(i.raw, []byte(text)) {
			return false
		}
	}
	return q.Resource == "" || bytes.Contains(i.raw, []byte(q.Resource)) || bytes.Contains(i.outcome, []byte(q.Resource))
}

func (q *Query) wants(r *v1.AuditRecord) bool {
	return (q.ID == "" || r.UUID == q.ID) &&
		(q.Account == "" || r.Actor.AccountUUID == q.Account) &&
		(q.Actor == "" || slices.Contains([]string{r.Actor.ID, r.Actor.Name, strings.TrimPrefix(r.Actor.ID, "token:")}, q.Actor)) &&
		(q.Resource == "" || touches(r, q.Resource))
}

func touches(r *v1.AuditRecord, uuid string) bool {
	for _, value := range r.Parameters {
		if value == uuid {
			return true
		}
	}
	return r.Outcome != nil && slices.ContainsFunc(slices.Concat(r.Outcome.Resources, r.Outcome.Cloud), func(s string) bool {
		return s[strings.LastIndexByte(s, '/')+1:] == uuid
	})
}

func (i *item) decode(chain string, live bool) (r v1.AuditRecord, err error) {
	l, err := decode(i.raw)
	if err != nil {
		return r, err
	}
	r = v1.AuditRecord{UUID: l.ID, Time: l.Time, Chain: chain, Number: l.Number, Note: l.Note, Suppressed: l.Suppressed, Outcome: l.Outcome}
	if l.Call != nil {
		r.AuditCall = *l.Call
	}
	if i.outcome != nil {
		o, err := decode(i.outcome)
		if err != nil {
			return r, err
		}
		r.Outcome = o.Outcome
	}
	r.State = stateOf(l.Kind, r.Outcome, live)
	return r, nil
}

func stateOf(kind string, o *v1.AuditOutcome, live bool) string {
	switch {
	case kind == kindNote:
		return v1.AuditNote
	case o == nil && live:
		return v1.AuditRunning
	case o == nil:
		return v1.AuditUnknown
	case o.Status == 0:
		return v1.AuditInterrupted
	case o.Status >= 500:
		return v1.AuditFailed
	case o.Status >= 400:
		return v1.AuditRefused
	}
	return v1.AuditDone
}

// reader goes through a chain from its end.
type reader struct {
	chain  string
	from   folder
	names  []string // that are left
	limit  func(name string) int64
	before time.Time
	lines  [][]byte // that are left of the file
	// outcomes whose intents have not come yet, by their numbers.
	outcomes map[uint64][]byte
	bytes    int   // read so far
	at       *item // nil at the end
}

// advance goes to the next record to show.
func (r *reader) advance() error {
	r.at = nil
	for {
		for len(r.lines) > 0 {
			raw := r.lines[len(r.lines)-1]
			r.lines = r.lines[:len(r.lines)-1]
			if i := r.item(raw); i != nil {
				r.at = i
				return nil
			}
		}
		if len(r.names) == 0 {
			return nil
		}
		if err := r.load(); err != nil {
			return err
		}
	}
}

// item is a line to show; outcomes wait for their intents.
func (r *reader) item(raw []byte) *item {
	g, ok := glanceAt(raw)
	switch {
	case !ok || g.kind == kindFile:
		return nil
	case g.kind == kindOutcome:
		r.outcomes[g.of] = raw
		return nil
	}
	i := &item{glance: g, raw: raw}
	if g.kind == kindIntent {
		n := numberAt(raw)
		i.outcome = r.outcomes[n]
		delete(r.outcomes, n)
	}
	if !r.before.IsZero() && !g.time.Before(r.before) {
		return nil
	}
	return i
}

// load reads the newest file that is left and can have what is wanted.
func (r *reader) load() error {
	name := r.names[len(r.names)-1]
	r.names = r.names[:len(r.names)-1]
	if !r.before.IsZero() && len(r.names) > 0 {
		first, err := firstLine(r.from, name)
		if err == nil && first.Time.After(r.before.Add(longestCall)) {
			return nil
		}
	}
	f, err := r.from.open(name)
	if errors.Is(err, fs.ErrNotExist) { // it was old, and removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if size := r.limit(name); size >= 0 {
		in = io.LimitReader(f, size)
	}
	content, err := io.ReadAll(in)
	r.bytes += len(content)
	r.lines = bytes.Split(content, []byte("\n"))
	return err
}

// Archive is chains that are only read, in one or several directories.
type Archive struct{ union }

// Read is the chains in directories. Servers may be writing them.
func Read(dirs ...string) Archive {
	var u union
	for _, dir := range dirs {
		u = append(u, disk(dir))
	}
	return Archive{u}
}

func everything(string, string) int64 { return -1 }

// check refuses a directory without a chain: another one was meant.
func (a Archive) check() error {
	for _, dir := range a.union {
		if some, err := dir.chains(); err != nil || len(some) == 0 {
			return errors.Join(err, fmt.Errorf("there is no audit chain in %v; name the folder `audit` of a server's data directory", dir))
		}
	}
	return nil
}

// Find is as that of a Log.
func (a Archive) Find(ctx context.Context, q Query) ([]v1.AuditRecord, time.Time, error) {
	if err := a.check(); err != nil {
		return nil, time.Time{}, err
	}
	return find(ctx, a, everything, "", q)
}

// Verify is as that of a Log.
func (a Archive) Verify(expected []Expectation) (v1.AuditVerification, error) {
	if err := a.check(); err != nil {
		return v1.AuditVerification{}, err
	}
	return reportAll(a, everything, expected)
}

// union is several archives as one.
type union []archive

// chains are those of all. Of two copies of a chain one would go unseen.
func (u union) chains() (all []string, err error) {
	for _, a := range u {
		some, err := a.chains()
		if err != nil {
			return nil, err
		}
		for _, chain := range some {
			if slices.Contains(all, chain) {
				return nil, fmt.Errorf("audit chain %s is in %v and in another of the directories; name one of them", chain, a)
			}
		}
		all = append(all, some...)
	}
	return all, nil
}

func (u union) folder(chain string) folder {
	for _, a := range u {
		if some, err := a.chains(); err == nil && slices.Contains(some, chain) {
			return a.folder(chain)
		}
	}
	return u[0].folder(chain)
}

// ParseExpectation reads a head as it was noted.
func ParseExpectation(text string) (e Expectation, err error) {
	chain, rest, _ := strings.Cut(text, ":")
	number, hash, _ := strings.Cut(rest, ":")
	_, err = fmt.Sscanf(number, "%d", &e.Number)
	if e.Chain, e.Hash = chain, hash; err != nil || chain == "" || len(hash) != 64 {
		return e, v1.Invalid("invalid-head", "head %q is not CHAIN:NUMBER:HASH, as `sluice audit head` prints it", cut(text, 200))
	}
	return e, nil
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
