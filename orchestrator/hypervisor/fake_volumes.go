package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// EnsureVolume implements Volumes.
func (f *Fake) EnsureVolume(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error {
	if err := CheckVolumeName(name); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.enter(ctx, "EnsureVolume"); err != nil {
		return err
	}
	if have, ok := f.volumes[name]; ok && int64(len(have)) == size {
		return nil
	}
	delete(f.volumes, name)
	content, err := open()
	if err != nil {
		return fmt.Errorf("upload volume %s: %w", name, err)
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, size+1))
	if err == nil && int64(len(data)) != size {
		err = fmt.Errorf("content is not the %d bytes announced", size)
	}
	if err != nil {
		return fmt.Errorf("upload volume %s: %w", name, err)
	}
	f.volumes[name] = data
	return nil
}

// EnsureOverlay implements Volumes.
func (f *Fake) EnsureOverlay(ctx context.Context, name, backing string) error {
	if err := errors.Join(CheckVolumeName(name), CheckVolumeName(backing)); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.enter(ctx, "EnsureOverlay"); err != nil {
		return err
	}
	if _, ok := f.volumes[name]; ok {
		return nil
	}
	if _, ok := f.volumes[backing]; !ok {
		return fmt.Errorf("create volume %s: backing volume %s: %w", name, backing, ErrNotFound)
	}
	f.volumes[name] = []byte("overlay of " + backing)
	return nil
}

// DeleteVolume implements Volumes.
func (f *Fake) DeleteVolume(ctx context.Context, name string) error {
	if err := CheckVolumeName(name); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.enter(ctx, "DeleteVolume"); err != nil {
		return err
	}
	delete(f.volumes, name)
	return nil
}

// ListVolumes implements Volumes.
func (f *Fake) ListVolumes(ctx context.Context) ([]Volume, error) {
	defer f.mu.Unlock()
	if err := f.enter(ctx, "ListVolumes"); err != nil {
		return nil, err
	}
	list := []Volume{}
	for _, name := range slices.Sorted(maps.Keys(f.volumes)) {
		list = append(list, Volume{Name: name, Size: int64(len(f.volumes[name]))})
	}
	return list, nil
}
