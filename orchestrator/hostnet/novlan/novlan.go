// Package novlan realizes L2NoVlanNetwork: a Linux bridge with the physical
// interface as its uplink, for untagged frames.
package novlan

import (
	"context"

	"github.com/vishvananda/netlink"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
)

// Type implements hostnet.Type.
type Type struct{}

// Name is L2NoVlanNetwork.
func (Type) Name() string { return v1.L2NoVlan }

// Validate refuses a VLAN or VNI.
func (Type) Validate(req v1.CreateL2Network) error {
	if req.Vlan != 0 || req.VNI != 0 {
		return v1.Invalid("invalid-l2-network", "an %s has neither vlan nor vni; leave them out, or choose type %s", v1.L2NoVlan, v1.L2Vlan)
	}
	return nil
}

// Segment is the untagged part of the interface.
func (Type) Segment(l2 *v1.L2Network) string { return "interface " + l2.PhysicalInterface }

// MaxMTU is Ethernet's.
func (Type) MaxMTU() int { return 1500 }

// Realize makes the bridge, sets it up and puts the physical interface under it.
func (Type) Realize(_ context.Context, l2 *v1.L2Network) (name string, err error) {
	err = bridge.With(func(nl *netlink.Handle) error {
		phys, err := bridge.Interface(nl, l2)
		if err != nil {
			return err
		}
		name, err = of(l2).Over(nl, phys)
		return err
	})
	return name, err
}

// Check reports a missing or changed bridge or uplink.
func (Type) Check(_ context.Context, l2 *v1.L2Network) error {
	return bridge.With(func(nl *netlink.Handle) error {
		phys, err := bridge.Interface(nl, l2)
		if err != nil {
			return err
		}
		return of(l2).Check(nl, phys)
	})
}

// Unrealize gives addresses and routes back to the interface and removes the bridge.
func (Type) Unrealize(_ context.Context, l2 *v1.L2Network) error {
	return bridge.With(func(nl *netlink.Handle) error {
		phys, err := bridge.Interface(nl, l2)
		if err != nil {
			phys = nil // it is gone: only the bridge is left to be removed
		}
		return of(l2).Remove(nl, phys)
	})
}

func of(l2 *v1.L2Network) bridge.Bridge { return bridge.Bridge{L2: l2, Untagged: true} }
