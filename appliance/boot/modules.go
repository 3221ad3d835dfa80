package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// loadList loads the modules named in the list `modules.<name>` of ListDir, in
// its order: the image's builder has put dependencies first. A missing list is
// an empty one. It goes on after a module that fails and joins the errors.
func loadList(name string) error {
	b, err := os.ReadFile(filepath.Join(ListDir, "modules."+name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read module list %s: %w", name, err)
	}
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	var errs []error
	for _, rel := range parseList(string(b)) {
		errs = append(errs, loadModule(filepath.Join("/lib/modules", release, rel)))
	}
	return errors.Join(errs...)
}

// parseList returns the non-empty lines that are no comments.
func parseList(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// loadModule loads one module file; one that is loaded already is no error.
// finit_module in this process, because a fork of modprobe costs some 30 ms
// under emulation and the lists are long.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read kernel release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
