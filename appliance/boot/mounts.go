package boot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one file system of the start-up table.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const noExtras = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// systemMounts are made in this order: /dev/pts lies in /dev.
// /tmp is small on purpose: a router has 192 MiB and nothing writes there but
// a diagnostics bundle.
var systemMounts = []mount{
	{"proc", "/proc", "proc", noExtras, ""},
	{"sysfs", "/sys", "sysfs", noExtras, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666"},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=32m"},
	{"tmpfs", "/tmp", "tmpfs", noExtras, "mode=1777,size=16m"},
}

// mountAll makes every mount it can and joins the errors of the others.
func mountAll(table []mount) error {
	var errs []error
	for _, m := range table {
		errs = append(errs, m.do())
	}
	return errors.Join(errs...)
}

// do creates the mount point and mounts; an existing mount is no error, so
// that a kernel with CONFIG_DEVTMPFS_MOUNT serves as well.
func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return fmt.Errorf("create mount point %s: %w", m.target, err)
	}
	err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
	}
	return nil
}
