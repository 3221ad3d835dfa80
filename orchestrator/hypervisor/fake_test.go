package hypervisor_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/hypervisortest"
)

func TestFakeConforms(t *testing.T) {
	hypervisortest.Run(t, func(t *testing.T) *hypervisortest.Host {
		f := hypervisor.NewFake()
		f.SetBridges("br0")
		return &hypervisortest.Host{
			Hypervisor: f,
			Kernel:     []byte("kernel"), Disk: []byte("disk"), Bridge: "br0",
			Kill:       func(_ *testing.T, id string) { f.Kill(id) },
			Crash:      func(_ *testing.T, id string) { f.Crash(id) },
			StartGuest: func(_ *testing.T, id, name, mac string) { f.StartGuest(id, name, mac) },
			Break:      func(*testing.T) { f.LoseConnection() },
			Mend:       func(*testing.T) { f.Reconnect() },
		}
	})
}

func TestFakeInjectsFailures(t *testing.T) {
	f := hypervisor.NewFake()
	boom := errors.New("boom")
	f.FailNext("DeleteVolume", boom)
	if err := f.DeleteVolume(t.Context(), "v"); !errors.Is(err, boom) {
		t.Fatalf("first call: %v", err)
	}
	if err := f.DeleteVolume(t.Context(), "v"); err != nil {
		t.Fatalf("second call: %v", err)
	}
	if f.Calls("DeleteVolume") != 2 {
		t.Fatalf("%d calls", f.Calls("DeleteVolume"))
	}
	f.LoseConnection()
	if _, err := f.ListDomains(t.Context()); !hypervisor.IsUnreachable(err) {
		t.Fatalf("lost: %v", err)
	}
	f.Reconnect()
	if _, err := f.ListDomains(t.Context()); err != nil {
		t.Fatalf("reconnected: %v", err)
	}
}

func TestFakeDump(t *testing.T) {
	f := hypervisor.NewFake()
	if err := f.EnsureVolume(t.Context(), "kernel", 6, hypervisortest.Opener([]byte("kernel"))); err != nil {
		t.Fatal(err)
	}
	d := hypervisor.Domain{UUID: uuid.NewString(), Name: "vr-1", VCPUs: 1, MemoryMiB: 64,
		Boot: hypervisor.Boot{Direct: &hypervisor.DirectBoot{Kernel: "kernel"}},
		Nics: []hypervisor.Nic{{MAC: "fa:16:3e:00:00:01", Bridge: "br0"}}}
	for range 2 {
		if err := f.EnsureDomain(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if f.Boots(d.UUID) != 1 {
		t.Fatalf("booted %d times, want 1", f.Boots(d.UUID))
	}
	f.Crash(d.UUID)
	want := "domain vr-1 " + d.UUID + " Crashed(crashed) owned=true macs=fa:16:3e:00:00:01 volumes=kernel\nvolume kernel 6\n"
	if got := f.Dump(); got != want {
		t.Fatalf("dump is\n%swant\n%s", got, want)
	}
	f.WriteConsole(d.UUID, "Kernel panic")
	if tail, err := f.ConsoleTail(t.Context(), d.UUID, 5); err != nil || !strings.HasSuffix("Kernel panic", string(tail)) || len(tail) != 5 {
		t.Fatalf("tail is %q, %v", tail, err)
	}
}
