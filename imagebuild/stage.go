package imagebuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stagedModules is a directory with just the wanted modules and depmod's
// indexes over them.
type stagedModules struct {
	dir   string              // .../lib/modules/<release>
	files []string            // relative to dir
	lists map[string][]string // load lists by name (see boot.ListDir)
}

// stageModules copies the closure of the recipe's modules to stage, without
// their signatures.
func stageModules(ctx context.Context, r Recipe, root rootDir, release, stage string) (stagedModules, error) {
	all := root.host(filepath.Join("lib/modules", release))
	if err := command(ctx, "depmod", "-b", string(root), release); err != nil {
		return stagedModules{}, err
	}
	ix, err := readModules(all)
	if err != nil {
		return stagedModules{}, err
	}
	st := stagedModules{dir: filepath.Join(stage, "lib/modules", release), lists: map[string][]string{}}
	if st.files, err = ix.closure(r.Modules.All()); err != nil {
		return stagedModules{}, err
	}
	if st.lists, err = loadLists(ix, r.Modules); err != nil {
		return stagedModules{}, err
	}
	for _, f := range st.files {
		if err := copyModule(filepath.Join(all, f), filepath.Join(st.dir, f)); err != nil {
			return stagedModules{}, err
		}
	}
	return st, nil
}

// loadLists are the modules to load at each point of the start, in order and
// without those of an earlier list.
func loadLists(ix moduleIndex, m ModuleSet) (map[string][]string, error) {
	lists := map[string][]string{}
	var before []string
	for _, l := range []struct {
		name    string
		modules []string
	}{{"early", m.Early}, {"drive", m.Drive}, {"filter", m.Filter}, {"power", m.Power}} {
		files, err := ix.closure(l.modules)
		if err != nil {
			return nil, err
		}
		lists[l.name] = slices.DeleteFunc(files, func(f string) bool { return slices.Contains(before, f) })
		if l.name != "drive" { // optional: later lists must not rely on it
			before = append(before, lists[l.name]...)
		}
	}
	return lists, nil
}

func readModules(dir string) (moduleIndex, error) {
	var text [3]string
	for i, name := range []string{"modules.dep", "modules.softdep", "modules.builtin"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return moduleIndex{}, fmt.Errorf("read module index: %w", err)
		}
		text[i] = string(b)
	}
	return parseModules(text[0], text[1], text[2]), nil
}

// entries are the archive's entries for the staged modules.
func (s stagedModules) entries(release string) []Entry {
	base := "usr/lib/modules/" + release + "/"
	var out []Entry
	for _, f := range s.files {
		out = append(out, Entry{Path: base + f, Mode: ModeFile, Source: filepath.Join(s.dir, f)})
	}
	for name, files := range s.lists {
		list := strings.Join(files, "\n") + "\n"
		out = append(out, Entry{Path: "usr/lib/sluice/modules." + name, Mode: ModeFile, Data: []byte(list)})
	}
	return out
}
