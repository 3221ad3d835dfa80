package reconcile

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// The drive is read back by the kernel's own driver, as a router reads it.
func TestConfigDriveIsReadByTheKernel(t *testing.T) {
	want := agentv1.Bootstrap{
		Version: 1, RouterUUID: "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f", Hostname: "router-1c2e4f",
		Listen: netip.MustParseAddrPort("10.0.0.5:7443"), JoinToken: "secret",
	}
	drive, err := configDrive(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(drive) != driveSize {
		t.Fatalf("drive has %d bytes, want %d", len(drive), driveSize)
	}
	if label := string(bytes.TrimRight(drive[0x8028:0x8048], " \x00")); label != agentv1.ConfigLabel {
		t.Fatalf("volume label %q (ECMA-119 8.4.8)", label)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts the drive")
	}
	dir := t.TempDir()
	iso, mount := filepath.Join(dir, "drive.iso"), filepath.Join(dir, "mnt")
	if err := os.WriteFile(iso, drive, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop,ro", iso, mount).CombinedOutput(); err != nil {
		t.Skipf("this kernel mounts no ISO 9660 (the routers' does, in test/vm): %v: %q", err, out)
	}
	defer func() { _ = exec.Command("umount", mount).Run() }()
	b, err := os.ReadFile(filepath.Join(mount, agentv1.BootstrapFile))
	if err != nil {
		t.Fatal(err)
	}
	var got agentv1.Bootstrap
	if err := json.Unmarshal(b, &got); err != nil || got.JoinToken != want.JoinToken || got.Listen != want.Listen {
		t.Fatalf("read back %+v, %v", got, err)
	}
}
