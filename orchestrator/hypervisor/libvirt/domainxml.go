package libvirt

import (
	"fmt"
	"path"
	"strings"
	"unicode"

	"libvirt.org/go/libvirtxml"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Slots on the root bus. Nics come first and in order, for the guest names its
// interfaces by bus order. Slot 0 is the host bridge, 1 is left to libvirt's own
// controllers, 31 is the chipset's.
const (
	firstNicSlot = 2
	diskSlot     = firstNicSlot + hypervisor.MaxNics
	configSlot   = diskSlot + 1
	rngSlot      = configSlot + 1
)

// env is what the host adds to a Domain.
type env struct {
	VirtType string // kvm or qemu
	PoolPath string // directory of the volumes
	Instance string
}

// DomainXML describes d to libvirt. It is pure: the same arguments give the same
// bytes, on which EnsureDomain relies to see whether a domain still matches.
// poolPath is the directory of the volumes, virtType kvm or qemu.
func DomainXML(d hypervisor.Domain, virtType, poolPath, instance string) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("describe domain %q: %w", d.Name, err)
	}
	e := env{VirtType: virtType, PoolPath: poolPath, Instance: instance}
	// The mark holds the hash of the description without the mark.
	bare, err := domain(d, e).Marshal()
	if err != nil {
		return "", fmt.Errorf("describe domain %q: %w", d.Name, err)
	}
	marked := domain(d, e)
	if marked.Metadata, err = newMark(instance, bare).metadata(); err != nil {
		return "", fmt.Errorf("describe domain %q: %w", d.Name, err)
	}
	return marked.Marshal()
}

func domain(d hypervisor.Domain, e env) *libvirtxml.Domain {
	return &libvirtxml.Domain{
		Type:     e.VirtType,
		UUID:     d.UUID,
		Name:     d.Name,
		Title:    cleanTitle(d.Title),
		Memory:   &libvirtxml.DomainMemory{Unit: "MiB", Value: uint(d.MemoryMiB)},
		VCPU:     &libvirtxml.DomainVCPU{Placement: "static", Value: uint(d.VCPUs)},
		OS:       bootOS(d.Boot, e),
		Features: features(e),
		CPU:      cpu(e),
		Clock:    clock(),
		// A router holds nothing that a reboot would keep, so its end is always an
		// end: the orchestrator rebuilds it from the store.
		OnPoweroff: "destroy",
		OnReboot:   "destroy",
		OnCrash:    "destroy",
		Devices:    devices(d, e),
	}
}

func bootOS(b hypervisor.Boot, e env) *libvirtxml.DomainOS {
	os := &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"}}
	if b.Direct == nil {
		return os
	}
	os.Kernel = path.Join(e.PoolPath, b.Direct.Kernel)
	os.Cmdline = b.Direct.Cmdline
	if b.Direct.Initrd != "" {
		os.Initrd = path.Join(e.PoolPath, b.Direct.Initrd)
	}
	return os
}

func features(e env) *libvirtxml.DomainFeatureList {
	off := &libvirtxml.DomainFeatureState{State: "off"}
	f := &libvirtxml.DomainFeatureList{
		ACPI: &libvirtxml.DomainFeature{},
		APIC: &libvirtxml.DomainFeatureAPIC{},
		// SMM and the VMware port are of no use to Linux booted this way.
		SMM:    &libvirtxml.DomainFeatureSMM{State: "off"},
		VMPort: off,
	}
	if e.VirtType == VirtQEMU {
		// QEMU keeps up to 1 GiB of translated code per guest otherwise; a boot is
		// as fast with 32 MiB.
		f.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: 64}}
	}
	return f
}

func cpu(e env) *libvirtxml.DomainCPU {
	if e.VirtType == VirtKVM {
		return &libvirtxml.DomainCPU{Mode: "host-passthrough", Check: "none", Migratable: "on"}
	}
	return &libvirtxml.DomainCPU{Mode: "maximum", Check: "none"}
}

func clock() *libvirtxml.DomainClock {
	return &libvirtxml.DomainClock{Offset: "utc", Timer: []libvirtxml.DomainTimer{{Name: "hpet", Present: "no"}}}
}

func devices(d hypervisor.Domain, e env) *libvirtxml.DomainDeviceList {
	list := &libvirtxml.DomainDeviceList{
		Controllers: []libvirtxml.DomainController{{Type: "usb", Model: "none"}},
		Serials:     []libvirtxml.DomainSerial{serial(d, e)},
		MemBalloon:  &libvirtxml.DomainMemBalloon{Model: "none"},
		RNGs: []libvirtxml.DomainRNG{{
			Model:   virtioModel,
			Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
			Address: slot(rngSlot),
		}},
	}
	if d.Boot.Disk != "" {
		list.Disks = append(list.Disks, disk(path.Join(e.PoolPath, d.Boot.Disk), "qcow2", "vda", diskSlot))
		list.Disks[0].Boot = &libvirtxml.DomainDeviceBoot{Order: 1}
	}
	if d.ConfigVolume != "" {
		config := disk(path.Join(e.PoolPath, d.ConfigVolume), "raw", "vdb", configSlot)
		config.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
		list.Disks = append(list.Disks, config)
	}
	for i, nic := range d.Nics {
		list.Interfaces = append(list.Interfaces, nicXML(nic, uint(firstNicSlot+i), e))
	}
	return list
}

// virtioModel is the modern interface alone: on the root bus QEMU would offer the
// legacy one too, which takes I/O ports and probing time.
const virtioModel = "virtio-non-transitional"

func serial(d hypervisor.Domain, e env) libvirtxml.DomainSerial {
	port := uint(0)
	return libvirtxml.DomainSerial{
		Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
		// In the pool, where it can be read through libvirt from anywhere.
		Log:    &libvirtxml.DomainChardevLog{File: path.Join(e.PoolPath, consoleVolume(d.UUID)), Append: "off"},
		Target: &libvirtxml.DomainSerialTarget{Type: "isa-serial", Port: &port},
	}
}

func disk(file, format, dev string, pciSlot uint) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device:  "disk",
		Model:   virtioModel,
		Driver:  &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format},
		Source:  &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}},
		Target:  &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "virtio"},
		Address: slot(pciSlot),
	}
}

func nicXML(nic hypervisor.Nic, pciSlot uint, e env) libvirtxml.DomainInterface {
	x := libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: nic.MAC},
		Source: &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: nic.Bridge}},
		Model:  &libvirtxml.DomainInterfaceModel{Type: virtioModel},
		// The network boot ROM of each card costs firmware time at every start.
		ROM:     &libvirtxml.DomainROM{Enabled: "no"},
		Address: slot(pciSlot),
	}
	if e.VirtType == VirtQEMU {
		// vhost serves KVM guests; under emulation it needs a module many
		// machines lack and gains nothing.
		x.Driver = &libvirtxml.DomainInterfaceDriver{Name: "qemu"}
	}
	if nic.MTU != 0 {
		x.MTU = &libvirtxml.DomainInterfaceMTU{Size: uint(nic.MTU)}
	}
	return x
}

// slot places a device on the root bus itself. A root port for each, which is
// libvirt's habit, cost a boot under emulation 1 s of 1.9 s more with two of them.
// The price is that nothing can be plugged into a running router.
func slot(number uint) *libvirtxml.DomainAddress {
	var zero uint
	return &libvirtxml.DomainAddress{PCI: &libvirtxml.DomainAddressPCI{Domain: &zero, Bus: &zero, Slot: &number, Function: &zero}}
}

// cleanTitle makes any text a title: libvirt refuses line breaks, XML 1.0 has no
// control characters at all.
func cleanTitle(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > 255 {
		s = string(runes[:255])
	}
	return strings.TrimSpace(s)
}
