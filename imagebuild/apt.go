package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// deb is one package version as the signed package lists describe it.
type deb struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// archive asks apt about packages and fetches them. It never installs. With a
// mirror it keeps lists of its own; else it uses this machine's sources.
type archive struct {
	dir     string   // where packages are kept
	options []string // of apt, before the command
}

// openArchive prepares apt. mirror is a Debian mirror's URL or "".
func openArchive(ctx context.Context, cache, mirror, suite string) (*archive, error) {
	a := &archive{dir: filepath.Join(cache, "debs")}
	if err := os.MkdirAll(filepath.Join(a.dir, "partial"), 0o755); err != nil {
		return nil, fmt.Errorf("create package cache: %w", err)
	}
	if mirror == "" {
		return a, nil
	}
	state := filepath.Join(cache, "apt-"+digest([]byte(mirror + suite))[:12])
	list := filepath.Join(state, "sources.list")
	line := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", mirror, suite)
	if err := errors.Join(os.MkdirAll(filepath.Join(state, "lists/partial"), 0o755),
		writeFile(list, []byte(line))); err != nil {
		return nil, fmt.Errorf("prepare package lists: %w", err)
	}
	a.options = []string{
		"-o", "Dir::Etc::SourceList=" + list, "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + filepath.Join(state, "lists"), "-o", "Dir::Cache=" + state,
	}
	return a, command(ctx, "apt-get", append(a.options, "-qq", "update")...)
}

// kernelPackage returns the package that the kernel meta package stands for
// and the release name in it.
func (a *archive) kernelPackage(ctx context.Context, meta string) (pkg, release string, err error) {
	out, err := output(ctx, "apt-cache", append(a.options, "show", "--no-all-versions", meta)...)
	if err != nil {
		return "", "", fmt.Errorf("look up kernel (is `apt-get update` needed?): %w", err)
	}
	return parseKernel(out, meta)
}

// parseKernel reads `Depends: linux-image-<release> (= version)`.
func parseKernel(show, meta string) (pkg, release string, err error) {
	for line := range strings.Lines(show) {
		rest, ok := strings.CutPrefix(line, "Depends: ")
		if !ok {
			continue
		}
		pkg = strings.Fields(rest)[0]
		if release, ok = strings.CutPrefix(pkg, "linux-image-"); ok {
			return pkg, strings.TrimSuffix(release, ","), nil
		}
	}
	return "", "", fmt.Errorf("look up kernel: %s depends on no kernel image", meta)
}

// look returns what apt would download for the packages, without doing it.
func (a *archive) look(ctx context.Context, packages []string) ([]deb, error) {
	args := append(append([]string{}, a.options...), "download", "--print-uris")
	out, err := output(ctx, "apt-get", append(args, packages...)...)
	if err != nil {
		return nil, fmt.Errorf("look up packages (is `apt-get update` needed?): %w", err)
	}
	debs, err := parseURIs(out)
	if err == nil && len(debs) != len(packages) {
		err = fmt.Errorf("look up packages: asked for %d, apt knows %d", len(packages), len(debs))
	}
	return debs, err
}

// parseURIs reads lines of `'uri' file size SHA256:digest`. A package without
// a SHA-256 in the signed lists is refused.
func parseURIs(out string) ([]deb, error) {
	var debs []deb
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 4 {
			continue
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		sum, ok := strings.CutPrefix(f[3], "SHA256:")
		if err != nil || !ok {
			return nil, fmt.Errorf("look up packages: no usable digest for %s", f[1])
		}
		debs = append(debs, deb{File: f[1], Size: size, SHA256: sum})
	}
	return debs, nil
}

// fetch makes sure that every package is in the cache with the right content.
func (a *archive) fetch(ctx context.Context, packages []string, debs []deb) error {
	if a.complete(debs) == nil {
		return nil
	}
	args := append([]string{"-C", a.dir, "apt-get", "-qq", "-o", "APT::Sandbox::User=root"}, a.options...)
	// env -C: apt-get download writes to its working directory only.
	if err := command(ctx, "env", append(append(args, "download"), packages...)...); err != nil {
		return err
	}
	return a.complete(debs)
}

func (a *archive) complete(debs []deb) error {
	for _, d := range debs {
		sum, _, err := digestFile(filepath.Join(a.dir, d.File))
		if err != nil {
			return err
		}
		if sum != d.SHA256 {
			return fmt.Errorf("check package %s: digest is %s, should be %s", d.File, sum, d.SHA256)
		}
	}
	return nil
}

// extract unpacks packages over one another into root, without running any of
// their scripts.
func (a *archive) extract(ctx context.Context, debs []deb, root string) error {
	for _, d := range debs {
		if err := command(ctx, "dpkg-deb", "-x", filepath.Join(a.dir, d.File), root); err != nil {
			return err
		}
	}
	return nil
}
