package imagebuild

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// rootDir is a directory that packages were extracted to. Absolute links in it
// mean its own files, never those of the machine that builds.
type rootDir string

var errLinkLoop = errors.New("too many symbolic links")

// resolve follows every link of a path within the root and returns the path of
// the file itself, relative to the root.
func (r rootDir) resolve(name string) (string, error) {
	done, rest := "", strings.Split(path.Clean("/" + name)[1:], "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(r.host(next))
		if err != nil { // not a link: a missing file shows in the final Lstat
			done = next
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("resolve %s: %w", name, errLinkLoop)
		}
		if !path.IsAbs(target) {
			target = path.Join("/", done, target)
		}
		rest = append(strings.Split(path.Clean(target)[1:], "/"), rest...)
		done = ""
	}
	if _, err := os.Lstat(r.host(done)); err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, fs.ErrNotExist)
	}
	return done, nil
}

func (r rootDir) host(name string) string { return filepath.Join(string(r), filepath.FromSlash(name)) }

// find resolves a path of the merged layout (usr/bin/x) in packages that still
// ship the old one (bin/x).
func (r rootDir) find(name string) (string, error) {
	real, err := r.resolve(name)
	if err == nil {
		return real, nil
	}
	if old, ok := strings.CutPrefix(name, "usr/"); ok {
		if real, e := r.resolve(old); e == nil {
			return real, nil
		}
	}
	return "", err
}

// libraryDirs are where Debian's dynamic linker looks without a cache file.
var libraryDirs = []string{"usr/lib/x86_64-linux-gnu", "usr/lib"}

// libraries returns the shared libraries and the linker that the given files
// need, all of them together: image path to path in the root.
func (r rootDir) libraries(files []string) (map[string]string, error) {
	found := map[string]string{}
	queue := append([]string(nil), files...)
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		needed, err := elfNeeds(r.host(file))
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			image, real, err := r.library(name)
			if err != nil {
				return nil, fmt.Errorf("find library of %s: %w", file, err)
			}
			if found[image] == "" {
				found[image] = real
				queue = append(queue, real)
			}
		}
	}
	return found, nil
}

// library finds one needed name: a file name, or the linker's absolute path.
func (r rootDir) library(name string) (image, real string, err error) {
	if path.IsAbs(name) {
		image = merged(name[1:])
		real, err = r.find(image)
		return image, real, err
	}
	for _, dir := range libraryDirs {
		image = path.Join(dir, name)
		if real, err = r.find(image); err == nil {
			return image, real, nil
		}
	}
	return "", "", fmt.Errorf("%s is in none of the recipe's packages", name)
}

// elfNeeds returns the needed libraries and the interpreter of an ELF file.
func elfNeeds(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read program %s: %w", file, err)
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read libraries of %s: %w", file, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, fmt.Errorf("read interpreter of %s: %w", file, err)
		}
		needed = append(needed, strings.TrimRight(string(b), "\x00"))
	}
	return needed, nil
}

// merged maps a path of the old layout into /usr.
func merged(name string) string {
	for _, dir := range []string{"bin/", "sbin/", "lib/", "lib64/"} {
		if strings.HasPrefix(name, dir) {
			return "usr/" + name
		}
	}
	return name
}
