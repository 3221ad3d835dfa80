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
	lists map[string][]string // load lists by name
	plan  string              // how to load each module (see boot.PlanFile)
}

// aliasFile is depmod's table of the names that the kernel asks for.
const aliasFile = "modules.alias"

// stageModules copies the closure of the recipe's modules to stage and indexes
// it there, so that the table of aliases names nothing that is not in the image.
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
	st.plan = ix.plan(st.files)
	extra := []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"}
	for _, f := range append(slices.Clone(st.files), extra...) {
		if err := copyFile(filepath.Join(all, f), filepath.Join(st.dir, f)); err != nil {
			return stagedModules{}, err
		}
	}
	return st, command(ctx, "depmod", "-b", stage, release)
}

// loadLists are the modules to load at each point of the start, in order and
// without those of an earlier list.
func loadLists(ix moduleIndex, m ModuleSet) (map[string][]string, error) {
	lists := map[string][]string{}
	var before []string
	for _, l := range []struct {
		name    string
		modules []string
	}{{"early", m.Early}, {"drive", m.Drive}, {"power", m.Power}, {"late", m.Late}} {
		files, err := ix.closure(l.modules)
		if err != nil {
			return nil, err
		}
		lists[l.name] = slices.DeleteFunc(files, func(f string) bool { return slices.Contains(before, f) })
		if l.name == "early" { // drive is optional: late must not rely on it
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
	for _, f := range append(slices.Clone(s.files), aliasFile) {
		out = append(out, Entry{Path: base + f, Mode: ModeFile, Source: filepath.Join(s.dir, f)})
	}
	out = append(out, Entry{Path: "usr/lib/sluice/modules.plan", Mode: ModeFile, Data: []byte(s.plan)})
	for name, files := range s.lists {
		list := strings.Join(files, "\n") + "\n"
		out = append(out, Entry{Path: "usr/lib/sluice/modules." + name, Mode: ModeFile, Data: []byte(list)})
	}
	return out
}
