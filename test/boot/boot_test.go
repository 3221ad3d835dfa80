package boot

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/imagebuild"
	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// TestRouterStarts boots a template whose agent is testdata/probe and follows
// it through its life: configuration, a death, all that the agent does with the
// packet filter after the kernel was closed to modules, power button.
func TestRouterStarts(t *testing.T) {
	dir := buildTemplate(t, "./testdata/probe")
	m, err := imagebuild.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.iso")
	if err := writeConfig(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := imagebuild.DirectMachine(dir, m, config)
	b, err := tryboot.Watch(ctx, vm, "probe: done", pressPower)
	t.Log(b.Console)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"sluice-init: ready uptime=",
		"probe: args [run --config /run/sluice/config]",
		"agent ended: status 3", "restart agent in 0s",
		`ip_forward = "0\n"`, `hostname = "` + hostname, `sluice.json = "{\"version\":1`,
		`modprobe = "\n"`, "probe: load module: operation not permitted",
		"probe: nics 2 failed 0 zombies 0",
		"probe: asked to stop", "sluice-init: power off",
	} {
		if !strings.Contains(b.Console, want) {
			t.Errorf("console lacks %q", want)
		}
	}
	for _, bad := range []string{"needed and not loaded", "probe: FAIL"} {
		if strings.Contains(b.Console, bad) {
			t.Errorf("console has %q", bad)
		}
	}
}

// TestModulesOpen boots with the door left open, for debugging, and with a
// needed module's list that names a file that is not there.
func TestModulesOpen(t *testing.T) {
	dir := buildTemplate(t, "./testdata/probe")
	m, err := imagebuild.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, imagebuild.InitrdFile))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := imagebuild.DirectMachine(dir, m, "")
	vm.Cmdline = "sluice.modules=open sluice.config_timeout=0 " + vm.Cmdline
	b, err := tryboot.Until(ctx, vm, "probe: done")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"modules can be loaded", "needed and not loaded: load module: open /lib/modules/", "gone.ko: no such file"} {
		if !strings.Contains(b.Console, want) {
			t.Errorf("console lacks %q:\n%s", want, b.Console)
		}
	}
	// It was loaded already while a config drive was looked for.
	if !strings.Contains(b.Console, "probe: load module: file exists") {
		t.Errorf("the door is closed:\n%s", b.Console)
	}
}

// spoil appends an archive to a RAM disk that replaces a list of modules.
func spoil(t *testing.T, initrd string) {
	t.Helper()
	b, err := imagebuild.Pack([]imagebuild.Entry{
		{Path: "usr/lib/sluice/modules.filter", Mode: imagebuild.ModeFile, Data: []byte("gone.ko\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(initrd, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestDiskStarts boots the disk: loader, kernel and RAM disk from sectors.
func TestDiskStarts(t *testing.T) {
	dir := buildTemplate(t, "./testdata/probe")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	v, err := imagebuild.Verify(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if v.Disk == 0 || v.Direct == 0 {
		t.Fatalf("one of the boots did not happen: %+v", v)
	}
	t.Logf("direct %v disk %v", v.Direct, v.Disk)
}

// TestMeasure checks the measurement itself, with the real agent; not the goal,
// which a loaded machine misses: that both boots were seen, and plausibly.
func TestMeasure(t *testing.T) {
	dir := buildTemplate(t, "github.com/sluice-nfv/sluice/appliance/cmd/sluice-agent")
	r, err := Measure(t.Context(), Options{Template: dir, Runs: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.Join(r.Lines(), "\n"))
	// How fast it is, is for `make bench` to say: a busy machine is no fault of ours.
	if r.Peer <= 0 || r.Start <= 0 || r.Start > r.Ours {
		t.Errorf("implausible: ours %v (start %v), peer %v", r.Ours, r.Start, r.Peer)
	}
	if mb := float64(r.Manifest.BootBytes()) / 1e6; mb > GoalSizeMB {
		t.Errorf("template has %.1f MB, goal is %d", mb, GoalSizeMB)
	}
}

// pressPower presses the VM's power button and waits for the end of its order.
func pressPower(monitor string) error {
	c, err := net.Dial("unix", monitor)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 4096)
	for range 10 {
		if _, err := c.Write([]byte("system_powerdown\n")); err != nil {
			return nil
		}
		// QEMU closes the monitor when the guest has powered off.
		if err := c.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		for err == nil {
			_, err = c.Read(buf)
		}
		if !os.IsTimeout(err) {
			return nil
		}
		err = nil
	}
	return errors.New("the VM did not power off")
}

// buildTemplate builds a template with the Go program at pkg as its agent.
func buildTemplate(t *testing.T, pkg string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: apt's package cache")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs qemu-system-x86")
	}
	if err := imagebuild.CheckTools(); err != nil {
		t.Skip("needs the image tools: ", err)
	}
	bin, out := t.TempDir(), t.TempDir()
	goBuild(t, filepath.Join(bin, "sluice-agent"), pkg)
	cache := os.Getenv("SLUICE_IMAGE_CACHE")
	if cache == "" {
		cache = "/var/cache/sluice/image-cache"
	}
	_, err := imagebuild.Build(t.Context(), imagebuild.Options{
		Recipe: imagebuild.Default(), Agent: filepath.Join(bin, "sluice-agent"),
		Output: out, Cache: cache, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func goBuild(t *testing.T, out, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-tags=nomsgpack", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
}
