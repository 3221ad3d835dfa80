package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Sizes of routers: default, least and most.
const (
	DefaultCPUs, MinCPUs, MaxCPUs       = 1, 1, 64
	DefaultMemory, MinMemory, MaxMemory = 192, 128, 65536 // MiB
)

// CreateOffering makes an Enabled offering. The first of a zone is its default;
// another default takes its place.
func CreateOffering(tx *Tx, req v1.CreateVirtualRouterOffering) (*v1.VirtualRouterOffering, error) {
	meta, err := newMeta(tx.View, Offerings, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	if _, err := need[v1.Zone](tx.View, req.ZoneUUID); err != nil {
		return nil, err
	}
	o := &v1.VirtualRouterOffering{
		Meta: meta, ZoneUUID: req.ZoneUUID, CPUNum: req.CPUNum, MemorySize: req.MemorySize,
		ManagementNetworkUUID: req.ManagementNetworkUUID, PublicNetworkUUID: req.PublicNetworkUUID,
		ImageUUID: req.ImageUUID, IsDefault: req.IsDefault, State: v1.Enabled,
	}
	defaultOffering(o)
	if err := checkOffering(tx.View, o); err != nil {
		return nil, err
	}
	if First[v1.VirtualRouterOffering](tx.View, OfferingsOfZone, o.ZoneUUID) == nil {
		o.IsDefault = true
	}
	return o, tx.atomic(func() error {
		if o.IsDefault {
			clearDefault(tx, o.ZoneUUID)
		}
		return tx.Create(o)
	})
}

func defaultOffering(o *v1.VirtualRouterOffering) {
	if o.CPUNum == 0 {
		o.CPUNum = DefaultCPUs
	}
	if o.MemorySize == 0 {
		o.MemorySize = DefaultMemory
	}
	if o.PublicNetworkUUID == "" {
		o.PublicNetworkUUID = o.ManagementNetworkUUID
	}
}

func checkOffering(v *View, o *v1.VirtualRouterOffering) error {
	if o.CPUNum < MinCPUs || o.CPUNum > MaxCPUs || o.MemorySize < MinMemory || o.MemorySize > MaxMemory {
		return v1.Invalid("invalid-size", "cpuNum %d and memorySize %d MiB are not within %d to %d and %d to %d MiB", o.CPUNum, o.MemorySize, MinCPUs, MaxCPUs, MinMemory, MaxMemory)
	}
	management, err := offeringSubnet(v, o, o.ManagementNetworkUUID)
	if err != nil {
		return err
	}
	public, err := offeringSubnet(v, o, o.PublicNetworkUUID)
	if err != nil {
		return err
	}
	if o.ManagementNetworkUUID != o.PublicNetworkUUID && management.CIDR.Overlaps(public.CIDR) {
		return v1.Refused("subnets-overlap", "management network %s and public network %s overlap; use one network for both, or other CIDRs", management, public).On(o.ManagementNetworkUUID, o.PublicNetworkUUID)
	}
	if err := checkManagementRoutes(Get[v1.L3Network](v, o.ManagementNetworkUUID), management, management.CIDR, public.CIDR); err != nil {
		return err
	}
	return checkImage(v, o.ImageUUID)
}

func offeringSubnet(v *View, o *v1.VirtualRouterOffering, uuid string) (Subnet, error) {
	l3, err := need[v1.L3Network](v, uuid)
	if err != nil {
		return Subnet{}, err
	}
	subnet, ok := SubnetOf(v, uuid)
	switch {
	case l3.ZoneUUID != o.ZoneUUID:
		return Subnet{}, v1.Refused("other-zone", "L3 network %q is in zone %s, the offering in %s; use networks of its zone", l3.Name, l3.ZoneUUID, o.ZoneUUID).On(uuid)
	case !ok:
		return Subnet{}, v1.Refused("no-ip-range", "L3 network %q has no ip range; add one first", l3.Name).On(uuid)
	case l3.HasService(v1.SNAT):
		return Subnet{}, v1.Refused("offering-network-has-snat", "L3 network %q has SNAT, so it is a guest network; choose one without", l3.Name).On(uuid)
	}
	return subnet, nil
}

// checkImage refuses an image that new routers cannot be made of.
func checkImage(v *View, uuid string) error {
	img := Get[v1.Image](v, uuid)
	if img == nil {
		return v1.Refused("image-missing", "image %q does not exist; register one with `sluice image create`, and an offering with it", uuid).On(uuid)
	}
	if img.State != v1.Enabled || len(img.Files) == 0 {
		return v1.Refused("image-not-bootable", "image %q is %s with %d files; enable it, or use another", img.Name, img.State, len(img.Files)).On(uuid)
	}
	return nil
}

// MakeDefault makes the offering its zone's default in place of the present one.
func MakeDefault(tx *Tx, uuid string) (*v1.VirtualRouterOffering, error) {
	o, err := need[v1.VirtualRouterOffering](tx.View, uuid)
	if err != nil || o.IsDefault {
		return o, err
	}
	clearDefault(tx, o.ZoneUUID)
	o = Copy(o)
	o.IsDefault = true
	tx.Save(o)
	return o, nil
}

func clearDefault(tx *Tx, zone string) {
	for _, o := range slices.Collect(Related[v1.VirtualRouterOffering](tx.View, OfferingsOfZone, zone)) {
		if o.IsDefault {
			o = Copy(o)
			o.IsDefault = false
			tx.Save(o)
		}
	}
}

// DeleteOffering leaves routers made with it alone. If it was its zone's
// default, the oldest that is left becomes it. A missing offering is fine.
func DeleteOffering(tx *Tx, uuid string) error {
	// Read here and not passed in: a cascade that drops several may just have
	// made this one the default.
	o := Get[v1.VirtualRouterOffering](tx.View, uuid)
	if o == nil {
		return nil
	}
	stripTags(tx, o.UUID)
	tx.Drop(Offerings, o.UUID)
	next := First[v1.VirtualRouterOffering](tx.View, OfferingsOfZone, o.ZoneUUID)
	if o.IsDefault && next != nil {
		next = Copy(next)
		next.IsDefault = true
		tx.Save(next)
	}
	return nil
}
