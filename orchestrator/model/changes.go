package model

import (
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// checkL3Change looks at reserved ranges only if they change: others may have
// come to use addresses of a range's since.
func checkL3Change(v *View, before, after *v1.L3Network) error {
	if err := checkL3Values(v, after, Get[v1.L2Network](v, after.L2NetworkUUID)); err != nil {
		return err
	}
	if _, err := oneOf("allocationStrategy", after.AllocationStrategy, "", v1.FirstAvailable, v1.Random, v1.AscDelayRecycle); err != nil {
		return err
	}
	if !slices.Equal(before.HostRoutes, after.HostRoutes) {
		if err := checkRoutersRoutes(v, after); err != nil {
			return err
		}
	}
	if slices.Equal(before.ReservedRanges, after.ReservedRanges) {
		return nil
	}
	return checkReservedRanges(v, after)
}

// changeOffering leaves routers that run alone: they have their size, image and
// networks of their own. What only the state or the name changes is not held
// against networks that have changed since.
func changeOffering(tx *Tx, before, after *v1.VirtualRouterOffering) error {
	if before.IsDefault && !after.IsDefault {
		return v1.Refused("no-default-offering", "offering %q is its zone's default, and a zone has one; make another one the default instead", before.Name).On(before.UUID)
	}
	made := *after
	made.Meta, made.State, made.IsDefault = before.Meta, before.State, before.IsDefault
	if !sameOffering(&made, before) {
		if err := checkOffering(tx.View, after); err != nil {
			return err
		}
	}
	if after.IsDefault && !before.IsDefault {
		clearDefault(tx, after.ZoneUUID)
	}
	return nil
}

func sameOffering(a, b *v1.VirtualRouterOffering) bool {
	return a.CPUNum == b.CPUNum && a.MemorySize == b.MemorySize && a.ImageUUID == b.ImageUUID &&
		a.ManagementNetworkUUID == b.ManagementNetworkUUID && a.PublicNetworkUUID == b.PublicNetworkUUID
}

func checkHostname(vm *v1.VMInstance) error {
	if vm.Hostname != "" {
		if err := v1.ValidateHostname(vm.Hostname); err != nil {
			return err
		}
	}
	for _, args := range v1.TagValues(vm.SystemTags, v1.TagHostname) {
		if args[0] != vm.Hostname {
			return v1.Refused("hostname-given-twice", "VM %q has the tag hostname::%s, so its hostname is not %q; take the tag off first", vm.Name, args[0], vm.Hostname).On(vm.UUID)
		}
	}
	return nil
}

// changeNic keeps exactly one default route: a new default nic takes it from
// the one that had it.
func changeNic(tx *Tx, before, after *v1.VMNic) error {
	for number, value := range after.DHCPOptions {
		if err := checkDHCPOption(number, value); err != nil {
			return err
		}
	}
	if err := checkStaticRoutes(tx.View, after); err != nil {
		return err
	}
	if before.IsDefault && !after.IsDefault {
		return v1.Refused("no-default-nic", "nic %q has its VM's default route, and a VM has one; set isDefault of another nic instead", before.Name).On(before.UUID)
	}
	if !after.IsDefault || before.IsDefault {
		return nil
	}
	for _, other := range slices.Collect(Related[v1.VMNic](tx.View, NicsOfVM, after.VMInstanceUUID)) {
		if other.IsDefault {
			other = Copy(other)
			other.IsDefault = false
			if err := checkStaticRoutes(tx.View, other); err != nil {
				return err
			}
			tx.Save(other)
		}
	}
	return nil
}

func checkAllowedChange(v *View, before, after *v1.PortForwardingRule) error {
	if after.AllowedCIDR == before.AllowedCIDR || after.AllowedCIDR == (netip.Prefix{}) {
		return nil
	}
	if err := v1.ValidateCIDR("allowedCidr", after.AllowedCIDR); err != nil {
		return err
	}
	return checkNicWithoutEIP(v, after, after.VMNicUUID)
}
