package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateZone makes an Enabled zone.
func CreateZone(tx *Tx, req v1.CreateZone) (*v1.Zone, error) {
	meta, err := newMeta(tx.View, Zones, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	z := &v1.Zone{Meta: meta, State: v1.Enabled}
	return z, tx.Create(z)
}

// DeleteZone is refused (zone-in-use) while the zone has clusters, L2 networks
// or offerings. A missing zone is fine.
func DeleteZone(tx *Tx, uuid string) error {
	z := Get[v1.Zone](tx.View, uuid)
	if z == nil {
		return nil
	}
	children := slices.Concat(
		uuidsOf(Related[v1.Cluster](tx.View, ClustersOfZone, uuid)),
		uuidsOf(Related[v1.L2Network](tx.View, L2sOfZone, uuid)),
		uuidsOf(Related[v1.VirtualRouterOffering](tx.View, OfferingsOfZone, uuid)),
	)
	if len(children) > 0 {
		return v1.Conflict("zone-in-use", "zone %q still has %d clusters, L2 networks or offerings; delete them first", z.Name, len(children)).On(children...)
	}
	tx.Drop(Zones, uuid)
	return nil
}
