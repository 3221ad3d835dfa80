package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// ReadyLine is what process 1 prints when it has started the agent (see
// appliance/boot, which this package does not import: a template is checked
// from outside).
const ReadyLine = "sluice-init: ready"

// Verified is what a verification found.
type Verified struct {
	Manifest Manifest
	// Direct and Disk are the times from QEMU's start to the ready line; Disk
	// is 0 for a template without a disk.
	Direct, Disk time.Duration
}

// Verify checks the digests of the template in dir and boots it, from the
// kernel and from the disk, in a QEMU with emulated CPU and a config drive that
// names no network. Each boot may take up to a minute, ctx permitting.
func Verify(ctx context.Context, dir string) (Verified, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return Verified{}, err
	}
	v := Verified{Manifest: m}
	if err := m.Check(dir); err != nil {
		return v, err
	}
	tmp, err := os.MkdirTemp("", "sluice-verify-")
	if err != nil {
		return v, fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	iso := filepath.Join(tmp, "config.iso")
	// The agent finds no bootstrap on it and says so; that it was started is
	// all that is asked of a template.
	if err := tryboot.WriteConfigDrive(iso, map[string][]byte{"README": []byte("verification\n")}); err != nil {
		return v, err
	}
	var kernelErr, diskErr error
	v.Direct, kernelErr = bootOnce(ctx, DirectMachine(dir, m, iso))
	if _, ok := m.Files[DiskFile]; ok {
		v.Disk, diskErr = bootOnce(ctx, tryboot.Machine{Disk: filepath.Join(dir, DiskFile), Config: iso})
	}
	return v, errors.Join(kernelErr, diskErr)
}

// DirectMachine is the VM that boots the template in dir without its disk.
func DirectMachine(dir string, m Manifest, config string) tryboot.Machine {
	return tryboot.Machine{
		Kernel: filepath.Join(dir, KernelFile), Initrd: filepath.Join(dir, InitrdFile),
		Cmdline: m.Cmdline, Config: config,
	}
}

func bootOnce(ctx context.Context, m tryboot.Machine) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b, err := tryboot.Until(ctx, m, ReadyLine)
	return b.Wall, err
}
