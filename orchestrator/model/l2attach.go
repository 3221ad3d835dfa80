package model

import (
	"cmp"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CheckAttachL2 refuses an attachment that the model forbids: a cluster of
// another zone (other-zone), or a second network with the same segment, such as
// VLAN 10 of eth1, in the cluster (l2-interface-taken). Attached already is fine.
func CheckAttachL2(v *View, l2UUID, clusterUUID string) error {
	l2, err := need[v1.L2Network](v, l2UUID)
	if err != nil {
		return err
	}
	c, err := need[v1.Cluster](v, clusterUUID)
	if err != nil {
		return err
	}
	if c.ZoneUUID != l2.ZoneUUID {
		return v1.Refused("other-zone", "L2 network %q and cluster %q are in different zones; attach it to a cluster of zone %s", l2.Name, c.Name, l2.ZoneUUID).On(l2.UUID, c.UUID)
	}
	kind, err := v.Catalog.l2Type(l2.Type)
	if err != nil {
		return err
	}
	for other := range Related[v1.L2Network](v, L2sOfZone, l2.ZoneUUID) {
		if other.UUID != l2UUID && other.Type == l2.Type && kind.Segment(other) == kind.Segment(l2) && slices.Contains(other.AttachedClusterUUIDs, clusterUUID) {
			return v1.Conflict("l2-interface-taken", "%s in cluster %q carries L2 network %q already; detach that one, or use another",
				kind.Segment(l2), c.Name, other.Name).On(other.UUID)
		}
	}
	return nil
}

// AttachL2 records the attachment and the bridges made for it. It checks again
// what CheckAttachL2 checked before the bridges were made.
func AttachL2(tx *Tx, l2UUID, clusterUUID string, made []v1.Realization) error {
	if err := CheckAttachL2(tx.View, l2UUID, clusterUUID); err != nil {
		return err
	}
	old := Get[v1.L2Network](tx.View, l2UUID)
	l2 := Copy(old)
	clusters := with(old.AttachedClusterUUIDs, clusterUUID)
	l2.AttachedClusterUUIDs = clusters
	realizations := realizationsWith(old.Realizations, onHostsOf(tx.View, l2, made))
	if len(clusters) == len(old.AttachedClusterUUIDs) && slices.Equal(realizations, old.Realizations) {
		return nil
	}
	l2.Realizations = realizations
	tx.Save(l2)
	return nil
}

// RealizeL2 records bridges made on hosts that connected after the attachment.
// Hosts of clusters that the network is not attached to are passed over.
func RealizeL2(tx *Tx, l2UUID string, made []v1.Realization) error {
	l2, err := need[v1.L2Network](tx.View, l2UUID)
	if err != nil {
		return err
	}
	realizations := realizationsWith(l2.Realizations, onHostsOf(tx.View, l2, made))
	if slices.Equal(realizations, l2.Realizations) {
		return nil
	}
	l2 = Copy(l2)
	l2.Realizations = realizations
	tx.Save(l2)
	return nil
}

// DetachL2 takes the attachment back, with the bridges recorded for it. A
// router placed in the cluster with a nic on the network keeps its row if
// another host may take it (placement.MustMove then says so); otherwise it is
// to be destroyed, and made again when a guest next needs it. Not attached, or
// missing, is fine.
func DetachL2(tx *Tx, l2UUID, clusterUUID string) error {
	l2 := Get[v1.L2Network](tx.View, l2UUID)
	if l2 == nil || !slices.Contains(l2.AttachedClusterUUIDs, clusterUUID) {
		return nil
	}
	l2 = Copy(l2)
	l2.AttachedClusterUUIDs = without(l2.AttachedClusterUUIDs, clusterUUID)
	l2.Realizations = realizationsWithout(l2.Realizations, func(host string) bool {
		h := Get[v1.Host](tx.View, host)
		return h == nil || h.ClusterUUID == clusterUUID
	})
	tx.Save(l2)
	for _, r := range RoutersOnL2(tx.View, l2UUID, clusterUUID) {
		if len(CandidateHosts(tx.View, r)) == 0 {
			destroyRouter(tx, r)
		}
	}
	return nil
}

// RoutersOnL2 are the routers that are placed in a cluster and have a nic on an
// L2 network.
func RoutersOnL2(v *View, l2UUID, clusterUUID string) []*v1.VirtualRouter {
	var found []*v1.VirtualRouter
	for l3 := range Related[v1.L3Network](v, L3sOfL2, l2UUID) {
		for r := range Related[v1.VirtualRouter](v, RoutersOnL3, l3.UUID) {
			h := Get[v1.Host](v, r.HostUUID)
			if h != nil && h.ClusterUUID == clusterUUID && !slices.Contains(found, r) {
				found = append(found, r)
			}
		}
	}
	return found
}

// onHostsOf are those on hosts of clusters that the network is attached to. A
// host may have been deleted while its bridge was made.
func onHostsOf(v *View, l2 *v1.L2Network, made []v1.Realization) []v1.Realization {
	return slices.DeleteFunc(slices.Clone(made), func(r v1.Realization) bool {
		h := Get[v1.Host](v, r.HostUUID)
		return h == nil || !slices.Contains(l2.AttachedClusterUUIDs, h.ClusterUUID)
	})
}

// realizationsWith puts the new ones in place of older ones on the same hosts,
// sorted by host.
func realizationsWith(old, made []v1.Realization) []v1.Realization {
	all := realizationsWithout(old, func(host string) bool {
		return slices.ContainsFunc(made, func(r v1.Realization) bool { return r.HostUUID == host })
	})
	all = append(all, made...)
	slices.SortFunc(all, func(a, b v1.Realization) int { return cmp.Compare(a.HostUUID, b.HostUUID) })
	return all
}

func realizationsWithout(old []v1.Realization, gone func(host string) bool) []v1.Realization {
	left := make([]v1.Realization, 0, len(old))
	for _, r := range old {
		if !gone(r.HostUUID) {
			left = append(left, r)
		}
	}
	return left
}
