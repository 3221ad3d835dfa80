package libvirt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/hypervisortest"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/libvirt"
)

func put(t *testing.T, h hypervisor.Hypervisor, name string, content []byte) {
	t.Helper()
	if err := h.EnsureVolume(t.Context(), name, int64(len(content)), hypervisortest.Opener(content)); err != nil {
		t.Fatal(err)
	}
}

func tiny(name string) hypervisor.Domain {
	return hypervisor.Domain{UUID: uuid.NewString(), Name: name, VCPUs: 1, MemoryMiB: 32,
		Boot: hypervisor.Boot{Direct: &hypervisor.DirectBoot{Kernel: "kernel"}},
		Nics: []hypervisor.Nic{{MAC: "fa:16:3e:00:00:01", Bridge: bridge}}}
}

// Guest code runs, by both ways of booting, and its console is read through libvirt.
func TestGuestSpeaks(t *testing.T) {
	p := needPrivate(t)
	h := conformHost(t, p, nil)
	put(t, h, "kernel", tinyKernel())
	put(t, h, "image.qcow2", qcow2(t))
	if err := h.EnsureOverlay(t.Context(), "vr.qcow2", "image.qcow2"); err != nil {
		t.Fatal(err)
	}
	direct, disk := tiny("vr-direct"), tiny("vr-disk")
	disk.Boot = hypervisor.Boot{Disk: "vr.qcow2"}
	for _, d := range []hypervisor.Domain{direct, disk} {
		if err := h.EnsureDomain(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		awaitConsole(t, h, d, "SL")
		if err := h.DeleteDomain(t.Context(), d.UUID); err != nil {
			t.Fatal(err)
		}
		if text, err := h.ConsoleTail(t.Context(), d.UUID, 100); err != nil || len(text) != 0 {
			t.Errorf("%s: console after delete: %q, %v", d.Name, text, err)
		}
	}
}

func awaitConsole(t *testing.T, h hypervisor.Hypervisor, d hypervisor.Domain, want string) {
	t.Helper()
	var text []byte
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var err error
		if text, err = h.ConsoleTail(t.Context(), d.UUID, 1000); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(want)) {
			return
		}
	}
	t.Fatalf("%s: console says %q, want %q in it", d.Name, text, want)
}

// Linux boots from what we describe, sees its devices in our order and its config
// disk; give a kernel and an initrd whose init prints READY.
func TestLinuxBoots(t *testing.T) {
	kernel, initrd := os.Getenv("SLUICE_TEST_KERNEL"), os.Getenv("SLUICE_TEST_INITRD")
	if kernel == "" || initrd == "" {
		t.Skip("needs SLUICE_TEST_KERNEL and SLUICE_TEST_INITRD: a bzImage and an initrd that prints READY")
	}
	p := needPrivate(t)
	h := conformHost(t, p, nil)
	d := tiny("vr-linux")
	d.MemoryMiB = 192
	d.Boot.Direct = &hypervisor.DirectBoot{Kernel: "kernel", Initrd: "initrd", Cmdline: hypervisor.DefaultCmdline}
	d.ConfigVolume = "config.iso"
	put(t, h, "config.iso", make([]byte, 1<<20))
	for name, file := range map[string]string{"kernel": kernel, "initrd": initrd} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		put(t, h, name, content)
		t.Logf("%s: %d bytes uploaded in %v", name, len(content), time.Since(began))
	}
	began := time.Now()
	if err := h.EnsureDomain(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	t.Logf("EnsureDomain returned after %v", time.Since(began))
	awaitConsole(t, h, d, "READY")
	t.Logf("ready after %v", time.Since(began))
	text, err := h.ConsoleTail(t.Context(), d.UUID, 2000)
	t.Logf("console: %s, %v", text, err)
}

// Guests outlive libvirtd, and everything is found again after it.
func TestDaemonDiesAndReturns(t *testing.T) {
	p := needPrivate(t)
	h, err := libvirt.Open(t.Context(), libvirt.Config{URI: "qemu:///system?socket=" + p.socket, VirtType: "qemu"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		p.clean()
	})
	put(t, h, "kernel", tinyKernel())
	d := tiny("vr-1")
	if err := h.EnsureDomain(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	events, err := h.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	awaitKind(t, events, hypervisor.EventRelist)
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	awaitKind(t, events, hypervisor.EventLost)
	if _, err := h.GetDomain(t.Context(), d.UUID); !hypervisor.IsUnreachable(err) {
		t.Fatalf("while it is dead: %v, want unreachable", err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	awaitKind(t, events, hypervisor.EventRelist)
	status, err := h.GetDomain(t.Context(), d.UUID)
	if err != nil || status.State != hypervisor.Running {
		t.Fatalf("after the return: %+v, %v", status, err)
	}
	if out := p.virsh("destroy", "vr-1"); strings.Contains(out, "error") {
		t.Fatal(out)
	}
	for e := range events {
		if e.Domain.UUID == d.UUID && e.Domain.State == hypervisor.Stopped {
			return
		}
	}
	t.Fatal("the stop was not told")
}

func awaitKind(t *testing.T, events <-chan hypervisor.Event, kind hypervisor.EventKind) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		select {
		case e, open := <-events:
			if !open {
				t.Fatal("events closed")
			}
			if e.Kind == kind {
				return
			}
		case <-deadline:
			t.Fatalf("no %s event", kind)
		}
	}
}

// A nic plugged into a running guest is told, as is one pulled out.
func TestHotplugIsTold(t *testing.T) {
	p := needPrivate(t)
	h := conformHost(t, p, nil)
	id := uuid.NewString()
	startGuest(t, p, id, "sl-hv-guest", "fa:16:3e:00:00:77")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := h.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	awaitKind(t, events, hypervisor.EventRelist)
	out := p.virsh("attach-interface", id, "bridge", bridge, "--mac", "fa:16:3e:00:00:78", "--model", "virtio", "--live")
	if strings.Contains(out, "error") {
		t.Fatal(out)
	}
	for deadline := time.After(30 * time.Second); ; {
		select {
		case e := <-events:
			if e.Domain.UUID == id && len(e.Domain.MACs) == 2 && e.Domain.MACs[1] == "fa:16:3e:00:00:78" {
				return
			}
		case <-deadline:
			t.Fatal("the plugged nic was not told")
		}
	}
}

// An upload cut short is known by its size and done again.
func TestHalfUploadIsReplaced(t *testing.T) {
	p := needPrivate(t)
	h := conformHost(t, p, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := h.EnsureVolume(ctx, "image", int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(content[:1<<19]), &stopper{cancel})), nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled upload: %v", err)
	}
	put(t, h, "image", content[:1<<19]) // what a crash at this moment leaves
	put(t, h, "image", content)
	list, err := h.ListVolumes(t.Context())
	if err != nil || len(list) != 1 || list[0].Size != 1<<20 {
		t.Fatalf("ListVolumes: %v, %v", list, err)
	}
}

type stopper struct{ cancel func() }

func (s *stopper) Read(p []byte) (int, error) {
	s.cancel()
	time.Sleep(10 * time.Millisecond)
	return len(p), nil
}

// The probe knows a type that runs; auto then picks one the host offers.
func TestVirtTypeIsProbed(t *testing.T) {
	p := needPrivate(t)
	h, err := libvirt.Open(t.Context(), libvirt.Config{URI: "qemu:///system?socket=" + p.socket})
	if err != nil {
		t.Fatal(err)
	}
	defer p.clean()
	defer h.Close()
	if runs, why, err := libvirt.Probe(h, t.Context(), libvirt.VirtQEMU); err != nil || !runs {
		t.Fatalf("probe of emulation: %t (%s), %v", runs, why, err)
	}
	began := time.Now()
	info, err := h.Info(t.Context())
	if err != nil || (info.VirtType != libvirt.VirtKVM && info.VirtType != libvirt.VirtQEMU) || info.VirtReason == "" {
		t.Fatalf("Info: %+v, %v", info, err)
	}
	t.Logf("%+v after %v", info, time.Since(began))
	if path, free, err := h.Storage(t.Context()); err != nil || !filepath.IsAbs(path) || free < 1<<20 {
		t.Errorf("storage %s with %d bytes free: %v", path, free, err)
	}
	if out := p.virsh("list", "--all", "--name"); strings.TrimSpace(out) != "" {
		t.Errorf("probe left %q", out)
	}
	if out := p.virsh("vol-list", "sluice"); strings.Contains(out, "probe") {
		t.Errorf("probe left %q", out)
	}
}

// Two instances on one libvirtd do not see each other.
func TestInstancesAreApart(t *testing.T) {
	p := needPrivate(t)
	mine := conformHost(t, p, nil)
	other, err := libvirt.Open(t.Context(), libvirt.Config{URI: "qemu:///system?socket=" + p.socket, Instance: "other", VirtType: "qemu"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	put(t, mine, "kernel", tinyKernel())
	d := tiny("vr-1")
	if err := mine.EnsureDomain(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if list, err := other.ListDomains(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("other's ListDomains: %v, %v", list, err)
	}
	if list, err := other.ListVolumes(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("other's ListVolumes: %v, %v", list, err)
	}
	if err := other.DeleteDomain(t.Context(), d.UUID); !hypervisor.IsConflict(err) {
		t.Errorf("other's DeleteDomain: %v, want conflict", err)
	}
}

// Several orchestrators may meet a new host at once: one of them makes the pool.
func TestManyMakeThePoolAtOnce(t *testing.T) {
	p := needPrivate(t)
	for round := range 5 {
		config := libvirt.Config{
			URI: "qemu:///system?socket=" + p.socket, Instance: fmt.Sprintf("many-%d", round), VirtType: "qemu", PoolPath: t.TempDir(),
		}
		errs := make([]error, 6)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				h, err := libvirt.Open(t.Context(), config)
				if errs[i] = err; err == nil {
					errs[i] = h.Close()
				}
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
}
