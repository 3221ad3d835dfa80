package hypervisortest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

func (h *Host) wantVolumes(t *testing.T, want ...hypervisor.Volume) {
	t.Helper()
	got, err := h.ListVolumes(t.Context())
	if err != nil {
		t.Fatalf("ListVolumes: %v", err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("volumes are %v, want %v", got, want)
	}
}

func testVolumeIsIdempotent(t *testing.T, h *Host) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // several packets
	h.put(t, "image-1", content)
	opened := 0
	err := h.EnsureVolume(t.Context(), "image-1", int64(len(content)), func() (io.ReadCloser, error) {
		opened++
		return Opener(content)()
	})
	if err != nil || opened != 0 {
		t.Fatalf("second EnsureVolume: %v, opened %d times, want 0", err, opened)
	}
	h.wantVolumes(t, hypervisor.Volume{Name: "image-1", Size: int64(len(content))})
}

func testVolumeOfOtherSizeIsReplaced(t *testing.T, h *Host) {
	h.put(t, "image-1", bytes.Repeat([]byte("x"), 5000))
	h.put(t, "image-1", bytes.Repeat([]byte("y"), 3000))
	h.wantVolumes(t, hypervisor.Volume{Name: "image-1", Size: 3000})
}

func testVolumeOfWrongContent(t *testing.T, h *Host) {
	broken := io.MultiReader(bytes.NewReader(make([]byte, 300_000)), iotest.ErrReader(errBroken))
	contents := map[string]io.Reader{
		"too short": bytes.NewReader(make([]byte, 999)),
		"too long":  bytes.NewReader(make([]byte, 400_001)),
		"broken":    broken,
	}
	for name, content := range contents {
		size := int64(400_000)
		if name == "too short" {
			size = 1000
		}
		err := h.EnsureVolume(t.Context(), "image-1", size, func() (io.ReadCloser, error) { return io.NopCloser(content), nil })
		if err == nil || hypervisor.IsUnreachable(err) {
			t.Fatalf("%s content: error is %v, want one about the content", name, err)
		}
		if name == "broken" && !errors.Is(err, errBroken) {
			t.Fatalf("the cause is lost: %v", err)
		}
		h.wantVolumes(t)
	}
	err := h.EnsureVolume(t.Context(), "image-1", 1, func() (io.ReadCloser, error) { return nil, errBroken })
	if !errors.Is(err, errBroken) {
		t.Fatalf("open failed, EnsureVolume says %v", err)
	}
	h.wantVolumes(t)
}

func testVolumeDelete(t *testing.T, h *Host) {
	h.put(t, "b", []byte("b"))
	h.put(t, "a", []byte("aa"))
	h.wantVolumes(t, hypervisor.Volume{Name: "a", Size: 2}, hypervisor.Volume{Name: "b", Size: 1})
	for range 2 {
		if err := h.DeleteVolume(t.Context(), "a"); err != nil {
			t.Fatalf("DeleteVolume: %v", err)
		}
	}
	h.wantVolumes(t, hypervisor.Volume{Name: "b", Size: 1})
}

func testVolumeNames(t *testing.T, h *Host) {
	for _, name := range []string{"", "../etc", "a/b", ".hidden", "-x", "a b", "a\n", "<x>", "ä"} {
		if err := h.EnsureVolume(t.Context(), name, 1, Opener([]byte("x"))); !hypervisor.IsInvalid(err) {
			t.Errorf("EnsureVolume(%q): %v, want invalid", name, err)
		}
		if err := h.DeleteVolume(t.Context(), name); !hypervisor.IsInvalid(err) {
			t.Errorf("DeleteVolume(%q): %v, want invalid", name, err)
		}
	}
	h.wantVolumes(t)
}

func testOverlay(t *testing.T, h *Host) {
	if err := h.EnsureOverlay(t.Context(), "vr.qcow2", "image.qcow2"); !hypervisor.IsNotFound(err) {
		t.Fatalf("overlay of a missing volume: %v, want not found", err)
	}
	h.put(t, "image.qcow2", h.Disk)
	for range 2 {
		if err := h.EnsureOverlay(t.Context(), "vr.qcow2", "image.qcow2"); err != nil {
			t.Fatalf("EnsureOverlay: %v", err)
		}
	}
	d := h.domain(t, "vr-disk")
	d.Boot = hypervisor.Boot{Disk: "vr.qcow2"}
	h.ensure(t, d)
	h.wantState(t, d.UUID, hypervisor.Running)
}
