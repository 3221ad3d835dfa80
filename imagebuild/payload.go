package imagebuild

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Payload is a RAM disk with one job: it loads modules and runs static
// programs, one after the other, on the kernel that routers get. Tests use it for
// what the kernel of the machine that builds cannot do.
type Payload struct {
	Modules  []string // with all that they need, in load order
	Programs []string // static; their output is the console's
	Env      []string // NAME=value, plain words, for all of them
	Args     []string // as a shell reads them
	Tools    bool     // with ip, sysctl, and a router's iptables and nft
	Busybox  string   // static busybox
	Cache    string   // directory for packages and modules; created
}

// PayloadDone starts the last line on the console; the number of programs that
// failed follows.
const PayloadDone = "payload: failed programs: "

// payloadInit mounts what programs expect. The console shows only its own
// lines: those of the kernel would come between.
const payloadInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
for m in $(/bin/busybox cat /usr/lib/sluice/modules.early); do
	/bin/busybox insmod /lib/modules/%s/$m || echo "payload: cannot load $m"
done
failed=0
for p in /payload/*/*; do
	/bin/busybox env %s $p %s || failed=$((failed + 1))
done
echo "` + PayloadDone + `$failed"
/bin/busybox poweroff -f
`

// Build writes the RAM disk to dir and returns it with the kernel.
func (p Payload) Build(ctx context.Context, dir string) (kernel, initrd string, err error) {
	for _, program := range append([]string{p.Busybox}, p.Programs...) {
		if err := checkStatic(program); err != nil {
			return "", "", fmt.Errorf("take program (of Debian's busybox: apt-get install busybox-static): %w", err)
		}
	}
	kept, release, err := p.keep(ctx)
	if err != nil {
		return "", "", err
	}
	modules, err := os.ReadFile(filepath.Join(kept, "modules.cpio.lz4"))
	if err != nil {
		return "", "", fmt.Errorf("read modules: %w", err)
	}
	entries := []Entry{
		{Path: "bin", Mode: ModeDir}, {Path: "dev", Mode: ModeDir}, {Path: "proc", Mode: ModeDir},
		{Path: "sys", Mode: ModeDir}, {Path: "tmp", Mode: ModeDir}, {Path: "lib", Mode: ModeLink, Link: "usr/lib"},
		{Path: "bin/busybox", Mode: ModeExec, Source: p.Busybox}, {Path: "payload", Mode: ModeDir},
		{Path: "init", Mode: ModeExec, Data: fmt.Appendf(nil, payloadInit, release, strings.Join(p.Env, " "), strings.Join(p.Args, " "))},
	}
	for i, program := range p.Programs {
		dir := fmt.Sprintf("payload/%d", i) // the name stays: busybox is what it is called
		entries = append(entries, Entry{Path: dir, Mode: ModeDir}, Entry{Path: dir + "/" + filepath.Base(program), Mode: ModeExec, Source: program})
	}
	own, err := Pack(entries)
	if err != nil {
		return "", "", err
	}
	initrd = filepath.Join(dir, "payload.cpio.lz4")
	return filepath.Join(kept, KernelFile), initrd, writeFile(initrd, append(modules, own...))
}

// recipe is the part that packages are needed for.
func (p Payload) recipe() Recipe {
	all := Default()
	r := Recipe{Kernel: all.Kernel, Modules: ModuleSet{Early: p.Modules}}
	if p.Tools {
		r.Packages = append(all.Packages, words(`iproute2 libbpf1 libcap2 libelf1 zlib1g`)...)
		r.Programs = append(all.Programs, Program{Path: "usr/bin/ip"})
		r.Extensions = all.Extensions
		r.Dirs = words(`run`)
		r.Symlinks = []Symlink{{"lib64", "usr/lib64"}, {"sbin", "usr/sbin"}, {"var/run", "../run"}, {"usr/sbin/sysctl", "/bin/busybox"}}
	}
	return r
}

// keep makes sure that the kernel and its modules are in the cache.
func (p Payload) keep(ctx context.Context) (dir, release string, err error) {
	a, err := openArchive(ctx, p.Cache, "", "")
	if err != nil {
		return "", "", err
	}
	r := p.recipe()
	packages, debs, release, err := r.versions(ctx, a)
	if err != nil {
		return "", "", err
	}
	key, err := json.Marshal(struct {
		Recipe Recipe
		Debs   []deb
	}{r, debs})
	if err != nil {
		return "", "", fmt.Errorf("describe payload: %w", err)
	}
	dir = filepath.Join(p.Cache, "payload-"+digest(key)[:16])
	if _, err := os.Stat(filepath.Join(dir, "modules.cpio.lz4")); err == nil {
		return dir, release, nil
	}
	if err := a.fetch(ctx, packages, debs); err != nil {
		return "", "", err
	}
	tmp, err := os.MkdirTemp(p.Cache, "work-")
	if err != nil {
		return "", "", fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	root := rootDir(filepath.Join(tmp, "root"))
	if err := a.extract(ctx, debs, string(root)); err != nil {
		return "", "", err
	}
	staged, err := stageModules(ctx, r, root, release, filepath.Join(tmp, "stage"))
	if err != nil {
		return "", "", err
	}
	entries, err := layout(r, root, release, staged)
	if err != nil {
		return "", "", err
	}
	packed, err := Pack(entries)
	if err != nil {
		return "", "", err
	}
	if err := copyFile(root.host("boot/vmlinuz-"+release), filepath.Join(dir, KernelFile)); err != nil {
		return "", "", err
	}
	return dir, release, writeFile(filepath.Join(dir, "modules.cpio.lz4"), packed)
}
