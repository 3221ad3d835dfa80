package doctor

import (
	"fmt"
	"maps"
	"slices"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func libvirt(f *Facts) []Finding {
	l := &f.Libvirt
	switch l.Cause {
	case "":
		if l.Error != "" {
			return fail(l.Error, "virsh -c "+l.URI+" list")
		}
		return ok(fmt.Sprintf("%s answers at %s", l.Version, l.URI))
	case CauseNone:
		return fail("libvirt has no socket here: it is not installed, or not started ("+l.Error+")",
			"apt-get install -y libvirt-daemon-system qemu-system-x86 && systemctl enable --now libvirtd")
	case CauseRefused:
		return fail("nobody listens at libvirt's socket: it has ended ("+l.Error+")", "systemctl restart libvirtd")
	case CauseDenied:
		return fail("libvirt's socket is not for this user ("+l.Error+")", "usermod -aG libvirt \"$USER\" && newgrp libvirt")
	}
	return fail("libvirt does not answer ("+l.Error+")", "systemctl restart libvirtd")
}

func virtualization(f *Facts) []Finding {
	l := &f.Libvirt
	switch {
	case l.Error != "":
		return unknown("libvirt does not answer, and it is asked to run a guest", "")
	case l.VirtError != "":
		return fail("it could not be tried whether a guest runs: "+l.VirtError, "virsh -c "+l.URI+" capabilities")
	case l.VirtType == "kvm":
		return ok("KVM: " + l.VirtReason)
	case !f.Machine.KVM:
		return warn("routers are emulated, as there is no /dev/kvm: they take seconds longer to boot, and each packet costs many times the CPU",
			"modprobe kvm_intel || modprobe kvm_amd || grep -c -E 'vmx|svm' /proc/cpuinfo")
	}
	return warn("routers are emulated, although there is a /dev/kvm ("+l.VirtReason+"): they take seconds longer to boot, and each packet costs many times the CPU",
		"virt-host-validate qemu")
}

func storage(f *Facts) []Finding {
	l := &f.Libvirt
	switch {
	case l.Error != "":
		return unknown("libvirt does not answer, and the pool is its own", "")
	case l.Pool.Error != "":
		return fail("storage pool "+f.Config.Instance+": "+l.Pool.Error, "virsh pool-start "+f.Config.Instance)
	}
	return roomOn("storage pool "+f.Config.Instance+" in "+l.Pool.Path, l.Pool.Free, "virsh vol-list "+f.Config.Instance)
}

func image(f *Facts) []Finding {
	var wrong []Finding
	for _, i := range f.Images {
		if i.Error == "" {
			continue
		}
		what := "image " + i.Name
		if i.Name == "" {
			what = "no image is registered, and where it is built"
		}
		wrong = append(wrong, fail(fmt.Sprintf("%s (%s): %s", what, i.Source, i.Error), "make image && sluice image create router --source "+i.Source)...)
	}
	switch {
	case len(wrong) > 0:
		return wrong
	case len(f.Images) == 0:
		return unknown("the server is on another machine, and so are its images", "sluice image list")
	case f.Site != nil && f.Images[0].Name == "":
		return warn("the template in "+f.Images[0].Source+" is whole, and not registered", "sluice image create router --source "+f.Images[0].Source)
	}
	return ok(fmt.Sprintf("%d whole, by their digests", len(f.Images)))
}

func l2Networks(f *Facts) []Finding {
	switch {
	case f.Site == nil:
		return notWithoutServer("bridges")
	case !f.Server.Local:
		return unknown("the server is on another machine, and so are its bridges", "sluice host list")
	}
	var wrong []Finding
	for _, l2 := range f.L2s {
		if l2.Error != "" {
			wrong = append(wrong, fail(fmt.Sprintf("L2 network %s is not real on this machine as it is to be: %s", l2.Name, l2.Error), "sluice l2-network attach "+l2.UUID+" "+l2.Cluster)...)
		}
	}
	return orOK(wrong, fmt.Sprintf("%d bridges are as they are to be", len(f.L2s)))
}

// Causes of Libvirt.Error.
const (
	CauseNone    = "none"
	CauseRefused = "refused"
	CauseDenied  = "denied"
	CauseSilent  = "silent"
)
