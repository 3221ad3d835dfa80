package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// maxLine bounds a record, in bytes: what is longer was not written here.
const maxLine = 256 << 10

// Damage is the first place at which a chain is not what was written.
type Damage v1.AuditDamage

func (d *Damage) Error() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %s", d.File, d.What)
	}
	return fmt.Sprintf("%s line %d (record %d): %s", d.File, d.Line, d.Number, d.What)
}

// walk follows a chain over its files.
type walk struct {
	chain string
	at    place
	// first is the number of the first record, after the hash before it.
	first   uint64
	after   string
	records int
	open    map[uint64]bool
	// begins are the beginnings that headers say: numbers with the hash before.
	begins map[uint64]string
	// hashes of the records that are expected.
	hashes map[uint64]string
	// torn is what follows the last whole line of the last file, as line tornAt.
	torn   []byte
	tornAt int
	// size of the last file up to there.
	size int64
}

func newWalk(chain string) *walk {
	return &walk{chain: chain, open: map[uint64]bool{}, begins: map[uint64]string{}, hashes: map[uint64]string{}}
}

// files walks over files, of which the last may be torn. Sizes bound what is
// read of a file that is being written.
func (w *walk) files(from folder, names []string, limit func(name string) int64) error {
	for i, name := range names {
		f, err := from.open(name)
		if err != nil {
			return fmt.Errorf("open audit file: %w", err)
		}
		var r io.Reader = f
		if size := limit(name); size >= 0 {
			r = io.LimitReader(f, size)
		}
		err = w.file(name, r, i == len(names)-1)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func unlimited(string) int64 { return -1 }

func (w *walk) file(name string, r io.Reader, last bool) error {
	first, err := firstOf(name)
	if err != nil {
		return &Damage{File: name, What: err.Error()}
	}
	if w.first != 0 && first != w.at.number+1 {
		return &Damage{File: name, Line: 1, Number: w.at.number + 1, What: fmt.Sprintf("the file begins with record %d: the files between are missing", first)}
	}
	w.size = 0
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		raw, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return w.end(name, n, raw, last)
		}
		if err == nil {
			err = w.line(raw, n == 1, first)
		}
		if err != nil {
			return &Damage{File: name, Line: n, Number: max(w.at.number+1, first), What: err.Error()}
		}
		w.size += int64(len(raw)) + 1
	}
}

// end is of a file whose last line is not whole.
func (w *walk) end(name string, n int, rest []byte, last bool) error {
	if last {
		w.torn, w.tornAt = rest, n
		return nil
	}
	if len(rest) > 0 || n == 1 {
		return &Damage{File: name, Line: n, Number: w.at.number + 1, What: "the file ends within a line: its end was cut off"}
	}
	return nil
}

var errLong = errors.New("it is longer than any record")

// readLine is the next line without its newline; with io.EOF what is left.
func readLine(r *bufio.Reader) (raw []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		raw = append(raw, part...)
		switch {
		case err == nil:
			return raw[:len(raw)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return raw, err
		case len(raw) > maxLine:
			return nil, errLong
		}
	}
}

func (w *walk) line(raw []byte, header bool, first uint64) error {
	if w.first == 0 {
		if err := w.start(raw, first); err != nil {
			return err
		}
	}
	l, at, err := w.at.join(raw)
	if err != nil {
		return err
	}
	if (l.Kind == kindFile) != header || header && (l.File == nil || l.File.Chain != w.chain) {
		return fmt.Errorf("it is a record of kind %q: each file of chain %s has to begin with a header of its own", l.Kind, w.chain)
	}
	w.at = at
	w.records++
	if _, wanted := w.hashes[l.Number]; wanted {
		w.hashes[l.Number] = at.hash
	}
	switch l.Kind {
	case kindFile:
		w.begins[l.File.Begins] = l.File.After
		if w.records == 1 {
			for _, n := range l.File.Open {
				w.open[n] = true
			}
		}
	case kindIntent:
		w.open[l.Number] = true
	case kindOutcome:
		delete(w.open, l.Of)
	}
	return nil
}

// start takes the first line at its word about what comes before it; whether
// that was removed on purpose is only known at the end.
func (w *walk) start(raw []byte, first uint64) error {
	w.first, w.at = first, genesis(w.chain)
	if first > 1 {
		l, err := decode(raw)
		if err != nil {
			return errForm
		}
		w.at = place{number: first - 1, hash: l.Previous}
	}
	w.after = w.at.hash
	return nil
}

// Expectation is a record that has to be there, as it was noted.
type Expectation struct {
	Chain  string
	Number uint64
	Hash   string
	// Aged: it is no damage if the record was removed because it is old.
	Aged bool
}

// report walks over a whole chain. A file that is removed meanwhile, because it
// is old, has it begin again.
func report(chain string, from folder, limit func(string) int64, expected []Expectation) (r v1.AuditChainReport, err error) {
	for range 3 {
		if r, err = reportOnce(chain, from, limit, expected); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return r, err
}

func reportOnce(chain string, from folder, limit func(string) int64, expected []Expectation) (v1.AuditChainReport, error) {
	w := newWalk(chain)
	for _, e := range expected {
		w.hashes[e.Number] = ""
	}
	names, err := from.names()
	if err == nil {
		err = w.files(from, names, limit)
	}
	if err == nil {
		err = w.whole(expected, names)
	}
	r := v1.AuditChainReport{Chain: chain, Intact: err == nil, Records: w.records, First: w.first, Open: len(w.open)}
	if w.records > 0 {
		r.Head = w.at.head(chain)
	}
	var d *Damage
	if errors.As(err, &d) {
		r.Damage, err = (*v1.AuditDamage)(d), nil
	}
	return r, err
}

// whole is what can only be said at the end.
func (w *walk) whole(expected []Expectation, names []string) error {
	if w.records == 0 && len(w.torn) == 0 {
		return &Damage{File: w.chain, Number: 1, What: "there is no record: its files were removed, or the server ended while it made the first"}
	}
	if len(w.torn) > 0 {
		return &Damage{File: names[len(names)-1], Line: w.tornAt, Number: w.at.number + 1, What: fmt.Sprintf("the last line is not whole (%d bytes without an end): the server ended while it wrote, or something was cut off; "+
			"a server that starts here cuts it off and notes that", len(w.torn))}
	}
	if after, said := w.begins[w.first]; w.first > 1 && (!said || after != w.after) {
		return &Damage{File: names[0], Line: 1, Number: 1, What: fmt.Sprintf("the chain begins with record %d, and no later record says that those before it were removed", w.first)}
	}
	for _, e := range expected {
		if err := w.expect(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) expect(e Expectation) error {
	switch got := w.hashes[e.Number]; {
	case e.Aged && e.Number < w.first:
	case e.Number > w.at.number:
		return &Damage{File: w.chain, Number: e.Number, What: fmt.Sprintf("the chain ends with record %d, but record %d was noted: its end was cut off", w.at.number, e.Number)}
	case e.Number < w.first:
		return &Damage{File: w.chain, Number: e.Number, What: fmt.Sprintf("record %d is older than what is kept (from %d on), so it cannot be compared; note a newer head", e.Number, w.first)}
	case got != e.Hash:
		return &Damage{File: w.chain, Number: e.Number, What: fmt.Sprintf("record %d has hash %s, but %s was noted: the chain was written anew", e.Number, got, e.Hash)}
	}
	return nil
}

// reportAll walks over every chain of an archive. An expected chain that is not
// there is damage.
func reportAll(a archive, limit func(chain, name string) int64, expected []Expectation) (v1.AuditVerification, error) {
	v := v1.AuditVerification{Intact: true, Chains: []v1.AuditChainReport{}}
	chains, err := a.chains()
	if err != nil {
		return v, err
	}
	for _, e := range expected {
		if !slices.Contains(chains, e.Chain) {
			v.Intact = false
			v.Chains = append(v.Chains, v1.AuditChainReport{Chain: e.Chain, Damage: &v1.AuditDamage{Number: e.Number, What: "there is no such chain, but a head of it was noted: it was removed, or is another server's"}})
		}
	}
	for _, chain := range chains {
		of := slices.DeleteFunc(slices.Clone(expected), func(e Expectation) bool { return e.Chain != chain })
		r, err := report(chain, a.folder(chain), func(name string) int64 { return limit(chain, name) }, of)
		if err != nil {
			return v, fmt.Errorf("verify audit chain %s: %w", chain, err)
		}
		v.Intact = v.Intact && r.Intact
		v.Chains = append(v.Chains, r)
	}
	return v, nil
}

// firstLine is the header of a file, as it stands there.
func firstLine(from folder, name string) (line, error) {
	f, err := from.open(name)
	if err != nil {
		return line{}, fmt.Errorf("open audit file: %w", err)
	}
	defer f.Close()
	raw, err := readLine(bufio.NewReader(f))
	if err != nil {
		return line{}, fmt.Errorf("read %s: %w", name, err)
	}
	return decode(bytes.TrimSpace(raw))
}
