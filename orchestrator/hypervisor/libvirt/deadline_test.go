package libvirt_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/hypervisortest"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/libvirt"
)

// silent accepts connections and never says a word.
func silent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range held {
					c.Close()
				}
				return
			}
			held = append(held, c)
		}
	}()
	return path
}

func TestSilentSocketHitsDeadline(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("net.(*UnixListener).Accept"))
	path := silent(t)
	h, err := libvirt.New(libvirt.Config{URI: "qemu:///system?socket=" + path, Host: "kvm-7", VirtType: "qemu",
		CallTimeout: 200 * time.Millisecond, StreamTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	calls := map[string]func(context.Context) error{
		"list":   func(ctx context.Context) error { _, err := h.ListDomains(ctx); return err },
		"info":   func(ctx context.Context) error { _, err := h.Info(ctx); return err },
		"delete": func(ctx context.Context) error { return h.DeleteVolume(ctx, "v") },
		"upload": func(ctx context.Context) error {
			return h.EnsureVolume(ctx, "v", 1, hypervisortest.Opener([]byte("x")))
		},
	}
	for name, call := range calls {
		began := time.Now()
		err := call(t.Context())
		if !hypervisor.IsUnreachable(err) {
			t.Fatalf("%s: %v, want unreachable", name, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
		for _, word := range []string{"kvm-7", path, "check that libvirtd runs"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is missing in: %v", name, word, err)
			}
		}
	}
}

func TestCallerNeedNotWaitForDeadline(t *testing.T) {
	h, err := libvirt.New(libvirt.Config{URI: "qemu:///system?socket=" + silent(t), VirtType: "qemu", CallTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := h.ListDomains(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
}

func TestSilentSocketIsTold(t *testing.T) {
	h, err := libvirt.New(libvirt.Config{URI: "qemu:///system?socket=" + silent(t), CallTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithCancel(t.Context())
	events, err := h.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Kind != hypervisor.EventLost || e.Reason == "" {
		t.Fatalf("event is %+v, want lost", e)
	}
	cancel()
	for range events {
	}
}

func TestNoSocket(t *testing.T) {
	_, err := libvirt.Open(t.Context(), libvirt.Config{URI: "qemu:///system?socket=/nowhere/libvirt-sock", Host: "kvm-7"})
	if !hypervisor.IsUnreachable(err) || !strings.Contains(err.Error(), "kvm-7") {
		t.Fatalf("error is %v", err)
	}
}

func TestRefusedURIs(t *testing.T) {
	for _, uri := range []string{"qemu+ssh://kvm-7/system", "xen:///system", "://"} {
		if _, err := libvirt.New(libvirt.Config{URI: uri}); !hypervisor.IsInvalid(err) {
			t.Errorf("%s: %v, want invalid", uri, err)
		}
	}
	if _, err := libvirt.New(libvirt.Config{VirtType: "xen"}); !hypervisor.IsInvalid(err) {
		t.Errorf("virt type: %v, want invalid", err)
	}
}
