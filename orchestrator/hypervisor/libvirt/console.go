package libvirt

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// consoleSuffix marks console logs in the pool; virtlogd appends .0, .1 and so on
// to those it has rotated (at 2 MiB, three are kept).
const consoleSuffix = ".console.log"

func consoleVolume(domainUUID string) string { return domainUUID + consoleSuffix }

// ConsoleTail implements hypervisor.Domains. The log is read as a volume of the
// pool, so that it needs no access to the host's files.
func (h *Host) ConsoleTail(ctx context.Context, id string, max int) ([]byte, error) {
	if max < 1 {
		return nil, fmt.Errorf("%w console length %d", hypervisor.ErrInvalid, max)
	}
	if _, err := h.findOurs(ctx, id); err != nil {
		return nil, err
	}
	pool, err := h.storagePool(ctx)
	if err != nil {
		return nil, err
	}
	// virtlogd made the file behind libvirt's back.
	vols, err := h.refreshed(ctx, pool)
	if err != nil {
		return nil, err
	}
	for _, vol := range vols {
		if vol.Name == consoleVolume(id) {
			return h.tail(ctx, pool, vol, int64(max))
		}
	}
	return nil, nil
}

func (h *Host) tail(ctx context.Context, pool golibvirt.StoragePool, vol golibvirt.StorageVol, max int64) ([]byte, error) {
	size, err := h.volumeSize(ctx, pool, vol.Name)
	if err != nil || size == 0 {
		return nil, err
	}
	length := min(size, max)
	var out bytes.Buffer
	err = h.withStream(ctx, "read console log", func(w *wire) error {
		if err := w.startStream(procVolDownload, vol, uint64(size-length), uint64(length)); err != nil {
			return err
		}
		return w.download(&out)
	})
	return out.Bytes(), err
}

func (h *Host) refreshed(ctx context.Context, pool golibvirt.StoragePool) ([]golibvirt.StorageVol, error) {
	return ask(ctx, h.calls, "refresh storage pool", func(lv *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
		if err := lv.StoragePoolRefresh(pool, 0); err != nil {
			return nil, err
		}
		vols, _, err := lv.StoragePoolListAllVolumes(pool, 1, 0)
		return vols, err
	})
}

func (h *Host) deleteConsole(ctx context.Context, id string) error {
	pool, err := h.storagePool(ctx)
	if err != nil {
		return err
	}
	vols, err := h.refreshed(ctx, pool)
	if err != nil {
		return err
	}
	for _, vol := range vols {
		if strings.HasPrefix(vol.Name, consoleVolume(id)) {
			if err := h.deleteVolume(ctx, pool, vol.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
