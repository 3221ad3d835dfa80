package libvirt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// probeTime is how long a guest may take to say two letters. Firmware and a boot
// sector need 0.3 s in KVM.
const probeTime = 5 * time.Second

// virtChoice is made once a host.
type virtChoice struct {
	mu          sync.Mutex
	chosen, why string
}

// virtType is kvm or qemu, and why. For auto it runs a guest: /dev/kvm may exist, open and
// answer every probe of QEMU while guests hang in it, as nested virtualization
// does on some machines.
func (h *Host) virtType(ctx context.Context) (chosen, why string, err error) {
	if h.config.VirtType != VirtAuto {
		return h.config.VirtType, "it was asked for", nil
	}
	h.virt.mu.Lock()
	defer h.virt.mu.Unlock()
	if h.virt.chosen != "" {
		return h.virt.chosen, h.virt.why, nil
	}
	offered, err := h.virtTypes(ctx)
	if err != nil {
		return "", "", err
	}
	chosen, why = VirtQEMU, "libvirt does not offer kvm"
	if slices.Contains(offered, VirtKVM) {
		runs, reason, err := h.probe(ctx, VirtKVM)
		if err != nil {
			return "", "", err
		}
		if why = reason; runs {
			chosen = VirtKVM
		}
	}
	h.config.Log.Info("virtualization type chosen", "host", h.target.host, "virtType", chosen, "reason", why)
	h.virt.chosen, h.virt.why = chosen, why
	return chosen, why, nil
}

// bootDisk holds a boot sector that writes "S" to the first serial port, works a
// while, writes "K" and halts. The work, 16 million steps that only read, takes
// 0.1 s in a sound guest, also under emulation, and 16 s in one of those nested
// machines where each step is trapped: there a kernel starts, and seems to hang.
// SeaBIOS skips a disk of less than a cylinder (504 KiB).
func bootDisk() []byte {
	disk := make([]byte, 1<<20)
	copy(disk, []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, 'S', 0xee, // mov al, 'S'; out dx, al
		0xbb, 0x00, 0x01, // mov bx, 256
		0xb9, 0xff, 0xff, // again: mov cx, 65535
		0xf3, 0xac, // rep lodsb
		0x4b, 0x75, 0xf8, // dec bx; jnz again
		0xb0, 'K', 0xee, // mov al, 'K'; out dx, al
		0xfa, 0xf4, 0xeb, 0xfd, // cli; hlt; jmp hlt
	})
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

const probeVolume = "probe-boot-disk-2.img"

// probe says whether a guest of virtType runs, and why not. An error means that
// it could not be found out.
func (h *Host) probe(ctx context.Context, virtType string) (runs bool, why string, err error) {
	image := bootDisk()
	err = h.EnsureVolume(ctx, probeVolume, int64(len(image)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(image)), nil
	})
	if err != nil {
		return false, "", fmt.Errorf("probe %s: %w", virtType, err)
	}
	poolPath, err := h.poolPath(ctx)
	if err != nil {
		return false, "", err
	}
	id := uuid.New()
	description, err := probeXML(id.String(), env{VirtType: virtType, PoolPath: poolPath, Instance: h.config.Instance})
	if err != nil {
		return false, "", err
	}
	defer h.removeProbe(context.WithoutCancel(ctx), id)
	err = h.calls.callWithin(ctx, "probe "+virtType, max(startTimeout, h.config.CallTimeout), func(lv *golibvirt.Libvirt) error {
		_, err := lv.DomainCreateXML(description, golibvirt.DomainNone)
		return err
	})
	switch {
	case hypervisor.IsUnreachable(err) || ctx.Err() != nil:
		return false, "", err
	case err != nil:
		return false, err.Error(), nil
	}
	return h.awaitWord(ctx, id.String())
}

// probeXML is a router's domain without nics, so that the probe says something
// about routers. It is not marked as ours: it is none.
func probeXML(id string, e env) (string, error) {
	d := domain(hypervisor.Domain{
		UUID: id, Name: e.Instance + "-probe-" + id, VCPUs: 1, MemoryMiB: 32,
		Boot: hypervisor.Boot{Disk: probeVolume},
	}, e)
	probe := &d.Devices.Disks[0]
	probe.Driver.Type = "raw"
	return d.Marshal()
}

func (h *Host) awaitWord(ctx context.Context, id string) (bool, string, error) {
	pool, err := h.storagePool(ctx)
	if err != nil {
		return false, "", err
	}
	for deadline := time.Now().Add(probeTime); time.Now().Before(deadline); {
		vols, err := h.refreshed(ctx, pool)
		if err != nil {
			return false, "", err
		}
		for _, vol := range vols {
			if vol.Name != consoleVolume(id) {
				continue
			}
			said, err := h.tail(ctx, pool, vol, 64)
			if err != nil {
				return false, "", err
			}
			if bytes.Contains(said, []byte("SK")) {
				return true, "a guest ran", nil
			}
		}
		select {
		case <-ctx.Done():
			return false, "", ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false, fmt.Sprintf("a guest did not get through its boot sector in %v", probeTime), nil
}

func (h *Host) removeProbe(ctx context.Context, id uuid.UUID) {
	if err := h.stop(ctx, golibvirt.Domain{UUID: golibvirt.UUID(id), Name: "probe"}); err != nil {
		h.config.Log.Warn("probe guest left behind", "domain", id, "err", err)
	}
	if err := h.deleteConsole(ctx, id.String()); err != nil {
		h.config.Log.Warn("probe console log left behind", "domain", id, "err", err)
	}
	if err := h.DeleteVolume(ctx, probeVolume); err != nil {
		h.config.Log.Warn("probe volume left behind", "volume", probeVolume, "err", err)
	}
}
