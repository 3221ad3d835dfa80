package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateCluster makes an Enabled cluster in a zone.
func CreateCluster(tx *Tx, req v1.CreateCluster) (*v1.Cluster, error) {
	meta, err := newMeta(tx.View, Clusters, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	hypervisor, err := oneOf("hypervisorType", req.HypervisorType, "auto", "auto", "kvm", "qemu")
	if err != nil {
		return nil, err
	}
	if _, err := need[v1.Zone](tx.View, req.ZoneUUID); err != nil {
		return nil, err
	}
	c := &v1.Cluster{Meta: meta, ZoneUUID: req.ZoneUUID, HypervisorType: hypervisor, State: v1.Enabled}
	return c, tx.Create(c)
}

// DeleteCluster is refused (cluster-in-use) while the cluster has hosts. Its L2
// attachments go with it: without hosts they are realized nowhere.
func DeleteCluster(tx *Tx, uuid string) error {
	c := Get[v1.Cluster](tx.View, uuid)
	if c == nil {
		return nil
	}
	if hosts := uuidsOf(Related[v1.Host](tx.View, HostsOfCluster, uuid)); len(hosts) > 0 {
		return v1.Conflict("cluster-in-use", "cluster %q still has %d hosts; delete them first", c.Name, len(hosts)).On(hosts...)
	}
	for _, l2 := range slices.Collect(Related[v1.L2Network](tx.View, L2sOfZone, c.ZoneUUID)) {
		if slices.Contains(l2.AttachedClusterUUIDs, uuid) {
			left := Copy(l2)
			left.AttachedClusterUUIDs = without(l2.AttachedClusterUUIDs, uuid)
			tx.Save(left)
		}
	}
	tx.Drop(Clusters, uuid)
	return nil
}
