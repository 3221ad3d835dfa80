package imagebuild

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// moduleIndex is what depmod knows about a kernel's modules.
type moduleIndex struct {
	// path of a module by its normalized name, relative to the module directory.
	path map[string]string
	// needs are the names a module needs, those to be loaded first coming first.
	needs map[string][]string
	// builtin names are part of the kernel image.
	builtin map[string]bool
}

// parseModules reads the text of modules.dep, modules.softdep and
// modules.builtin (modules.dep(5), modprobe.d(5)).
func parseModules(dep, softdep, builtin string) moduleIndex {
	ix := moduleIndex{path: map[string]string{}, needs: map[string][]string{}, builtin: map[string]bool{}}
	for line := range strings.Lines(builtin) {
		ix.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	for line := range strings.Lines(dep) {
		file, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		name := moduleName(file)
		ix.path[name] = file
		// modules.dep lists the nearest dependency first; the farthest has to
		// be loaded first.
		for _, d := range slices.Backward(strings.Fields(rest)) {
			ix.needs[name] = append(ix.needs[name], moduleName(d))
		}
	}
	ix.addSoft(softdep)
	return ix
}

// addSoft puts `pre:` soft dependencies before the hard ones. They are often
// aliases (crypto-gcm) rather than modules: those are left out, and the recipe
// has to name what is needed of them.
func (ix moduleIndex) addSoft(softdep string) {
	for line := range strings.Lines(softdep) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "softdep" || f[2] != "pre:" {
			continue
		}
		name := moduleName(f[1])
		for _, soft := range f[3:] {
			if soft == "post:" {
				break
			}
			if soft = moduleName(soft); ix.path[soft] != "" {
				ix.needs[name] = append([]string{soft}, ix.needs[name]...)
			}
		}
	}
}

// closure returns the files of the named modules and of all they need, in load
// order and each once. A module that neither exists nor is built in is an
// error: the kernel package has changed and the recipe has to follow.
func (ix moduleIndex) closure(names []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] || ix.builtin[name] {
			return nil
		}
		seen[name] = true
		file, ok := ix.path[name]
		if !ok {
			return fmt.Errorf("find module %q: not in this kernel", name)
		}
		for _, need := range ix.needs[name] {
			if err := visit(need); err != nil {
				return err
			}
		}
		out = append(out, file)
		return nil
	}
	for _, n := range names {
		if err := visit(moduleName(n)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// moduleName is the kernel's own form of a module's name: no directory, no
// suffix, underscores.
func moduleName(file string) string {
	base := strings.TrimSuffix(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}
