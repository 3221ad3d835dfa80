package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"pgregory.net/rapid"
)

// written is a chain of several files that nobody writes any more, with its head.
func written(t testing.TB) (*memory, Expectation) {
	t.Helper()
	a := newMemory()
	l, err := start(a, "memory", Config{Log: quiet, fileSize: 1500, files: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		n := begin(t, l, fmt.Sprint(i))
		if i%3 > 0 {
			l.End(n, v1.AuditOutcome{Status: 200, Resources: []string{"vips/x"}})
		}
	}
	head := l.Head(t.Context())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := report("memory", a, unlimited, []Expectation{expect(t, head.Expect)}); err != nil || !r.Intact || r.First == 1 || len(a.files) != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	return a, expect(t, head.Expect)
}

// detected is whether a walk over the chain finds damage, without a head that
// was noted and with one.
func detected(t fataler, a *memory, head Expectation) (alone, against bool) {
	t.Helper()
	one, err := report("memory", a, unlimited, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := report("memory", a, unlimited, []Expectation{head})
	if err != nil {
		t.Fatal(err)
	}
	if one.Damage != nil && (one.Damage.What == "" || one.Damage.File == "") {
		t.Errorf("damage without words: %+v", one.Damage)
	}
	return !one.Intact, !two.Intact
}

// with is the chain with one file's content changed; nil: without the file.
func (m *memory) with(name string, content []byte) *memory {
	out := newMemory()
	maps.Copy(out.files, m.files)
	if out.files[name] = (&memoryFile{memory: out, content: content}); content == nil {
		delete(out.files, name)
	}
	return out
}

// TestEveryByte: no byte of any file can be another one.
func TestEveryByte(t *testing.T) {
	a, _ := written(t)
	for name, f := range a.files {
		for i := range f.content {
			for _, flip := range []byte{1, 0x20, 0x80, '\n' ^ f.content[i]} {
				if flip == 0 {
					continue
				}
				content := bytes.Clone(f.content)
				content[i] ^= flip
				if r, err := report("memory", a.with(name, content), unlimited, nil); err != nil || r.Intact {
					t.Errorf("%s: byte %d is %q instead of %q, and nobody notices", name, i, content[i], f.content[i])
				}
			}
		}
	}
}

// TestEveryChangeOfLines: lines that are missing, twice, or in another order, and
// bytes that were put in or cut out, are found wherever that is; at the very end
// with a head that was noted.
func TestEveryChangeOfLines(t *testing.T) {
	a, head := written(t)
	names := slices.Sorted(maps.Keys(a.files))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "file")
		content := a.files[name].content
		lines := bytes.SplitAfter(content, []byte("\n"))
		lines = lines[:len(lines)-1]
		i, j := rapid.IntRange(0, len(lines)-1).Draw(t, "i"), rapid.IntRange(0, len(lines)-1).Draw(t, "j")
		at := rapid.IntRange(0, len(content)).Draw(t, "at")
		var changed []byte
		what := rapid.SampledFrom([]string{"delete", "repeat", "swap", "cut", "insert", "shorten", "other file"}).Draw(t, "what")
		switch what {
		case "delete":
			changed = bytes.Join(slices.Delete(slices.Clone(lines), min(i, j), max(i, j)+1), nil)
		case "repeat":
			changed = bytes.Join(slices.Insert(slices.Clone(lines), i, lines[j]), nil)
		case "swap":
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			changed = bytes.Join(swapped, nil)
		case "cut":
			changed = slices.Delete(bytes.Clone(content), at, min(len(content), at+rapid.IntRange(1, 500).Draw(t, "length")))
		case "insert":
			changed = slices.Insert(bytes.Clone(content), at, rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "bytes")...)
		case "shorten":
			changed = bytes.Clone(content[:at])
		case "other file":
			changed = a.files[rapid.SampledFrom(names).Draw(t, "other")].content
		}
		if bytes.Equal(changed, content) {
			return
		}
		alone, against := detected(t, a.with(name, changed), head)
		if !against || !alone && name != names[len(names)-1] {
			t.Fatalf("%s in %s is not noticed: alone %v, against the head %v", what, name, alone, against)
		}
	})
	for _, name := range names {
		if _, against := detected(t, a.with(name, nil), head); !against {
			t.Errorf("without %s: not noticed", name)
		}
	}
}

// TestCutEnd: a tail that was cut off is found against a noted head, at whatever
// length; so is a chain that was written anew.
func TestCutEnd(t *testing.T) {
	a, head := written(t)
	names := slices.Sorted(maps.Keys(a.files))
	last := names[len(names)-1]
	content := a.files[last].content
	for n := range content {
		if _, against := detected(t, a.with(last, content[:n]), head); !against {
			t.Errorf("cut after %d bytes: not noticed", n)
		}
	}
	b, _ := written(t)
	if alone, against := detected(t, b, head); alone || !against {
		t.Errorf("another chain of the same name: noticed alone %v, against the head %v", alone, against)
	}
	gone, err := reportAll(union{disk(t.TempDir())}, everything, []Expectation{head})
	if err != nil || gone.Intact {
		t.Errorf("no chain at all: %+v %v", gone, err)
	}
}

// FuzzReaders: whatever stands in the files, readers end, and never find
// intact what the writer did not write.
func FuzzReaders(f *testing.F) {
	a, head := written(f)
	names := slices.Sorted(maps.Keys(a.files))
	for _, name := range names {
		f.Add(a.files[name].content)
	}
	last := a.files[names[len(names)-1]].content
	f.Add(last[:len(last)-1])
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"n":1,"prev":"","kind":"outcome","time":"2026-01-02T03:04:05Z","of":` + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		b := a.with(names[len(names)-1], content)
		if _, against := detected(t, b, head); against == bytes.Equal(content, last) {
			t.Errorf("damage found: %v", against)
		}
		if _, _, err := find(t.Context(), b, everything, "memory", Query{Resource: "x", Limit: 3}); err != nil {
			t.Error(err)
		}
		if l, err := start(b, "memory", Config{Log: quiet}, nil); err == nil {
			begin(t, l, "after")
			intact(t, l)
			l.Close()
		}
	})
}

// fataler is a test of either kind.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}
