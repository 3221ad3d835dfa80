// Package vlan realizes L2VlanNetwork: a VLAN device (IEEE 802.1Q) on the
// physical interface, and a Linux bridge with that device as its uplink. Any
// number of them, and one untagged network, share an interface.
package vlan

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
)

// Type implements hostnet.Type.
type Type struct{}

// Name is L2VlanNetwork.
func (Type) Name() string { return v1.L2Vlan }

// Validate wants a VLAN from 1 to 4094: 0 is priority tagging without a VLAN,
// 4095 is reserved (IEEE 802.1Q-2018, table 9-2).
func (Type) Validate(req v1.CreateL2Network) error {
	if req.Vlan < 1 || req.Vlan > 4094 || req.VNI != 0 {
		return v1.Invalid("invalid-l2-network", "an %s has a vlan from 1 to 4094 and no vni; got vlan %d, vni %d", v1.L2Vlan, req.Vlan, req.VNI)
	}
	return nil
}

// Segment is one VLAN of the interface.
func (Type) Segment(l2 *v1.L2Network) string {
	return fmt.Sprintf("VLAN %d of interface %s", l2.Vlan, l2.PhysicalInterface)
}

// MaxMTU is Ethernet's: the tag is not counted.
func (Type) MaxMTU() int { return 1500 }

// DeviceName is the name of the VLAN device that is made for an L2 network.
func DeviceName(l2 *v1.L2Network) string { return bridge.DeviceName("slvl", l2) }

// Realize makes the VLAN device and the bridge over it. A VLAN device that the
// administrator has for this VLAN already, perhaps with the host's own address,
// is the uplink instead, and is left in the end.
func (Type) Realize(_ context.Context, l2 *v1.L2Network) (name string, err error) {
	err = bridge.With(func(nl *netlink.Handle) error {
		phys, err := bridge.Interface(nl, l2)
		if err != nil {
			return err
		}
		device, made, err := ensure(nl, l2, phys)
		if err != nil {
			return fmt.Errorf("realize L2 network %s on interface %s: %w", l2.Name, l2.PhysicalInterface, err)
		}
		name, err = of(l2).Over(nl, device)
		if err != nil && made {
			err = errors.Join(err, remove(nl, device))
		}
		return err
	})
	return name, err
}

// Check reports a missing or changed VLAN device, bridge or interface.
func (Type) Check(_ context.Context, l2 *v1.L2Network) error {
	return bridge.With(func(nl *netlink.Handle) error {
		phys, err := bridge.Interface(nl, l2)
		if err != nil {
			return err
		}
		device, err := find(nl, l2, phys)
		if err != nil {
			return err
		}
		if device == nil {
			return fmt.Errorf("interface %s has no device for VLAN %d any more", l2.PhysicalInterface, l2.Vlan)
		}
		if device.Attrs().MTU != phys.Attrs().MTU && bridge.Ours(device) {
			return fmt.Errorf("device %s has MTU %d, interface %s has %d", device.Attrs().Name, device.Attrs().MTU, phys.Attrs().Name, phys.Attrs().MTU)
		}
		return of(l2).Check(nl, device)
	})
}

// Unrealize removes the bridge, and the VLAN device if Realize made it.
func (Type) Unrealize(_ context.Context, l2 *v1.L2Network) error {
	return bridge.With(func(nl *netlink.Handle) error {
		var device netlink.Link
		if phys, err := bridge.Interface(nl, l2); err == nil { // without it the device is gone too
			if device, err = find(nl, l2, phys); err != nil {
				return err
			}
		}
		if err := of(l2).Remove(nl, device); err != nil {
			return err
		}
		return removeOurs(nl, l2)
	})
}

func of(l2 *v1.L2Network) bridge.Bridge { return bridge.Bridge{L2: l2} }

// find is the device of the VLAN on the interface; nil if there is none. The
// kernel has one at most.
func find(nl *netlink.Handle, l2 *v1.L2Network, phys netlink.Link) (netlink.Link, error) {
	links, err := nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, link := range links {
		if v, ok := link.(*netlink.Vlan); ok && v.ParentIndex == phys.Attrs().Index && v.VlanId == l2.Vlan {
			return link, nil
		}
	}
	return nil, nil
}

func ensure(nl *netlink.Handle, l2 *v1.L2Network, phys netlink.Link) (device netlink.Link, made bool, err error) {
	if err := nl.LinkSetUp(phys); err != nil { // a VLAN is down while its interface is
		return nil, false, fmt.Errorf("set interface up: %w", err)
	}
	if device, err = find(nl, l2, phys); err != nil {
		return nil, false, err
	}
	if device == nil {
		if err := removeOurs(nl, l2); err != nil { // of an interface that had this name before
			return nil, false, err
		}
		if device, err = add(nl, l2, phys); err != nil {
			return nil, false, err
		}
		made = true
	}
	if name := device.Attrs().Name; bridge.Ours(device) && name != DeviceName(l2) {
		return nil, false, v1.Conflict("interface-in-use", "VLAN %d of interface %s is device %s of another L2 network already; detach that one, or use another VLAN",
			l2.Vlan, l2.PhysicalInterface, name).On(l2.UUID)
	}
	if bridge.Ours(device) && device.Attrs().MTU != phys.Attrs().MTU {
		if err := nl.LinkSetMTU(device, phys.Attrs().MTU); err != nil {
			return nil, made, fmt.Errorf("set MTU of %s to %d: %w", device.Attrs().Name, phys.Attrs().MTU, err)
		}
		device.Attrs().MTU = phys.Attrs().MTU
	}
	return device, made, nil
}

func add(nl *netlink.Handle, l2 *v1.L2Network, phys netlink.Link) (netlink.Link, error) {
	name := DeviceName(l2)
	if _, err := nl.LinkByName(name); err == nil {
		return nil, bridge.Taken(name, l2)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Group = name, phys.Attrs().Index, bridge.Group
	if err := nl.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: l2.Vlan, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}); err != nil {
		return nil, fmt.Errorf("add VLAN device %s (VLAN %d): %w; see that this kernel has the module 8021q", name, l2.Vlan, err)
	}
	device, err := nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find VLAN device %s: %w", name, err)
	}
	return device, nil
}

// removeOurs removes the network's VLAN device if we made it.
func removeOurs(nl *netlink.Handle, l2 *v1.L2Network) error {
	device, err := nl.LinkByName(DeviceName(l2))
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && !bridge.Ours(device) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find VLAN device %s: %w", DeviceName(l2), err)
	}
	return remove(nl, device)
}

func remove(nl *netlink.Handle, device netlink.Link) error {
	if err := nl.LinkDel(device); err != nil {
		return fmt.Errorf("delete VLAN device %s: %w", device.Attrs().Name, err)
	}
	return nil
}
