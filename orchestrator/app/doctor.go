package app

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"syscall"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/doctor"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/libvirt"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/reconcile"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// defaultImage is where `make image` leaves the template.
const defaultImage = "/var/cache/sluice/image"

// Examine fills facts of this machine in, beside what the server told already.
// It changes nothing, but that libvirt's storage pool is made if it is missing:
// the guest that shows whether KVM works boots from there.
func Examine(ctx context.Context, f *doctor.Facts) {
	f.Config.EtcdQuota = cmp.Or(f.Config.EtcdQuota, store.DefaultQuota)
	f.Machine = doctor.LookAtMachine(ctx, f.Config)
	f.Libvirt = lookAtLibvirt(ctx, f)
	f.Images = lookAtImages(f)
	if f.Site != nil && f.Server.Local {
		f.L2s = lookAtL2s(ctx, f.Site)
	}
}

func lookAtLibvirt(ctx context.Context, f *doctor.Facts) doctor.Libvirt {
	l := doctor.Libvirt{URI: cmp.Or(f.Config.LibvirtURI, "qemu:///system")}
	h, err := libvirt.New(libvirt.Config{URI: l.URI, Instance: f.Config.Instance, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.Error = err.Error()
		return l
	}
	defer h.Close()
	if l.Pool.Path, l.Pool.Free, err = h.Storage(ctx); err != nil {
		if l.Cause = causeOf(err); l.Cause != "" {
			l.Error = rootOf(err)
			return l
		}
		l.Pool.Error = err.Error()
	}
	info, err := h.Info(ctx)
	l.Version, l.VirtType, l.VirtReason = info.LibvirtVersion, info.VirtType, info.VirtReason
	if err != nil {
		l.VirtError = err.Error()
	}
	l.Routers = lookAtRouters(ctx, h)
	return l
}

// causeOf is why libvirt did not answer; empty if it did.
func causeOf(err error) string {
	switch {
	case !hypervisor.IsUnreachable(err):
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return doctor.CauseNone
	case errors.Is(err, syscall.ECONNREFUSED):
		return doctor.CauseRefused
	case errors.Is(err, fs.ErrPermission):
		return doctor.CauseDenied
	}
	return doctor.CauseSilent
}

// rootOf leaves out the advice that the error carries for others.
func rootOf(err error) string {
	if u, ok := errors.AsType[*hypervisor.UnreachableError](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

// lookAtRouters are our domains and the volumes of routers, by router. What
// cannot be listed was found out before.
func lookAtRouters(ctx context.Context, h hypervisor.Hypervisor) map[string][]string {
	found := map[string][]string{}
	domains, _ := h.ListDomains(ctx)
	for _, d := range domains {
		found[d.UUID] = append(found[d.UUID], "domain "+d.Name)
	}
	volumes, _ := h.ListVolumes(ctx)
	for _, v := range volumes {
		if router, ok := plan.RouterOfVolume(v.Name); ok {
			found[router] = append(found[router], "volume "+v.Name)
		}
	}
	return found
}

// lookAtImages are the registered templates, if the server is here, or the one
// that was built.
func lookAtImages(f *doctor.Facts) []doctor.Image {
	if !f.Server.Local {
		return nil
	}
	var all []doctor.Image
	if f.Site != nil {
		for _, i := range f.Site.Images {
			all = append(all, doctor.Image{Name: i.Name, Source: i.Source, Error: imageError(i.Name, i.Source, i.Format)})
		}
	}
	if len(all) == 0 {
		all = append(all, doctor.Image{Source: defaultImage, Error: imageError("", defaultImage, "direct")})
	}
	return all
}

func imageError(name, source, format string) string {
	if _, err := reconcile.ReadImage(&v1.CreateImage{CreateMeta: v1.CreateMeta{Name: name}, Source: source, Format: format}); err != nil {
		return err.Error()
	}
	return ""
}

// lookAtL2s tries every bridge that has to be on this machine.
func lookAtL2s(ctx context.Context, site *doctor.Site) []doctor.L2 {
	var all []doctor.L2
	for _, h := range site.Local() {
		for _, l2 := range site.L2s {
			i := slices.IndexFunc(l2.Realizations, func(r v1.Realization) bool { return r.HostUUID == h.UUID })
			if i < 0 {
				continue
			}
			seen := doctor.L2{Name: l2.Name, UUID: l2.UUID, Cluster: h.ClusterUUID, Bridge: l2.Realizations[i].Bridge}
			if err := (hostnet.Local{}).Check(ctx, &l2); err != nil {
				seen.Error = err.Error()
			}
			all = append(all, seen)
		}
	}
	return all
}
