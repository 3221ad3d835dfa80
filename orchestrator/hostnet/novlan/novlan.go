// Package novlan realizes L2NoVlanNetwork: a Linux bridge with the physical
// interface as its uplink. When the interface carries the host's own address,
// address and routes move to the bridge and back, so that the host keeps its
// connection.
package novlan

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Realizer implements hostnet.Realizer.
type Realizer struct{}

// BridgeName is the name of an L2 network's bridge: 14 of the 15 characters
// that the kernel allows, from the random tail of the UUID.
func BridgeName(l2 *v1.L2Network) string { return "slbr" + l2.UUID[len(l2.UUID)-10:] }

// Realize makes the bridge, sets it up and puts the physical interface under it.
func (Realizer) Realize(_ context.Context, l2 *v1.L2Network) (string, error) {
	nl, err := netlink.NewHandle()
	if err != nil {
		return "", fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	phys, err := nl.LinkByName(l2.PhysicalInterface)
	if err != nil {
		return "", interfaceError(l2, err)
	}
	name := BridgeName(l2)
	if other := phys.Attrs().MasterIndex; other != 0 {
		if b, err := nl.LinkByName(name); err != nil || b.Attrs().Index != other {
			return "", v1.Conflict("interface-in-use", "physical interface %s belongs to another bridge or bond already (link %d); free it or choose another interface",
				l2.PhysicalInterface, other).On(l2.UUID)
		}
	}
	bridge, made, err := ensureBridge(nl, name, phys)
	if err == nil {
		err = enslave(nl, phys, bridge)
	}
	if err != nil {
		err = fmt.Errorf("realize L2 network %s on interface %s: %w", l2.Name, l2.PhysicalInterface, err)
		if made {
			err = errors.Join(err, unrealize(nl, l2))
		}
		return "", err
	}
	return name, nil
}

// Check reports a missing bridge, a missing uplink, or either being down.
func (Realizer) Check(_ context.Context, l2 *v1.L2Network) error {
	bridge, err := netlink.LinkByName(BridgeName(l2))
	if err != nil {
		return fmt.Errorf("bridge %s of L2 network %s: %w", BridgeName(l2), l2.Name, err)
	}
	phys, err := netlink.LinkByName(l2.PhysicalInterface)
	if err != nil {
		return interfaceError(l2, err)
	}
	if phys.Attrs().MasterIndex != bridge.Attrs().Index {
		return fmt.Errorf("interface %s is not a port of bridge %s any more", l2.PhysicalInterface, BridgeName(l2))
	}
	if bridge.Attrs().Flags&phys.Attrs().Flags&net.FlagUp == 0 {
		return fmt.Errorf("bridge %s or interface %s is down", BridgeName(l2), l2.PhysicalInterface)
	}
	return nil
}

// Unrealize gives addresses and routes back to the interface and removes the bridge.
func (Realizer) Unrealize(_ context.Context, l2 *v1.L2Network) error {
	nl, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	return unrealize(nl, l2)
}

func ensureBridge(nl *netlink.Handle, name string, phys netlink.Link) (netlink.Link, bool, error) {
	made := false
	bridge, err := nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, phys.Attrs().MTU
		// The uplink's MAC: with any other, the bridge would change its own as
		// ports come and go, and the host's neighbours would lose it.
		attrs.HardwareAddr = phys.Attrs().HardwareAddr
		if err = nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return nil, false, fmt.Errorf("add bridge %s: %w", name, err)
		}
		made = true
		bridge, err = nl.LinkByName(name)
	}
	if err != nil {
		return nil, made, fmt.Errorf("find bridge %s: %w", name, err)
	}
	if err := nl.LinkSetUp(bridge); err != nil {
		return nil, made, fmt.Errorf("set bridge %s up: %w", name, err)
	}
	return bridge, made, nil
}

func enslave(nl *netlink.Handle, phys, bridge netlink.Link) error {
	if err := nl.LinkSetUp(phys); err != nil {
		return fmt.Errorf("set interface up: %w", err)
	}
	if phys.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := nl.LinkSetMaster(phys, bridge); err != nil {
			return fmt.Errorf("put interface under bridge: %w", err)
		}
	}
	return moveAddresses(nl, phys, bridge)
}

func unrealize(nl *netlink.Handle, l2 *v1.L2Network) error {
	bridge, err := nl.LinkByName(BridgeName(l2))
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", BridgeName(l2), err)
	}
	phys, err := nl.LinkByName(l2.PhysicalInterface)
	if err == nil && phys.Attrs().MasterIndex == bridge.Attrs().Index {
		if err := nl.LinkSetNoMaster(phys); err != nil {
			return fmt.Errorf("take interface %s from bridge: %w", l2.PhysicalInterface, err)
		}
		if err := moveAddresses(nl, bridge, phys); err != nil {
			return err
		}
	}
	if err := nl.LinkDel(bridge); err != nil {
		return fmt.Errorf("delete bridge %s: %w", BridgeName(l2), err)
	}
	return nil
}

func interfaceError(l2 *v1.L2Network, err error) error {
	return v1.Refused("physical-interface-missing", "physical interface %q of L2 network %s: %v; create it on the host, or name another one",
		l2.PhysicalInterface, l2.Name, err).On(l2.UUID)
}
