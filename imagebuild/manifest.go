package imagebuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Names of the files of a template.
const (
	KernelFile   = "vmlinuz"
	InitrdFile   = "initrd"
	DiskFile     = "router.qcow2"
	ManifestFile = "manifest.json"
)

// Manifest describes a built template: what the orchestrator reads before it
// boots a router from it.
type Manifest struct {
	// Version names the content: the kernel's release and a digest over kernel,
	// RAM disk and command line. Equal versions boot the same bytes.
	Version       string `json:"version"`
	KernelVersion string `json:"kernelVersion"`
	Architecture  string `json:"architecture"` // as QEMU names it: x86_64
	// BuiltAt is set from SOURCE_DATE_EPOCH only, RFC 3339; empty otherwise.
	BuiltAt      string              `json:"builtAt,omitempty"`
	AgentVersion string              `json:"agentVersion"`
	Cmdline      string              `json:"cmdline"`
	Files        map[string]FileInfo `json:"files"`
}

// FileInfo is a file's digest (hex) and size in bytes.
type FileInfo struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// ReadManifest reads a template's manifest and checks that it is complete.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	b, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("parse manifest: %w", err)
	}
	for _, name := range []string{KernelFile, InitrdFile} {
		if m.Files[name].SHA256 == "" {
			return m, fmt.Errorf("read manifest: no digest for %s", name)
		}
	}
	return m, nil
}

// Check compares every listed file of dir with its digest and joins all
// differences.
func (m Manifest) Check(dir string) error {
	var errs []error
	for _, name := range sortedKeys(m.Files) {
		if filepath.Base(name) != name {
			errs = append(errs, fmt.Errorf("check %q: not a plain file name", name))
			continue
		}
		sum, size, err := digestFile(filepath.Join(dir, name))
		if err == nil && (sum != m.Files[name].SHA256 || size != m.Files[name].Size) {
			err = fmt.Errorf("check %s: content differs from the manifest", name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// BootBytes is what a direct kernel boot reads: kernel and RAM disk.
func (m Manifest) BootBytes() int64 { return m.Files[KernelFile].Size + m.Files[InitrdFile].Size }

func (m Manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("print manifest: %w", err)
	}
	return writeFile(filepath.Join(dir, ManifestFile), append(b, '\n'))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
