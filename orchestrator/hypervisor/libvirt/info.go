package libvirt

import (
	"context"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Info implements hypervisor.Observer. With VirtType auto the first call takes up
// to probeTime longer.
func (h *Host) Info(ctx context.Context) (hypervisor.HostInfo, error) {
	info, err := ask(ctx, h.calls, "describe host", func(lv *golibvirt.Libvirt) (hypervisor.HostInfo, error) {
		var info hypervisor.HostInfo
		version, err := lv.ConnectGetLibVersion()
		if err != nil {
			return info, err
		}
		info.LibvirtVersion = fmt.Sprintf("%d.%d.%d", version/1000000, version/1000%1000, version%1000)
		if info.Hostname, err = lv.ConnectGetHostname(); err != nil {
			return info, err
		}
		_, memoryKiB, cpus, _, _, _, _, _, err := lv.NodeGetInfo()
		info.CPUs, info.MemoryMiB = int(cpus), int(memoryKiB/1024)
		return info, err
	})
	if err != nil {
		return info, err
	}
	if info.VirtTypes, err = h.virtTypes(ctx); err != nil {
		return info, err
	}
	info.VirtType, info.VirtReason, err = h.virtType(ctx)
	return info, err
}

// virtTypes is what libvirt says it can run x86_64 guests with.
func (h *Host) virtTypes(ctx context.Context) ([]string, error) {
	document, err := ask(ctx, h.calls, "read capabilities", func(lv *golibvirt.Libvirt) (string, error) {
		return lv.ConnectGetCapabilities()
	})
	if err != nil {
		return nil, err
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(document); err != nil {
		return nil, fmt.Errorf("parse capabilities of host %s: %w", h.target.host, err)
	}
	var types []string
	for _, guest := range caps.Guests {
		if guest.OSType != "hvm" || guest.Arch.Name != "x86_64" {
			continue
		}
		for _, domain := range guest.Arch.Domains {
			types = append(types, domain.Type)
		}
	}
	return types, nil
}
