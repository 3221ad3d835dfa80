package imagebuild

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/pierrec/lz4/v4"
)

func TestResolveStaysInRoot(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "usr/bin/tool"), []byte("x"), 0o644))
	for link, target := range map[string]string{
		"bin": "usr/bin", "abs": "/usr/bin/tool", "up": "../../../usr/bin/tool", "loop": "loop",
		"outside": "/etc/passwd", "dangling": "usr/none",
	} {
		must(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	r := rootDir(dir)
	for _, name := range []string{"bin/tool", "/usr/bin/tool", "abs", "up", "../abs"} {
		if got, err := r.resolve(name); got != "usr/bin/tool" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"outside", "dangling", "none"} {
		if got, err := r.resolve(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if _, err := r.resolve("loop"); !errors.Is(err, errLinkLoop) {
		t.Errorf("loop: got %v", err)
	}
}

func TestTidy(t *testing.T) {
	got, err := tidy([]Entry{{Path: "b/c/d", Mode: ModeFile}, {Path: "a", Mode: ModeLink, Link: "b"}})
	must(t, err)
	var paths []string
	for _, e := range got {
		paths = append(paths, e.Path)
	}
	if s := strings.Join(paths, " "); s != "a b b/c b/c/d" {
		t.Errorf("got %s", s)
	}
	for name, bad := range map[string][]Entry{
		"twice":        {{Path: "a", Mode: ModeFile}, {Path: "a", Mode: ModeFile}},
		"below a link": {{Path: "a", Mode: ModeLink, Link: "b"}, {Path: "a/x", Mode: ModeFile}},
		"below a file": {{Path: "a", Mode: ModeFile}, {Path: "a/b/x", Mode: ModeFile}},
	} {
		if _, err := tidy(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestPack reads an archive back, and two put together as a RAM disk is.
func TestPack(t *testing.T) {
	src := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(src, bytes.Repeat([]byte("router "), 1000), 0o600))
	entries := []Entry{
		{Path: "etc", Mode: ModeDir}, {Path: "etc/l", Mode: ModeLink, Link: "../x"},
		{Path: "etc/t", Mode: ModeFile, Data: []byte("abc")}, {Path: "x", Mode: ModeExec, Source: src},
	}
	a, err := Pack(entries)
	must(t, err)
	b, err := Pack(entries)
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("equal entries, different archives")
	}
	raw, err := io.ReadAll(lz4.NewReader(bytes.NewReader(a)))
	must(t, err)
	if len(raw)%512 != 0 {
		t.Errorf("archive of %d bytes does not end on a block", len(raw))
	}
	cr := cpio.NewReader(bytes.NewReader(raw))
	for _, want := range entries {
		h, err := cr.Next()
		must(t, err)
		if h.Name != want.Path || uint32(h.Mode) != want.Mode || h.Linkname != want.Link {
			t.Errorf("got %+v, want %+v", h, want)
		}
		if h.ModTime.Unix() != archiveTime.Unix() || h.Uid != 0 {
			t.Errorf("%s: time %v, owner %d", h.Name, h.ModTime, h.Uid)
		}
	}
	if _, err := Pack([]Entry{{Path: "y", Mode: ModeFile, Source: src + "none"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestMerged(t *testing.T) {
	for in, want := range map[string]string{
		"lib64/ld.so": "usr/lib64/ld.so", "bin/kmod": "usr/bin/kmod", "usr/lib/x": "usr/lib/x", "library": "library",
	} {
		if got := merged(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
