package hypervisortest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

func testInfo(t *testing.T, h *Host) {
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatalf("Info: %v", err)
	}
	if info.Hostname == "" || info.CPUs < 1 || info.MemoryMiB < 64 || info.LibvirtVersion == "" || info.VirtReason == "" ||
		!slices.Contains(info.VirtTypes, info.VirtType) {
		t.Fatalf("incomplete: %+v", info)
	}
}

func testDomainLife(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	h.wantState(t, d.UUID, hypervisor.Absent)
	h.ensure(t, d)
	got := h.state(t, d.UUID)
	if got.State != hypervisor.Running || got.Name != "vr-1" || got.UUID != d.UUID || !got.Owned ||
		!slices.Equal(got.MACs, []string{"fa:16:3e:00:00:02", "fa:16:3e:00:00:01"}) {
		t.Fatalf("status is %+v", got)
	}
	h.ensure(t, d)
	list, err := h.ListDomains(t.Context())
	if err != nil || len(list) != 1 || list[0].UUID != d.UUID {
		t.Fatalf("ListDomains: %v, %v", list, err)
	}
	for range 2 {
		if err := h.StopDomain(t.Context(), d.UUID); err != nil {
			t.Fatalf("StopDomain: %v", err)
		}
		h.wantState(t, d.UUID, hypervisor.Stopped)
	}
	for range 2 {
		if err := h.DeleteDomain(t.Context(), d.UUID); err != nil {
			t.Fatalf("DeleteDomain: %v", err)
		}
		h.wantState(t, d.UUID, hypervisor.Absent)
	}
	if err := h.StopDomain(t.Context(), d.UUID); err != nil {
		t.Fatalf("StopDomain of a missing domain: %v", err)
	}
}

func testDomainNeedsVolumes(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	if err := h.DeleteVolume(t.Context(), d.ConfigVolume); err != nil {
		t.Fatal(err)
	}
	d.Boot.Direct.Initrd = "no-such-initrd"
	err := h.EnsureDomain(t.Context(), d)
	if !hypervisor.IsNotFound(err) || !strings.Contains(err.Error(), d.ConfigVolume) || !strings.Contains(err.Error(), "no-such-initrd") {
		t.Fatalf("error is %v, want not found naming both volumes", err)
	}
	h.wantState(t, d.UUID, hypervisor.Absent)
}

func testDomainNeedsBridge(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	d.Nics[1].Bridge = "sl-no-bridge"
	if err := h.EnsureDomain(t.Context(), d); err == nil || !strings.Contains(err.Error(), "sl-no-bridge") {
		t.Fatalf("error is %v, want one naming the bridge", err)
	}
	h.wantState(t, d.UUID, hypervisor.Absent)
}

func testDomainIsReplaced(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	h.ensure(t, d)
	d.Name, d.Nics = "vr-renamed", d.Nics[:1]
	h.ensure(t, d)
	got := h.state(t, d.UUID)
	if got.State != hypervisor.Running || got.Name != "vr-renamed" || len(got.MACs) != 1 {
		t.Fatalf("status is %+v", got)
	}
}

func testDomainIsRestarted(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	h.ensure(t, d)
	h.Kill(t, d.UUID)
	h.wantState(t, d.UUID, hypervisor.Stopped)
	h.ensure(t, d)
	h.wantState(t, d.UUID, hypervisor.Running)
	h.Crash(t, d.UUID)
	for deadline := time.Now().Add(patience); h.state(t, d.UUID).State != hypervisor.Crashed; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a crash: %+v", h.state(t, d.UUID))
		}
	}
	h.ensure(t, d)
	h.wantState(t, d.UUID, hypervisor.Running)
}

func testDomainInvalid(t *testing.T, h *Host) {
	good := h.domain(t, "vr-1")
	bad := map[string]func(*hypervisor.Domain){
		"uuid":       func(d *hypervisor.Domain) { d.UUID = "x" },
		"name":       func(d *hypervisor.Domain) { d.Name = "a/b" },
		"no boot":    func(d *hypervisor.Domain) { d.Boot = hypervisor.Boot{} },
		"two boots":  func(d *hypervisor.Domain) { d.Boot.Disk = "disk" },
		"kernel":     func(d *hypervisor.Domain) { d.Boot.Direct = &hypervisor.DirectBoot{Kernel: "../k"} },
		"cmdline":    func(d *hypervisor.Domain) { d.Boot.Direct = &hypervisor.DirectBoot{Kernel: "k", Cmdline: "a\nb"} },
		"mac":        func(d *hypervisor.Domain) { d.Nics = []hypervisor.Nic{{MAC: "01:00:5e:00:00:01", Bridge: "b"}} },
		"bridge":     func(d *hypervisor.Domain) { d.Nics = []hypervisor.Nic{{MAC: "fa:16:3e:00:00:02", Bridge: "a'/><x"}} },
		"mtu":        func(d *hypervisor.Domain) { d.Nics = []hypervisor.Nic{{MAC: "fa:16:3e:00:00:02", Bridge: "b", MTU: 1}} },
		"double mac": func(d *hypervisor.Domain) { d.Nics = []hypervisor.Nic{d.Nics[0], d.Nics[0]} },
		"memory":     func(d *hypervisor.Domain) { d.MemoryMiB = 0 },
		"vcpus":      func(d *hypervisor.Domain) { d.VCPUs = 0 },
		"config":     func(d *hypervisor.Domain) { d.ConfigVolume = "/etc/shadow" },
	}
	for name, spoil := range bad {
		d := good
		spoil(&d)
		if err := h.EnsureDomain(t.Context(), d); !hypervisor.IsInvalid(err) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if list, err := h.ListDomains(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("left behind: %v, %v", list, err)
	}
}

func testDomainNameConflict(t *testing.T, h *Host) {
	first := h.domain(t, "vr-1")
	h.ensure(t, first)
	second := first
	second.UUID = uuid.NewString()
	err := h.EnsureDomain(t.Context(), second)
	if !hypervisor.IsConflict(err) || !strings.Contains(err.Error(), first.UUID) {
		t.Fatalf("error is %v, want a conflict naming %s", err, first.UUID)
	}
	h.wantState(t, first.UUID, hypervisor.Running)
}

func testForeignDomain(t *testing.T, h *Host) {
	id, name := uuid.NewString(), "sl-hv-guest"
	h.StartGuest(t, id, name, "fa:16:3e:00:00:77")
	if list, err := h.ListDomains(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("ListDomains shows what is not ours: %v, %v", list, err)
	}
	guests, err := h.ListGuests(t.Context())
	i := slices.IndexFunc(guests, func(s hypervisor.DomainStatus) bool { return s.UUID == id })
	if err != nil || i < 0 || !slices.Equal(guests[i].MACs, []string{"fa:16:3e:00:00:77"}) || guests[i].Owned {
		t.Fatalf("ListGuests: %v, %v", guests, err)
	}
	d := h.domain(t, "vr-1")
	d.UUID = id
	if err := h.EnsureDomain(t.Context(), d); !hypervisor.IsConflict(err) {
		t.Errorf("EnsureDomain: %v, want conflict", err)
	}
	if err := h.StopDomain(t.Context(), id); !hypervisor.IsConflict(err) {
		t.Errorf("StopDomain: %v, want conflict", err)
	}
	if err := h.DeleteDomain(t.Context(), id); !hypervisor.IsConflict(err) {
		t.Errorf("DeleteDomain: %v, want conflict", err)
	}
	if _, err := h.GetDomain(t.Context(), id); !hypervisor.IsConflict(err) {
		t.Errorf("GetDomain: %v, want conflict", err)
	}
}

func testConsole(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	if text, err := h.ConsoleTail(t.Context(), d.UUID, 100); err != nil || len(text) != 0 {
		t.Fatalf("console of a missing domain: %q, %v", text, err)
	}
	h.ensure(t, d)
	if text, err := h.ConsoleTail(t.Context(), d.UUID, 1); err != nil || len(text) > 1 {
		t.Fatalf("console: %q, %v, want at most 1 byte", text, err)
	}
	if _, err := h.ConsoleTail(t.Context(), d.UUID, 0); !hypervisor.IsInvalid(err) {
		t.Fatalf("console of 0 bytes: %v, want invalid", err)
	}
	// The console log is not a volume to anyone.
	list, err := h.ListVolumes(t.Context())
	if err != nil || slices.ContainsFunc(list, func(v hypervisor.Volume) bool { return strings.Contains(v.Name, d.UUID) }) {
		t.Fatalf("ListVolumes: %v, %v", list, err)
	}
}

func testCancelledContext(t *testing.T, h *Host) {
	d := h.domain(t, "vr-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.EnsureDomain(ctx, d); err == nil {
		t.Error("EnsureDomain succeeded")
	}
	if err := h.DeleteVolume(ctx, d.ConfigVolume); err == nil {
		t.Error("DeleteVolume succeeded")
	}
	h.wantState(t, d.UUID, hypervisor.Absent)
}
