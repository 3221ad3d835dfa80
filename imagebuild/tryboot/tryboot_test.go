package tryboot

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFindLine(t *testing.T) {
	text := "noise\nBooting\x1b[2Jinit: ready up=1\r\ninit: ready up=2\nhalf a li"
	if got, ok := findLine(text, "init: ready"); !ok || got != "init: ready up=1" {
		t.Errorf("got %q, %v", got, ok)
	}
	if _, ok := findLine(text, "half"); ok {
		t.Error("took a line that is not complete")
	}
}

func TestArgs(t *testing.T) {
	a := Machine{Kernel: "k", Initrd: "i", Cmdline: "c d", Config: "x.iso"}.args("s", "m")
	line := strings.Join(a, " ")
	for _, want := range []string{"-accel tcg", "-m 192", "-smp 1", "-append c d", "file=x.iso,if=virtio,format=raw,readonly=on", "-no-reboot"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s lacks %q", line, want)
		}
	}
	if slices.Contains((Machine{Disk: "d"}).args("s", "m"), "-kernel") {
		t.Error("a disk boot names a kernel")
	}
}

// TestUntilEnds boots a machine with nothing to boot: ctx ends it, and QEMU
// does not outlive the call.
func TestUntilEnds(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs qemu-system-x86")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := Until(ctx, Machine{}, "never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := Until(t.Context(), Machine{Disk: "/nonexistent.qcow2"}, "never"); err == nil || !strings.Contains(err.Error(), "qemu ended") {
		t.Errorf("missing disk: got %v", err)
	}
}
