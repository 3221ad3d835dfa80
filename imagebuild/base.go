package imagebuild

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
)

// base is everything of a template but the agent, kept in a directory named by
// what it was made from.
type base struct {
	dir     string
	release string // of the kernel
}

func (b base) kernel() string  { return filepath.Join(b.dir, "vmlinuz") }
func (b base) archive() string { return filepath.Join(b.dir, "base.cpio.lz4") }
func (b base) grub() string    { return filepath.Join(b.dir, "grub") }

// openBase returns the base for the recipe and the mirror's present package
// versions, from the cache if it was built before.
func openBase(ctx context.Context, r Recipe, a *archive, cache string, log *slog.Logger) (base, error) {
	packages, debs, release, err := r.versions(ctx, a)
	if err != nil {
		return base{}, err
	}
	key, err := json.Marshal(struct {
		Recipe Recipe
		Debs   []deb
	}{r, debs})
	if err != nil {
		return base{}, fmt.Errorf("describe base: %w", err)
	}
	b := base{dir: filepath.Join(cache, "base-"+digest(key)[:16]), release: release}
	if _, err := os.Stat(b.archive()); err == nil {
		log.Info("base from cache", "kernel", release, "dir", b.dir)
		return b, nil
	}
	log.Info("build base", "kernel", release, "packages", len(packages))
	if err := a.fetch(ctx, packages, debs); err != nil {
		return base{}, err
	}
	return b, b.build(ctx, r, a, debs)
}

// versions returns the packages of the recipe with the kernel's, what the
// mirror has of them, and the kernel's release.
func (r Recipe) versions(ctx context.Context, a *archive) (packages []string, debs []deb, release string, err error) {
	kernel, release, err := a.kernelPackage(ctx, r.Kernel)
	if err != nil {
		return nil, nil, "", err
	}
	packages = append([]string{kernel}, append(slices.Clone(r.Packages), r.LoaderPackages...)...)
	debs, err = a.look(ctx, packages)
	return packages, debs, release, err
}

// Packages returns the package files that a build would use now, one
// `file sha256` each, without fetching any.
func Packages(ctx context.Context, o Options) ([]string, error) {
	a, err := openArchive(ctx, o.Cache, o.Mirror, o.Suite)
	if err != nil {
		return nil, err
	}
	_, debs, _, err := o.Recipe.versions(ctx, a)
	lines := make([]string, len(debs))
	for i, d := range debs {
		lines[i] = d.File + " " + d.SHA256
	}
	return lines, err
}

// build extracts the packages to a scratch directory and keeps the three parts
// of the base. The archive is written last: its presence means all are there.
func (b base) build(ctx context.Context, r Recipe, a *archive, debs []deb) error {
	tmp, err := os.MkdirTemp(filepath.Dir(b.dir), "work-")
	if err != nil {
		return fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	root := rootDir(filepath.Join(tmp, "root"))
	if err := a.extract(ctx, debs, string(root)); err != nil {
		return err
	}
	modules, err := stageModules(ctx, r, root, b.release, filepath.Join(tmp, "stage"))
	if err != nil {
		return err
	}
	entries, err := layout(r, root, b.release, modules)
	if err != nil {
		return err
	}
	packed, err := Pack(entries)
	if err != nil {
		return err
	}
	if err := copyFile(root.host("boot/vmlinuz-"+b.release), b.kernel()); err != nil {
		return err
	}
	if err := keepLoader(root, b.grub()); err != nil {
		return err
	}
	return writeFile(b.archive(), packed)
}
