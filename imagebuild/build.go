package imagebuild

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options say where a build reads and writes.
type Options struct {
	Recipe Recipe
	Agent  string // path of the agent binary, static, for the recipe's architecture; process 1 too
	Output string // directory; created
	Cache  string // directory for packages and bases; created
	Mirror string // Debian mirror, "" for this machine's apt sources
	Suite  string // used with Mirror only
	NoDisk bool   // leave router.qcow2 out
	Log    *slog.Logger
}

// Build makes a template in Output and returns its manifest. The manifest is
// written last and removed first: a directory with one is complete. It needs
// root only as far as apt's cache does.
func Build(ctx context.Context, o Options) (Manifest, error) {
	if err := CheckTools(); err != nil {
		return Manifest{}, err
	}
	a, err := openArchive(ctx, o.Cache, o.Mirror, o.Suite)
	if err != nil {
		return Manifest{}, err
	}
	b, err := openBase(ctx, o.Recipe, a, o.Cache, o.Log)
	if err != nil {
		return Manifest{}, err
	}
	own, err := ownArchive(o.Agent)
	if err != nil {
		return Manifest{}, err
	}
	if err := os.MkdirAll(o.Output, 0o755); err != nil {
		return Manifest{}, fmt.Errorf("create output directory: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(o.Output, ManifestFile)); err != nil {
		return Manifest{}, fmt.Errorf("remove old manifest: %w", err)
	}
	if err := o.writeFiles(ctx, b, own); err != nil {
		return Manifest{}, err
	}
	m, err := o.describe(b)
	if err != nil {
		return Manifest{}, err
	}
	o.Log.Info("template built", "dir", o.Output, "version", m.Version, "bootBytes", m.BootBytes())
	return m, m.write(o.Output)
}

// ownArchive is the part of the RAM disk that changes with our code: an archive
// of its own behind the base, which the kernel unpacks over it.
func ownArchive(agent string) ([]byte, error) {
	if err := checkStatic(agent); err != nil {
		return nil, fmt.Errorf("take agent: %w", err)
	}
	return Pack([]Entry{{Path: "usr/sbin/sluice-agent", Mode: ModeExec, Source: agent}})
}

// checkStatic refuses a binary that needs libraries: the base holds only those
// that its own programs need.
func checkStatic(file string) error {
	needs, err := elfNeeds(file)
	if err != nil {
		return err
	}
	if len(needs) > 0 {
		return fmt.Errorf("%s is not static (needs %s): build it with CGO_ENABLED=0", file, strings.Join(needs, ", "))
	}
	return nil
}

func (o Options) writeFiles(ctx context.Context, b base, own []byte) error {
	kernel, err := os.ReadFile(b.kernel())
	if err != nil {
		return fmt.Errorf("read kernel: %w", err)
	}
	initrd, err := os.ReadFile(b.archive())
	if err != nil {
		return fmt.Errorf("read base archive: %w", err)
	}
	initrd = append(initrd, own...)
	if err := writeFile(filepath.Join(o.Output, KernelFile), kernel); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(o.Output, InitrdFile), initrd); err != nil {
		return err
	}
	if o.NoDisk {
		return nil
	}
	return buildDisk(ctx, b, kernel, initrd, o.cmdline(), filepath.Join(o.Output, DiskFile))
}

func (o Options) cmdline() string { return strings.Join(o.Recipe.Cmdline, " ") }

func (o Options) describe(b base) (Manifest, error) {
	m := Manifest{
		KernelVersion: b.release, Architecture: "x86_64", BuiltAt: sourceDate(),
		AgentVersion: agentVersion(o.Agent), Cmdline: o.cmdline(), Files: map[string]FileInfo{},
	}
	names := []string{KernelFile, InitrdFile}
	if !o.NoDisk {
		names = append(names, DiskFile)
	}
	for _, name := range names {
		sum, size, err := digestFile(filepath.Join(o.Output, name))
		if err != nil {
			return m, err
		}
		m.Files[name] = FileInfo{SHA256: sum, Size: size}
	}
	content := m.Files[KernelFile].SHA256 + m.Files[InitrdFile].SHA256 + m.Cmdline
	m.Version = b.release + "-" + digest([]byte(content))[:12]
	return m, nil
}

// agentVersion is the module version in the binary, or a digest of the binary
// if it was built from a working tree.
func agentVersion(file string) string {
	if info, err := buildinfo.ReadFile(file); err == nil && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	sum, _, err := digestFile(file)
	if err != nil {
		return "unknown"
	}
	return "sha256:" + sum[:12]
}

// sourceDate is the build time that may be in an output that others reproduce.
func sourceDate() string {
	sec, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(sec, 0).UTC().Format(time.RFC3339)
}
