package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// PlanFile holds, for each module of the image, `name file...`: the files to
// load in order, the module's own last.
const PlanFile = ListDir + "/modules.plan"

// Modprobe is /sbin/modprobe, which the kernel runs when it meets a name that
// it does not know: an nftables expression, a link type, a protocol. It takes
// `[options] name...`, ignores the options, and returns an exit status: 0 if
// every name stands for a module that is loaded now, 1 otherwise. It says
// nothing, because most unknown names are questions and not mistakes.
//
// It replaces Debian's kmod, which brings OpenSSL along to show signatures.
func Modprobe(args []string) int {
	plan, errPlan := os.ReadFile(PlanFile)
	release, errName := kernelRelease()
	if err := errors.Join(errPlan, errName); err != nil {
		return 1
	}
	dir := filepath.Join("/lib/modules", release)
	status := 0
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		files, err := resolveModule(arg, string(plan), func() (io.ReadCloser, error) {
			return os.Open(filepath.Join(dir, "modules.alias"))
		})
		if err != nil || loadAll(dir, files) != nil {
			status = 1
		}
	}
	return status
}

func loadAll(dir string, files []string) error {
	for _, f := range files {
		// Each needs those before it, so the first failure is the reason.
		if err := loadModule(filepath.Join(dir, f)); err != nil {
			return err
		}
	}
	return nil
}

// resolveModule returns the files to load for a module's name or, failing
// that, for all modules with a matching alias (modules.alias as depmod(8)
// writes it). The alias table is opened only if it is needed. An unknown name
// gives an error that wraps fs.ErrNotExist.
func resolveModule(name, plan string, aliases func() (io.ReadCloser, error)) ([]string, error) {
	if files := planned(plan, underscores(name)); files != nil {
		return files, nil
	}
	r, err := aliases()
	if err != nil {
		return nil, fmt.Errorf("open alias table: %w", err)
	}
	defer r.Close()
	table, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read alias table: %w", err)
	}
	var files []string
	for _, module := range matchAliases(string(table), underscores(name)) {
		files = append(files, planned(plan, module)...)
	}
	if files == nil {
		return nil, fmt.Errorf("find module %q: %w", name, fs.ErrNotExist)
	}
	return files, nil
}

// planned is the rest of the plan's line for a module; nil without one.
func planned(plan, module string) []string {
	for line := range strings.Lines(plan) {
		if rest, ok := strings.CutPrefix(line, module+" "); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// matchAliases returns the modules of `alias pattern module` lines whose shell
// pattern matches.
func matchAliases(table, name string) []string {
	var modules []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "alias" {
			continue
		}
		pattern := underscores(f[1])
		if ok, err := path.Match(pattern, name); ok && err == nil {
			modules = append(modules, f[2])
		}
	}
	return modules
}

// underscores is how module names are compared: - and _ are the same.
func underscores(s string) string { return strings.ReplaceAll(s, "-", "_") }
