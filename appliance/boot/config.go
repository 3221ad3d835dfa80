package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// configLabel is the label of a NoCloud volume; tools write it in either case.
const configLabel = "cidata"

// attachConfig mounts the config drive and says whether it did. A virtio drive
// is found at the first look. Only if there is none the drivers of emulated
// drives are loaded, which probe slowly and in the background, and the look is
// repeated until the timeout. It is then no error to go on without: the agent
// starts closed and says what it misses.
func attachConfig(timeout time.Duration, con *console) (bool, error) {
	found, err := mountConfig()
	if found {
		return true, err
	}
	con.printf("no config drive on virtio: trying emulated drives")
	errs := []error{err, loadList("drive")}
	for end := time.Now().Add(timeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found, _ = mountConfig(); found {
			return true, nil
		}
	}
	errs = append(errs, fmt.Errorf("find config drive: no volume labelled %q within %v", configLabel, timeout))
	return false, errors.Join(errs...)
}

// mountConfig looks once at all block devices and mounts the labelled one.
func mountConfig() (bool, error) {
	if err := os.MkdirAll(ConfigDir, 0o755); err != nil {
		return false, fmt.Errorf("create config mount point: %w", err)
	}
	entries, err := os.ReadDir("/sys/class/block")
	if err != nil {
		return false, fmt.Errorf("list block devices: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	dev := chooseDrive(names, labelOf)
	if dev == "" {
		return false, nil
	}
	err = mount{filepath.Join("/dev", dev), ConfigDir, "iso9660", noExtras | unix.MS_RDONLY, ""}.do()
	return err == nil, err
}

// chooseDrive returns the first device, in name order, whose label is that of
// a config drive, or "". Order makes the choice repeatable if somebody attached
// two. Devices that can not be read (an empty CD drive) are passed over.
func chooseDrive(names []string, label func(name string) (string, error)) string {
	for _, name := range slices.Sorted(slices.Values(names)) {
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "fd") {
			continue
		}
		if l, err := label(name); err == nil && strings.EqualFold(l, configLabel) {
			return name
		}
	}
	return ""
}

func labelOf(name string) (string, error) {
	f, err := os.Open(filepath.Join("/dev", name))
	if err != nil {
		return "", fmt.Errorf("open block device: %w", err)
	}
	defer f.Close()
	return volumeLabel(f)
}
