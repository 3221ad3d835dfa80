package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Files of a router template, by the names they have in its manifest.
const (
	KernelFile = "vmlinuz"
	InitrdFile = "initrd"
	DiskFile   = "router.qcow2"
)

// ImageVolume is the volume of a template's file. Its name carries the digest:
// equal content is uploaded to a host once.
func ImageVolume(img *v1.Image, file string) string {
	return fmt.Sprintf("%s%.16s-%s", ImageVolumePrefix, img.Files[file].SHA256, file)
}

// ImageVolumePrefix begins the names of all templates' volumes.
const ImageVolumePrefix = "image-"

// ImageVolumes are the files that a template's format needs on the host.
func ImageVolumes(img *v1.Image) []string {
	if img.Format == "qcow2" {
		return []string{DiskFile}
	}
	return []string{KernelFile, InitrdFile}
}

// routerPrefix begins the names of what one router has, before its UUID.
const routerPrefix = "router-"

// RouterOfVolume is the router that has a volume; ok is false of any other's.
func RouterOfVolume(name string) (uuid string, ok bool) {
	const length = 36 // of a UUID
	rest, ok := strings.CutPrefix(name, routerPrefix)
	if !ok || len(rest) <= length {
		return "", false
	}
	return rest[:length], true
}

// ConfigVolume is the config drive of one build of a router.
func ConfigVolume(r *v1.VirtualRouter) string {
	return fmt.Sprintf(routerPrefix+"%s-%d.iso", r.UUID, r.Epoch)
}

// DiskVolume is the overlay disk of one build of a router.
func DiskVolume(r *v1.VirtualRouter) string {
	return fmt.Sprintf(routerPrefix+"%s-%d.qcow2", r.UUID, r.Epoch)
}

// RouterVolumePrefix starts the names of all volumes of a router.
func RouterVolumePrefix(uuid string) string { return "router-" + uuid + "-" }

// DomainName is what `virsh list` shows.
func DomainName(uuid string) string { return "sluice-router-" + short(uuid) }

// Domain is the router's virtual machine. Everything in it was chosen before.
func Domain(v *model.View, r *v1.VirtualRouter, img *v1.Image) (hypervisor.Domain, error) {
	d := hypervisor.Domain{
		UUID: r.UUID, Name: DomainName(r.UUID), Title: r.Name,
		VCPUs: r.CPUNum, MemoryMiB: r.MemorySize, ConfigVolume: ConfigVolume(r),
	}
	if img.Format == "qcow2" {
		d.Boot.Disk = DiskVolume(r)
	} else {
		d.Boot.Direct = &hypervisor.DirectBoot{Kernel: ImageVolume(img, KernelFile), Initrd: ImageVolume(img, InitrdFile), Cmdline: img.Cmdline}
	}
	for _, n := range r.Nics {
		bridge, err := Bridge(v, n.L3NetworkUUID, r.HostUUID)
		if err != nil {
			return hypervisor.Domain{}, err
		}
		d.Nics = append(d.Nics, hypervisor.Nic{MAC: n.MAC, Bridge: bridge, MTU: mtu(v, n.L3NetworkUUID)})
	}
	return d, nil
}

// Bridge is the bridge of an L3 network's L2 on a host.
func Bridge(v *model.View, l3uuid, host string) (string, error) {
	l3 := model.Get[v1.L3Network](v, l3uuid)
	if l3 == nil {
		return "", v1.NotFound("l3-network", l3uuid)
	}
	l2 := model.Get[v1.L2Network](v, l3.L2NetworkUUID)
	if l2 != nil {
		for _, real := range l2.Realizations {
			if real.HostUUID == host {
				return real.Bridge, nil
			}
		}
	}
	return "", v1.Unavailable("l2-not-realized", "L2 network %s of L3 network %s has no bridge on host %s; attach it to the host's cluster",
		l3.L2NetworkUUID, l3.Name, host).On(l3.L2NetworkUUID, host)
}

// AgentAddress is where the router's agent listens.
func AgentAddress(r *v1.VirtualRouter) (netip.AddrPort, error) {
	n, ok := r.NicWithRole(string(agentv1.RoleManagement))
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("router %s has no management nic", r.UUID)
	}
	return netip.AddrPortFrom(n.IP, agentv1.AgentPort), nil
}

// Bootstrap is the content of the config drive.
func Bootstrap(v *model.View, r *v1.VirtualRouter, orchestratorCA, joinToken string) (agentv1.Bootstrap, error) {
	listen, err := AgentAddress(r)
	if err != nil {
		return agentv1.Bootstrap{}, err
	}
	management, _ := r.NicWithRole(string(agentv1.RoleManagement))
	return agentv1.Bootstrap{
		Version: 1, RouterUUID: r.UUID, Hostname: Hostname(r), Interfaces: Interfaces(v, r),
		ManagementRoutes: managementRoutes(v, management.L3NetworkUUID),
		Listen:           listen, OrchestratorCA: orchestratorCA, JoinToken: joinToken,
	}, nil
}
