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
	kind, err := tx.Catalog.l2Type(req.Type)
	if err != nil {
		return nil, err
	}
	if err := kind.Validate(req); err != nil {
		return nil, err
	}
	if err := v1.ValidateInterface(req.PhysicalInterface); err != nil {
		return nil, err
	}
	if _, err := need[v1.Zone](tx.View, req.ZoneUUID); err != nil {
		return nil, err
	}
	l2 := &v1.L2Network{
		Meta: meta, ZoneUUID: req.ZoneUUID, Type: req.Type, PhysicalInterface: req.PhysicalInterface,
		Vlan: req.Vlan, VNI: req.VNI, AttachedClusterUUIDs: []string{}, Realizations: []v1.Realization{},
	}
	return l2, tx.Create(l2)
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
func MaxMTU(v *View, l2 *v1.L2Network) int {
	if t, err := v.Catalog.l2Type(l2.Type); err == nil {
		return t.MaxMTU()
	}
	return 1500 // of a type that a former version could make
}
