package libvirt

import (
	"context"
	"fmt"
	"sync"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// poolRef remembers where the pool's directory is. Whether the pool is there and
// active is asked each time: that is two small calls, and people do stop pools.
type poolRef struct {
	mu   sync.Mutex
	path string
}

// storagePool returns the active pool of this instance, made if missing.
func (h *Host) storagePool(ctx context.Context) (golibvirt.StoragePool, error) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	pool, err := h.findPool(ctx)
	if hypervisor.IsNotFound(err) {
		if pool, err = h.definePool(ctx); err != nil {
			// Another orchestrator may have defined it in between, under the UUID
			// that libvirt gave it: then libvirt refuses ours.
			if found, missing := h.findPool(ctx); missing == nil {
				pool, err = found, nil
			}
		}
	}
	if err != nil {
		return pool, err
	}
	return pool, h.activatePool(ctx, pool)
}

func (h *Host) findPool(ctx context.Context) (golibvirt.StoragePool, error) {
	return ask(ctx, h.calls, "find storage pool "+h.config.Instance, func(lv *golibvirt.Libvirt) (golibvirt.StoragePool, error) {
		return lv.StoragePoolLookupByName(h.config.Instance)
	})
}

func (h *Host) definePool(ctx context.Context) (golibvirt.StoragePool, error) {
	description, err := (&libvirtxml.StoragePool{
		Type: "dir",
		Name: h.config.Instance,
		// QEMU, an own user, must pass through; nobody may list.
		Target: &libvirtxml.StoragePoolTarget{
			Path:        h.config.PoolPath,
			Permissions: &libvirtxml.StoragePoolTargetPermissions{Mode: "0711"},
		},
	}).Marshal()
	if err != nil {
		return golibvirt.StoragePool{}, fmt.Errorf("describe storage pool: %w", err)
	}
	return ask(ctx, h.calls, "define storage pool "+h.config.Instance, func(lv *golibvirt.Libvirt) (golibvirt.StoragePool, error) {
		pool, err := lv.StoragePoolDefineXML(description, 0)
		if err != nil {
			return pool, err
		}
		if err := lv.StoragePoolBuild(pool, 0); err != nil {
			return pool, err
		}
		return pool, lv.StoragePoolSetAutostart(pool, 1)
	})
}

func (h *Host) activatePool(ctx context.Context, pool golibvirt.StoragePool) error {
	path, err := ask(ctx, h.calls, "start storage pool "+pool.Name, func(lv *golibvirt.Libvirt) (string, error) {
		active, err := lv.StoragePoolIsActive(pool)
		if err == nil && active == 0 {
			err = ignore(lv.StoragePoolCreate(pool, 0), golibvirt.ErrOperationInvalid) // another one did
		}
		if err != nil || h.pool.path != "" {
			return h.pool.path, err
		}
		description, err := lv.StoragePoolGetXMLDesc(pool, 0)
		if err != nil {
			return "", err
		}
		var p libvirtxml.StoragePool
		if err := p.Unmarshal(description); err != nil || p.Target == nil {
			return "", fmt.Errorf("pool %s has no directory: %w", pool.Name, err)
		}
		return p.Target.Path, nil
	})
	if err == nil {
		h.pool.path = path
	}
	return err
}

// poolPath is the directory of the volumes.
func (h *Host) poolPath(ctx context.Context) (string, error) {
	if _, err := h.storagePool(ctx); err != nil {
		return "", err
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	return h.pool.path, nil
}

// Storage is the directory of the instance's pool and what is free there, in
// bytes. The pool is made if it is missing.
func (h *Host) Storage(ctx context.Context) (path string, free int64, err error) {
	pool, err := h.storagePool(ctx)
	if err != nil {
		return "", 0, err
	}
	free, err = ask(ctx, h.calls, "measure storage pool "+pool.Name, func(lv *golibvirt.Libvirt) (int64, error) {
		if err := lv.StoragePoolRefresh(pool, 0); err != nil {
			return 0, err
		}
		_, _, _, available, err := lv.StoragePoolGetInfo(pool)
		return int64(available), err
	})
	if err != nil {
		return "", 0, err
	}
	path, err = h.poolPath(ctx)
	return path, free, err
}
