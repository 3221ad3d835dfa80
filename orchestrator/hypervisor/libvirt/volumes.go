package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// errContent marks failures of the content, which are the caller's.
var errContent = errors.New("read content")

// EnsureVolume implements hypervisor.Volumes. The volume is made with no bytes and
// grows as they arrive, in order: whatever is cut short is too small, and that is
// how a half upload is known, without a second file to say so.
func (h *Host) EnsureVolume(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error {
	if err := hypervisor.CheckVolumeName(name); err != nil {
		return err
	}
	defer h.volumeLocks.lock(name)()
	pool, err := h.storagePool(ctx)
	if err != nil {
		return err
	}
	switch have, err := h.volumeSize(ctx, pool, name); {
	case hypervisor.IsNotFound(err):
	case err != nil:
		return err
	case have == size:
		return nil
	default:
		if err := h.deleteVolume(ctx, pool, name); err != nil {
			return err
		}
	}
	if err := h.upload(ctx, pool, name, size, open); err != nil {
		// Only tidiness: a remainder would be replaced by the next attempt.
		return errors.Join(err, h.deleteVolume(context.WithoutCancel(ctx), pool, name))
	}
	return nil
}

func (h *Host) upload(ctx context.Context, pool golibvirt.StoragePool, name string, size int64, open func() (io.ReadCloser, error)) error {
	content, err := open()
	if err != nil {
		return fmt.Errorf("upload volume %s: %w: %w", name, errContent, err)
	}
	defer content.Close()
	vol, err := h.createVolume(ctx, pool, &libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: 0},
		Target:   &libvirtxml.StorageVolumeTarget{Format: format("raw"), Permissions: private},
	})
	if err != nil {
		return err
	}
	err = h.withStream(ctx, "upload volume "+name, func(w *wire) error {
		if err := w.startStream(procVolUpload, vol, 0, uint64(size)); err != nil {
			return err
		}
		return w.upload(&exactReader{from: content, left: size})
	})
	if err != nil {
		return err
	}
	// Another orchestrator may have replaced the file while it was written.
	if have, err := h.volumeSize(ctx, pool, name); err != nil || have != size {
		return errors.Join(fmt.Errorf("upload volume %s: %d bytes arrived of %d", name, have, size), err)
	}
	return nil
}

// EnsureOverlay implements hypervisor.Volumes.
func (h *Host) EnsureOverlay(ctx context.Context, name, backing string) error {
	if err := errors.Join(hypervisor.CheckVolumeName(name), hypervisor.CheckVolumeName(backing)); err != nil {
		return err
	}
	defer h.volumeLocks.lock(name)()
	pool, err := h.storagePool(ctx)
	if err != nil {
		return err
	}
	if _, err := h.volumeSize(ctx, pool, name); !hypervisor.IsNotFound(err) {
		return err
	}
	capacity, err := h.virtualSize(ctx, pool, backing)
	if err != nil {
		return err
	}
	poolPath, err := h.poolPath(ctx)
	if err != nil {
		return err
	}
	_, err = h.createVolume(ctx, pool, &libvirtxml.StorageVolume{
		Name:         name,
		Capacity:     &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: capacity},
		Target:       &libvirtxml.StorageVolumeTarget{Format: format("qcow2"), Permissions: private},
		BackingStore: &libvirtxml.StorageVolumeBackingStore{Path: path.Join(poolPath, backing), Format: format("qcow2")},
	})
	return err
}

// DeleteVolume implements hypervisor.Volumes.
func (h *Host) DeleteVolume(ctx context.Context, name string) error {
	if err := hypervisor.CheckVolumeName(name); err != nil {
		return err
	}
	defer h.volumeLocks.lock(name)()
	pool, err := h.storagePool(ctx)
	if err != nil {
		return err
	}
	return h.deleteVolume(ctx, pool, name)
}

// ListVolumes implements hypervisor.Volumes.
func (h *Host) ListVolumes(ctx context.Context) ([]hypervisor.Volume, error) {
	pool, err := h.storagePool(ctx)
	if err != nil {
		return nil, err
	}
	found, err := ask(ctx, h.calls, "list volumes", func(lv *golibvirt.Libvirt) ([]golibvirt.StorageVol, error) {
		vols, _, err := lv.StoragePoolListAllVolumes(pool, 1, 0)
		return vols, err
	})
	if err != nil {
		return nil, err
	}
	var volumes []hypervisor.Volume
	for _, vol := range found {
		if strings.Contains(vol.Name, consoleSuffix) {
			continue
		}
		size, err := h.volumeSize(ctx, pool, vol.Name)
		if hypervisor.IsNotFound(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		volumes = append(volumes, hypervisor.Volume{Name: vol.Name, Size: size})
	}
	slices.SortFunc(volumes, func(a, b hypervisor.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return volumes, nil
}

func (h *Host) createVolume(ctx context.Context, pool golibvirt.StoragePool, v *libvirtxml.StorageVolume) (golibvirt.StorageVol, error) {
	description, err := v.Marshal()
	if err != nil {
		return golibvirt.StorageVol{}, fmt.Errorf("describe volume %s: %w", v.Name, err)
	}
	return ask(ctx, h.calls, "create volume "+v.Name, func(lv *golibvirt.Libvirt) (golibvirt.StorageVol, error) {
		return lv.StorageVolCreateXML(pool, description, 0)
	})
}

// volumeSize is the length of the file. The capacity would be that of the disk
// inside, once libvirt has looked at a qcow2 image.
func (h *Host) volumeSize(ctx context.Context, pool golibvirt.StoragePool, name string) (int64, error) {
	return ask(ctx, h.calls, "find volume "+name, func(lv *golibvirt.Libvirt) (int64, error) {
		vol, err := lv.StorageVolLookupByName(pool, name)
		if err != nil {
			return 0, err
		}
		_, _, physical, err := lv.StorageVolGetInfoFlags(vol, uint32(golibvirt.StorageVolGetPhysical))
		return int64(physical), err
	})
}

// virtualSize is the size of the disk inside a volume. Libvirt knows it only after
// it looked into the file, which a refresh makes it do.
func (h *Host) virtualSize(ctx context.Context, pool golibvirt.StoragePool, name string) (uint64, error) {
	return ask(ctx, h.calls, "inspect volume "+name, func(lv *golibvirt.Libvirt) (uint64, error) {
		if err := lv.StoragePoolRefresh(pool, 0); err != nil {
			return 0, err
		}
		vol, err := lv.StorageVolLookupByName(pool, name)
		if err != nil {
			return 0, err
		}
		_, capacity, _, err := lv.StorageVolGetInfo(vol)
		return capacity, err
	})
}

func (h *Host) deleteVolume(ctx context.Context, pool golibvirt.StoragePool, name string) error {
	err := h.calls.call(ctx, "delete volume "+name, func(lv *golibvirt.Libvirt) error {
		vol, err := lv.StorageVolLookupByName(pool, name)
		if err != nil {
			return err
		}
		return lv.StorageVolDelete(vol, 0)
	})
	if hypervisor.IsNotFound(err) {
		return nil
	}
	return err
}

// private: config volumes hold credentials. Libvirt gives a file to the QEMU user
// while a domain uses it.
var private = &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"}

func format(name string) *libvirtxml.StorageVolumeTargetFormat {
	return &libvirtxml.StorageVolumeTargetFormat{Type: name}
}

// exactReader fails when there are fewer or more bytes than promised.
type exactReader struct {
	from io.Reader
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.left -= int64(n)
	switch {
	case r.left < 0:
		return 0, fmt.Errorf("%w: %d bytes more than announced", errContent, -r.left)
	case err == io.EOF && r.left > 0:
		return 0, fmt.Errorf("%w: %d bytes less than announced", errContent, r.left)
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("%w: %w", errContent, err)
	}
	return n, err
}
