// Package bridge makes and removes the Linux bridge of an L2 network over an
// uplink: what all types have in common that end in a bridge. When the uplink
// carries the host's own address, address and routes move to the bridge and
// back, so that the host keeps its connection.
package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Group is the device group (ip-link(8)) of every device that Sluice made. The
// kernel sets it in the same step that makes the device, so that after a crash
// none of ours looks foreign. A device without it is never touched, whatever
// its name.
const Group = 0x51c1

// Name is the name of an L2 network's bridge.
func Name(l2 *v1.L2Network) string { return DeviceName("slbr", l2) }

// DeviceName is the name of a device of an L2 network: 14 of the 15 bytes that
// the kernel allows, a prefix of 4 and the random tail of the UUID.
func DeviceName(prefix string, l2 *v1.L2Network) string { return prefix + l2.UUID[len(l2.UUID)-10:] }

// Ours reports whether Sluice made a device.
func Ours(link netlink.Link) bool { return link.Attrs().Group == Group }

// Bridge is what differs between the bridges of the types of L2 network.
type Bridge struct {
	L2 *v1.L2Network
	// Untagged keeps frames with a VLAN tag off the bridge, where the kernel
	// can tell them: a guest must not get into a VLAN of the same interface by
	// tagging its frames itself.
	Untagged bool
}

// Over makes the bridge and puts the uplink under it. When that fails what was
// made is gone again.
func (b Bridge) Over(nl *netlink.Handle, uplink netlink.Link) (string, error) {
	name := Name(b.L2)
	if other := uplink.Attrs().MasterIndex; other != 0 {
		if have, err := nl.LinkByName(name); err != nil || have.Attrs().Index != other {
			return "", v1.Conflict("interface-in-use", "interface %s belongs to another bridge or bond already (link %d); free it or choose another interface",
				uplink.Attrs().Name, other).On(b.L2.UUID)
		}
	}
	bridge, made, err := b.ensure(nl, uplink)
	if err == nil {
		err = enslave(nl, uplink, bridge)
	}
	if err != nil && made {
		err = errors.Join(err, b.Remove(nl, uplink))
	}
	if err != nil {
		return "", fmt.Errorf("realize L2 network %s on interface %s: %w", b.L2.Name, uplink.Attrs().Name, err)
	}
	return name, nil
}

// Check reports a missing bridge, a missing uplink, or either being down or of
// another MTU.
func (b Bridge) Check(nl *netlink.Handle, uplink netlink.Link) error {
	name := Name(b.L2)
	bridge, err := nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("bridge %s of L2 network %s: %w", name, b.L2.Name, err)
	}
	have, up := bridge.Attrs(), uplink.Attrs()
	switch {
	case !Ours(bridge):
		return Taken(name, b.L2)
	case up.MasterIndex != have.Index:
		return fmt.Errorf("interface %s is not a port of bridge %s any more", up.Name, name)
	case have.Flags&up.Flags&net.FlagUp == 0:
		return fmt.Errorf("bridge %s or interface %s is down", name, up.Name)
	case have.MTU != up.MTU:
		return fmt.Errorf("bridge %s has MTU %d, interface %s has %d", name, have.MTU, up.Name, up.MTU)
	case b.Untagged && passesTags(bridge):
		return fmt.Errorf("bridge %s passes frames with VLAN tags", name)
	}
	return nil
}

// Remove gives addresses and routes back to the uplink, which may be nil if it
// is gone, and removes the bridge. A missing bridge, or one that is not ours,
// is nil.
func (b Bridge) Remove(nl *netlink.Handle, uplink netlink.Link) error {
	name := Name(b.L2)
	bridge, err := nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && !Ours(bridge) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", name, err)
	}
	if uplink != nil {
		if uplink, err = nl.LinkByIndex(uplink.Attrs().Index); err != nil { // its master is news
			return fmt.Errorf("find uplink of bridge %s: %w", name, err)
		}
	}
	if uplink != nil && uplink.Attrs().MasterIndex == bridge.Attrs().Index {
		if err := nl.LinkSetNoMaster(uplink); err != nil {
			return fmt.Errorf("take interface %s from bridge: %w", uplink.Attrs().Name, err)
		}
		if err := moveAddresses(nl, bridge, uplink); err != nil {
			return err
		}
	}
	if err := nl.LinkDel(bridge); err != nil {
		return fmt.Errorf("delete bridge %s: %w", name, err)
	}
	return nil
}

func (b Bridge) ensure(nl *netlink.Handle, uplink netlink.Link) (bridge netlink.Link, made bool, err error) {
	name := Name(b.L2)
	bridge, err = nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.Group = name, uplink.Attrs().MTU, Group
		// The uplink's MAC: with any other, the bridge would change its own as
		// ports come and go, and the host's neighbours would lose it.
		attrs.HardwareAddr = uplink.Attrs().HardwareAddr
		if err = nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return nil, false, fmt.Errorf("add bridge %s: %w", name, err)
		}
		made = true
		bridge, err = nl.LinkByName(name)
	}
	if err != nil {
		return nil, made, fmt.Errorf("find bridge %s: %w", name, err)
	}
	if !Ours(bridge) {
		return nil, made, Taken(name, b.L2)
	}
	return bridge, made, b.setUp(nl, bridge, uplink.Attrs().MTU)
}

func (b Bridge) setUp(nl *netlink.Handle, bridge netlink.Link, mtu int) error {
	name := bridge.Attrs().Name
	if bridge.Attrs().MTU != mtu {
		if err := nl.LinkSetMTU(bridge, mtu); err != nil {
			return fmt.Errorf("set MTU of bridge %s to %d: %w", name, mtu, err)
		}
	}
	if b.Untagged && passesTags(bridge) {
		// Described by its name alone: the kernel refuses some of what it told.
		if err := nl.BridgeSetVlanFiltering(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, Index: bridge.Attrs().Index}}, true); err != nil {
			return fmt.Errorf("keep VLAN tags off bridge %s: %w", name, err)
		}
	}
	if err := nl.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("set bridge %s up: %w", name, err)
	}
	return nil
}

// passesTags reports whether a bridge forwards frames of any VLAN and need not.
// A kernel that was built without VLANs cannot tell them; it has no default
// VLAN of a port either.
func passesTags(link netlink.Link) bool {
	bridge, ok := link.(*netlink.Bridge)
	return ok && bridge.VlanDefaultPVID != nil && bridge.VlanFiltering != nil && !*bridge.VlanFiltering
}

func enslave(nl *netlink.Handle, uplink, bridge netlink.Link) error {
	if err := nl.LinkSetUp(uplink); err != nil {
		return fmt.Errorf("set interface up: %w", err)
	}
	if uplink.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := nl.LinkSetMaster(uplink, bridge); err != nil {
			return fmt.Errorf("put interface under bridge: %w", err)
		}
	}
	return moveAddresses(nl, uplink, bridge)
}

// Taken is the refusal to use a device that somebody else made.
func Taken(name string, l2 *v1.L2Network) error {
	return v1.Conflict("device-name-taken", "device %s exists and was not made by Sluice (it is not in device group %d); delete or rename it", name, Group).On(l2.UUID)
}

// Interface finds the physical interface of an L2 network.
func Interface(nl *netlink.Handle, l2 *v1.L2Network) (netlink.Link, error) {
	phys, err := nl.LinkByName(l2.PhysicalInterface)
	if err != nil {
		return nil, v1.Refused("physical-interface-missing", "physical interface %q of L2 network %s: %v; create it on the host, or name another one",
			l2.PhysicalInterface, l2.Name, err).On(l2.UUID)
	}
	return phys, nil
}

// With runs what needs a netlink handle of its own: for routes and devices
// alone, because a host need not have the kernel modules of other families.
func With(do func(nl *netlink.Handle) error) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	return do(nl)
}
