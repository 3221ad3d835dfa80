package backup

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sample(t testing.TB, entries int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, "1.2", made)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if err := w.Add(fmt.Sprint("/key/", i), bytes.Repeat([]byte{byte(i), '\n', '"'}, i*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(77); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(content []byte) (got []string, info Info, err error) {
	info, err = Read(bytes.NewReader(content), func(key string, value []byte) error {
		got = append(got, fmt.Sprintf("%s=%q", key, value))
		return nil
	})
	return got, info, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, n := range []int{0, 1, 10, 300} {
		got, info, err := read(sample(t, n))
		if err != nil || len(got) != n || info.Revision != 77 || info.Server != "1.2" || !info.Created.Equal(made) || info.Entries != n {
			t.Errorf("%d entries: %d, %+v, %v", n, len(got), info, err)
		}
		if n > 2 && got[2] != `/key/2="\x02\n\"\x02\n\"\x02\n\"\x02\n\""` {
			t.Errorf("read %s", got[2])
		}
	}
}

// TestEveryByte: a backup of which one byte is another, or that ends early or
// late, is refused. Only what the header says in words can be said otherwise.
func TestEveryByte(t *testing.T) {
	good := sample(t, 5)
	for i := range good {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			if _, _, err := read(bad); err == nil {
				t.Errorf("byte %d is %q instead of %q: not noticed", i, bad[i], good[i])
			}
		}
	}
	for n := range good {
		if _, _, err := read(good[:n]); err == nil {
			t.Errorf("cut after %d bytes: not noticed", n)
		}
	}
	for _, more := range []string{"\n", "x", string(good)} {
		if _, _, err := read(append(bytes.Clone(good), more...)); err == nil {
			t.Errorf("with %q behind: not noticed", more)
		}
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	newer := strings.Replace(string(sample(t, 1)), `"version":1`, `"version":2`, 1)
	if _, _, err := read([]byte(newer)); err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "1.2") {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	good := sample(f, 3)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("{}\n{\"key\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, info, err := read(content)
		if err == nil && (info.Entries != len(got) || info.SHA256 == "") {
			t.Errorf("taken for a backup: %+v with %d entries", info, len(got))
		}
	})
}
