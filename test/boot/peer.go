package boot

import (
	"debug/elf"
	"fmt"
	"os"

	"github.com/sluice-nfv/sluice/imagebuild"
)

// peerLine is what the peer prints when it runs.
const peerLine = "busybox-init: ready"

// peerInit does the least that a useful init does before anything else.
const peerInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
read up rest </proc/uptime
echo "` + peerLine + ` uptime=$up"
exec /bin/busybox sleep 3600
`

// writePeer writes the peer's RAM disk, packed as ours is.
func writePeer(file, busybox string) error {
	f, err := elf.Open(busybox)
	if err != nil {
		return fmt.Errorf("read busybox (apt-get install busybox-static): %w", err)
	}
	libs, err := f.ImportedLibraries()
	f.Close()
	if err != nil || len(libs) > 0 {
		return fmt.Errorf("read busybox: %s needs libraries %v: apt-get install busybox-static", busybox, libs)
	}
	b, err := imagebuild.Pack([]imagebuild.Entry{
		{Path: "bin", Mode: imagebuild.ModeDir}, {Path: "dev", Mode: imagebuild.ModeDir},
		{Path: "proc", Mode: imagebuild.ModeDir}, {Path: "sys", Mode: imagebuild.ModeDir},
		{Path: "bin/busybox", Mode: imagebuild.ModeExec, Source: busybox},
		{Path: "init", Mode: imagebuild.ModeExec, Data: []byte(peerInit)},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("write peer: %w", err)
	}
	return nil
}
