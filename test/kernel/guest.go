// Package kernel runs the tests of other packages inside a QEMU guest, on the
// kernel that Debian's cloud images have: what the kernel of a development
// machine cannot do is tested all the same.
package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/imagebuild"
	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// Guest is what a guest has besides Debian's kernel and the tests.
type Guest struct {
	Modules string
	Tools   bool   // see imagebuild.Payload
	Args    string // of the tests
}

// Flowtables is a guest whose kernel has them, with all that a data plane needs.
func Flowtables(args string) Guest {
	return Guest{Modules: "veth pktgen " + strings.Join(imagebuild.Default().Modules.Filter, " "), Tools: true, Args: args}
}

// Needs are the programs that Run starts.
var Needs = []string{"qemu-system-x86_64", "depmod", "busybox"}

// Run runs packages' tests (by their folder in this module) and returns what
// they printed; dir is for scratch. It needs root, for apt's package cache.
func (g Guest) Run(ctx context.Context, dir string, packages ...string) (console string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	var programs []string
	for _, pkg := range packages {
		program := filepath.Join(dir, filepath.Base(pkg))
		build := exec.CommandContext(ctx, "go", "test", "-c", "-tags=nomsgpack", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/sluice-nfv/sluice/"+pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return "", 0, fmt.Errorf("build tests of %s: %w\n%s", pkg, err, out)
		}
		programs = append(programs, program)
	}
	cache := os.Getenv("SLUICE_IMAGE_CACHE")
	if cache == "" {
		cache = "/var/cache/sluice/image-cache"
	}
	kernel, initrd, err := imagebuild.Payload{
		Modules: strings.Fields(g.Modules), Tools: g.Tools,
		Programs: programs, Args: append([]string{"-test.v", "-test.timeout=5m"}, strings.Fields(g.Args)...), Env: []string{"SLUICE_VLANS=1"},
		Busybox: "/bin/busybox", Cache: cache,
	}.Build(ctx, dir)
	if err != nil {
		return "", 0, err
	}
	vm := tryboot.Machine{Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0 quiet panic=-1 net.ifnames=0 no_timer_check tsc=reliable random.trust_cpu=on", MemoryMiB: 256}
	b, err := tryboot.Until(ctx, vm, imagebuild.PayloadDone)
	return strings.ReplaceAll(b.Console, "\r", ""), b.Wall, err
}
