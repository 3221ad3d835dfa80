package imagebuild

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseKernel(t *testing.T) {
	pkg, release, err := parseKernel("Package: m\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n", "m")
	if pkg != "linux-image-6.1.0-56-cloud-amd64" || release != "6.1.0-56-cloud-amd64" || err != nil {
		t.Errorf("got %q %q %v", pkg, release, err)
	}
	if _, _, err := parseKernel("Package: m\nDepends: something\n", "m"); err == nil {
		t.Error("accepted a package without a kernel")
	}
}

func TestParseURIs(t *testing.T) {
	debs, err := parseURIs("'http://x/a_1%3a2_amd64.deb' a_1%3a2_amd64.deb 42 SHA256:abcd\nnoise\n")
	if err != nil || len(debs) != 1 || debs[0] != (deb{File: "a_1%3a2_amd64.deb", Size: 42, SHA256: "abcd"}) {
		t.Errorf("got %+v, %v", debs, err)
	}
	for _, bad := range []string{"'u' f 42 MD5Sum:ab", "'u' f x SHA256:ab"} {
		if _, err := parseURIs(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestDiskPlan(t *testing.T) {
	p := planDisk(1000*512+1, 512)
	if p != (diskPlan{kernelSectors: 1001, initrdSector: 4096, initrdSectors: 1, total: 6144}) {
		t.Errorf("got %+v", p)
	}
	want := "linux (hd0)2048+1001 console=x\ninitrd (hd0)4096+1\nboot\n"
	if got := p.grubConfig("console=x"); got != want {
		t.Errorf("got %q", got)
	}
	boot, core := bytes.Repeat([]byte{1}, 512), bytes.Repeat([]byte{2}, 700)
	disk, err := p.image(boot, core, []byte{3}, []byte{4})
	if err != nil || int64(len(disk)) != p.total*512 {
		t.Fatalf("disk of %d bytes, %v", len(disk), err)
	}
	for at, b := range map[int]byte{0: 1, 512: 2, 512 + 699: 2, 512 + 700: 0, 2048 * 512: 3, 4096 * 512: 4} {
		if disk[at] != b {
			t.Errorf("byte %d is %d, want %d", at, disk[at], b)
		}
	}
	if _, err := p.image(boot, make([]byte, 2048*512), nil, nil); err == nil {
		t.Error("accepted a loader that reaches into the kernel")
	}
}

func TestManifestCheck(t *testing.T) {
	dir := t.TempDir()
	m := Manifest{Files: map[string]FileInfo{}}
	for _, name := range []string{KernelFile, InitrdFile} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
		m.Files[name] = FileInfo{SHA256: digest([]byte(name)), Size: int64(len(name))}
	}
	must(t, m.write(dir))
	m, err := ReadManifest(dir)
	must(t, err)
	must(t, m.Check(dir))
	if m.BootBytes() != int64(len(KernelFile)+len(InitrdFile)) {
		t.Errorf("boot bytes %d", m.BootBytes())
	}
	must(t, os.WriteFile(filepath.Join(dir, InitrdFile), []byte("INITRD"), 0o644))
	if err := m.Check(dir); err == nil || !strings.Contains(err.Error(), InitrdFile) {
		t.Errorf("changed file: got %v", err)
	}
	m.Files["../x"] = FileInfo{}
	if err := m.Check(dir); err == nil || !strings.Contains(err.Error(), "plain file name") {
		t.Errorf("path in manifest: got %v", err)
	}
	delete(m.Files, KernelFile)
	must(t, m.write(dir))
	if _, err := ReadManifest(dir); err == nil {
		t.Error("accepted a manifest without a kernel")
	}
}

func TestDynamicAgentRefused(t *testing.T) {
	if _, err := ownArchive("/bin/ls"); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("got %v", err)
	}
}

func TestSourceDate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	if got := sourceDate(); got != "1970-01-02T00:00:00Z" {
		t.Errorf("got %s", got)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if got := sourceDate(); got != "" {
		t.Errorf("got %s", got)
	}
}
