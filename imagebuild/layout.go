package imagebuild

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Entry is one file of an archive. Exactly one of Link, Source and Data counts,
// by type: a link's target, a file on the building machine, or literal bytes.
type Entry struct {
	Path   string
	Mode   uint32 // type and permission bits, as in stat(2)
	Link   string
	Source string
	Data   []byte
}

// Modes of the four kinds of entry.
const (
	ModeDir  = 0o040755
	ModeFile = 0o100644
	ModeExec = 0o100755
	ModeLink = 0o120777
)

// layout turns a recipe and an extracted root into the base archive's entries.
// release is the kernel's; modules is the directory of the staged modules.
func layout(r Recipe, root rootDir, release string, modules stagedModules) ([]Entry, error) {
	entries, elves, err := programEntries(r, root)
	if err != nil {
		return nil, err
	}
	libs, err := root.libraries(elves)
	if err != nil {
		return nil, err
	}
	for image, real := range libs {
		entries = append(entries, Entry{Path: image, Mode: ModeExec, Source: root.host(real)})
	}
	for _, d := range r.Dirs {
		entries = append(entries, Entry{Path: d, Mode: ModeDir})
	}
	for _, l := range r.Symlinks {
		entries = append(entries, Entry{Path: l.Path, Mode: ModeLink, Link: l.Target})
	}
	for _, t := range r.Texts {
		entries = append(entries, Entry{Path: t.Path, Mode: ModeFile, Data: []byte(t.Content)})
	}
	entries = append(entries, modules.entries(release)...)
	return tidy(entries)
}

// programEntries are the programs with their other names, and iptables'
// extensions; it also returns the ELF files among them.
func programEntries(r Recipe, root rootDir) (entries []Entry, elves []string, err error) {
	add := func(image string) error {
		real, err := root.find(image)
		if err != nil {
			return err
		}
		entries = append(entries, Entry{Path: image, Mode: ModeExec, Source: root.host(real)})
		elves = append(elves, real)
		return nil
	}
	for _, p := range r.Programs {
		if err := add(p.Path); err != nil {
			return nil, nil, err
		}
		for _, l := range p.Links {
			entries = append(entries, linkTo(path.Join(path.Dir(p.Path), l), p.Path))
		}
	}
	dir := "usr/lib/x86_64-linux-gnu/xtables"
	for _, x := range r.Extensions {
		image := path.Join(dir, x+".so")
		// Several targets are one library under several names: kept as links.
		if target, err := os.Readlink(root.host(image)); err == nil && !strings.Contains(target, "/") {
			entries = append(entries, Entry{Path: image, Mode: ModeLink, Link: target})
			continue
		}
		if err := add(image); err != nil {
			return nil, nil, err
		}
	}
	return entries, elves, nil
}

// linkTo is an absolute link: both ends are fixed places of the image.
func linkTo(at, target string) Entry {
	return Entry{Path: at, Mode: ModeLink, Link: "/" + target}
}

// tidy adds missing parent directories, sorts by path, and refuses two entries
// of one path and entries below a link: the kernel unpacks in archive order and
// would replace the link.
func tidy(entries []Entry) ([]Entry, error) {
	have := map[string]Entry{}
	for _, e := range entries {
		if _, twice := have[e.Path]; twice {
			return nil, fmt.Errorf("lay out %s: two entries", e.Path)
		}
		have[e.Path] = e
	}
	for _, e := range entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			p, ok := have[dir]
			if ok && p.Mode != ModeDir {
				return nil, fmt.Errorf("lay out %s: parent %s is no directory", e.Path, dir)
			}
			have[dir] = Entry{Path: dir, Mode: ModeDir}
		}
	}
	out := make([]Entry, 0, len(have))
	for _, e := range have {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}
