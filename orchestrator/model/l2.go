package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateL2Network makes an L2 network, attached nowhere. Types that no
// realizer exists for are refused (l2-type-unsupported).
func CreateL2Network(tx *Tx, req v1.CreateL2Network) (*v1.L2Network, error) {
	meta, err := newMeta(tx.View, L2Networks, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	if req.Type == "" {
		req.Type = v1.L2NoVlan
	}
	if err := checkL2Values(req); err != nil {
		return nil, err
	}
	if _, err := need[v1.Zone](tx.View, req.ZoneUUID); err != nil {
		return nil, err
	}
	l2 := &v1.L2Network{
		Meta: meta, ZoneUUID: req.ZoneUUID, Type: req.Type, PhysicalInterface: req.PhysicalInterface,
		AttachedClusterUUIDs: []string{}, Realizations: []v1.Realization{},
	}
	return l2, tx.Create(l2)
}

func checkL2Values(req v1.CreateL2Network) error {
	if req.Type != v1.L2NoVlan {
		return v1.Refused("l2-type-unsupported", "L2 network type %q has no realizer; only %s can be made", req.Type, v1.L2NoVlan)
	}
	if req.Vlan != 0 || req.VNI != 0 {
		return v1.Invalid("invalid-l2-network", "an %s has neither vlan nor vni; leave them out", v1.L2NoVlan)
	}
	return v1.ValidateInterface(req.PhysicalInterface)
}

// DeleteL2Network deletes the network with its L3 networks, and what is on
// those as DeleteL3Network says. The caller has taken its bridges off the
// hosts. A missing network is fine.
func DeleteL2Network(tx *Tx, uuid string) error {
	if Get[v1.L2Network](tx.View, uuid) == nil {
		return nil
	}
	for _, l3 := range slices.Collect(Related[v1.L3Network](tx.View, L3sOfL2, uuid)) {
		if err := DeleteL3Network(tx, l3.UUID); err != nil {
			return err
		}
	}
	tx.Drop(L2Networks, uuid)
	return nil
}

// MaxMTU is the largest MTU, in bytes, that frames on an L2 network may have.
func MaxMTU(l2 *v1.L2Network) int {
	if l2.Type == v1.L2Vxlan {
		return 1450 // 50 bytes of VXLAN, UDP, IP and Ethernet around each frame (RFC 7348 section 5)
	}
	return 1500
}
