package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The bootable disk has no file system: the boot sector, GRUB's core with a
// built-in configuration, the kernel and the RAM disk lie one after the other,
// and GRUB reads the last two by sector numbers. So no mount, no loop device
// and no file system tool is needed, and equal parts make an equal disk.
const (
	sectorSize = 512
	// kernelSector leaves a megabyte for GRUB (130 KB today).
	kernelSector = 2048
)

// loaderParts are the files of grub-pc-bin that a core image of ours needs.
var loaderParts = []string{"boot.img", "diskboot.img", "kernel.img", "lzma_decompress.img", "moddep.lst"}

// loaderModules read a BIOS disk and start a Linux kernel; the rest are what
// they depend on according to moddep.lst.
var loaderModules = []string{"biosdisk", "linux"}

// keepLoader copies grub-mkimage and its input from the root to dir.
func keepLoader(root rootDir, dir string) error {
	i386 := root.host("usr/lib/grub/i386-pc")
	mods, err := filepath.Glob(filepath.Join(i386, "*.mod"))
	if err != nil || len(mods) == 0 {
		return errors.Join(err, fmt.Errorf("keep boot loader: no modules in %s", i386))
	}
	for _, p := range loaderParts {
		mods = append(mods, filepath.Join(i386, p))
	}
	for _, m := range mods {
		if err := copyFile(m, filepath.Join(dir, "i386-pc", filepath.Base(m))); err != nil {
			return err
		}
	}
	mkimage := filepath.Join(dir, "grub-mkimage")
	if err := copyFile(root.host("usr/bin/grub-mkimage"), mkimage); err != nil {
		return err
	}
	return os.Chmod(mkimage, 0o755)
}

// diskPlan says which sectors hold what.
type diskPlan struct {
	kernelSectors, initrdSector, initrdSectors, total int64
}

func planDisk(kernelSize, initrdSize int64) diskPlan {
	p := diskPlan{kernelSectors: sectors(kernelSize), initrdSectors: sectors(initrdSize)}
	p.initrdSector = alignUp(kernelSector+p.kernelSectors, 2048)
	p.total = alignUp(p.initrdSector+p.initrdSectors, 2048)
	return p
}

// grubConfig boots at once, without a menu. Sector lists stand where other
// configurations name files. The trailing zeros of the last sector do no harm:
// the kernel's own header says how long it is, and zeros may follow a RAM disk.
func (p diskPlan) grubConfig(cmdline string) string {
	return fmt.Sprintf("linux (hd0)%d+%d %s\ninitrd (hd0)%d+%d\nboot\n",
		kernelSector, p.kernelSectors, cmdline, p.initrdSector, p.initrdSectors)
}

// buildDisk writes the disk as qcow2 with zstd clusters (QEMU 5.1 or newer).
func buildDisk(ctx context.Context, b base, kernel, initrd []byte, cmdline, out string) error {
	tmp, err := os.MkdirTemp("", "sluice-disk-")
	if err != nil {
		return fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	plan := planDisk(int64(len(kernel)), int64(len(initrd)))
	core, err := makeCore(ctx, b.grub(), plan.grubConfig(cmdline), tmp)
	if err != nil {
		return err
	}
	boot, err := os.ReadFile(filepath.Join(b.grub(), "i386-pc/boot.img"))
	if err != nil {
		return fmt.Errorf("read boot sector: %w", err)
	}
	raw, err := plan.image(boot, core, kernel, initrd)
	if err != nil {
		return err
	}
	rawFile := filepath.Join(tmp, "router.raw")
	if err := writeFile(rawFile, raw); err != nil {
		return err
	}
	// One coroutine: the order of clusters, hence the file, is then fixed.
	return command(ctx, "qemu-img", "convert", "-m", "1", "-f", "raw", "-O", "qcow2", "-c",
		"-o", "compression_type=zstd", rawFile, out)
}

func makeCore(ctx context.Context, grub, config, tmp string) ([]byte, error) {
	cfg, core := filepath.Join(tmp, "grub.cfg"), filepath.Join(tmp, "core.img")
	if err := writeFile(cfg, []byte(config)); err != nil {
		return nil, err
	}
	args := []string{"-d", filepath.Join(grub, "i386-pc"), "-O", "i386-pc", "-p", "/", "-c", cfg, "-o", core}
	if err := command(ctx, filepath.Join(grub, "grub-mkimage"), append(args, loaderModules...)...); err != nil {
		if strings.Contains(err.Error(), "shared libraries") {
			err = fmt.Errorf("%w (apt-get install libdevmapper1.02.1)", err)
		}
		return nil, err
	}
	b, err := os.ReadFile(core)
	if err != nil {
		return nil, fmt.Errorf("read boot loader: %w", err)
	}
	return b, nil
}

// image puts the parts in place. The boot sector as shipped reads the core from
// sector 1, and grub-mkimage has noted the core's length in it.
func (p diskPlan) image(boot, core, kernel, initrd []byte) ([]byte, error) {
	if len(boot) != sectorSize || len(core) > (kernelSector-1)*sectorSize {
		return nil, fmt.Errorf("lay out disk: boot sector of %d bytes, loader of %d", len(boot), len(core))
	}
	disk := make([]byte, p.total*sectorSize)
	copy(disk, boot)
	copy(disk[sectorSize:], core)
	copy(disk[kernelSector*sectorSize:], kernel)
	copy(disk[p.initrdSector*sectorSize:], initrd)
	return disk, nil
}

func sectors(bytes int64) int64 { return (bytes + sectorSize - 1) / sectorSize }

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }
