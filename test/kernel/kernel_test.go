// Package kernel runs the tests of other packages inside a QEMU guest, on the
// kernel that Debian's cloud images have: what the kernel of a development
// machine cannot do is tested all the same.
package kernel

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/imagebuild"
	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// TestL2Networks runs the suites of L2 networks with VLANs.
func TestL2Networks(t *testing.T) {
	console := inGuest(t, "veth bridge 8021q", "github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan", "github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan")
	for test, times := range map[string]int{
		"TestType/the_host_keeps_its_address_and_its_routes": 2, "TestType/what_was_damaged_is_seen_and_mended": 2,
		"TestFramesStayApart": 1, "TestInterfaceReplaced": 1,
	} {
		if got := strings.Count(console, "--- PASS: "+test+" "); got != times {
			t.Errorf("%s passed %d times, want %d", test, got, times)
		}
	}
	if strings.Contains(console, "--- SKIP") || !strings.Contains(console, imagebuild.PayloadDone+"0\n") {
		t.Error("something failed or was skipped in the guest")
	}
}

// TestPacketFilter has Debian's kernel take the router's table.
func TestPacketFilter(t *testing.T) {
	console := inGuest(t, "nf_tables nft_ct nft_nat nft_chain_nat nft_limit nft_fib_ipv4", "github.com/sluice-nfv/sluice/appliance/dataplane/netfilter")
	if !strings.Contains(console, "--- PASS: TestTheKernelTakesTheTable ") || !strings.Contains(console, imagebuild.PayloadDone+"0\n") {
		t.Error("something failed or was skipped in the guest")
	}
}

// inGuest runs packages' tests in a guest with modules and returns what they
// printed.
func inGuest(t *testing.T, modules string, packages ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: apt's package cache")
	}
	for _, tool := range []string{"qemu-system-x86_64", "depmod", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool, ": make setup installs it")
		}
	}
	dir := t.TempDir()
	var programs []string
	for _, pkg := range packages {
		programs = append(programs, filepath.Join(dir, filepath.Base(pkg)))
		build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags=nomsgpack", "-trimpath", "-ldflags=-s -w", "-o", programs[len(programs)-1], pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build tests of %s: %v\n%s", pkg, err, out)
		}
	}
	cache := os.Getenv("SLUICE_IMAGE_CACHE")
	if cache == "" {
		cache = "/var/cache/sluice/image-cache"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	kernel, initrd, err := imagebuild.Payload{
		Modules:  strings.Fields(modules),
		Programs: programs, Args: []string{"-test.v", "-test.timeout=2m"}, Env: []string{"SLUICE_VLANS=1"},
		Busybox: "/bin/busybox", Cache: cache,
	}.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	vm := tryboot.Machine{Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0 quiet panic=-1 net.ifnames=0 no_timer_check tsc=reliable random.trust_cpu=on", MemoryMiB: 256}
	b, err := tryboot.Until(ctx, vm, imagebuild.PayloadDone)
	if err != nil {
		t.Fatal(err)
	}
	console := strings.ReplaceAll(b.Console, "\r", "")
	t.Logf("guest took %.1fs:\n%s", b.Wall.Seconds(), console)
	return console
}
