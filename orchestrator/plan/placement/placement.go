// Package placement chooses the host of a router. It is pure.
package placement

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Choose is the UUID of the host to run the router on: Enabled and Connected,
// of a cluster that has every L2 network of the router's nics attached, one of
// those that its offering is dedicated to if it is; of several the one with the
// fewest routers, then the first by UUID. The host it has is kept while it
// will do. Refused with no-host (a retry may help).
func Choose(v *model.View, r *v1.VirtualRouter) (string, error) {
	hosts := model.CandidateHosts(v, r)
	if len(hosts) == 0 {
		return "", v1.Unavailable("no-host",
			"placement of router %q: no Enabled and Connected host reaches all of its networks; look at `sluice host list`, and attach their L2 networks to one cluster", r.Name).On(r.UUID)
	}
	if slices.ContainsFunc(hosts, func(h *v1.Host) bool { return h.UUID == r.HostUUID }) {
		return r.HostUUID, nil
	}
	best := slices.MinFunc(hosts, func(a, b *v1.Host) int {
		return load(v, a) - load(v, b) // the first of equals: hosts come in order of UUID within a cluster
	})
	return best.UUID, nil
}

// MustMove reports whether a placed router has to leave its host although that
// still works: the host is fenced or in Maintenance, or its cluster lost an L2 network
// of the router. A host that is merely Disabled, or does not answer, is not
// left.
func MustMove(v *model.View, r *v1.VirtualRouter) bool {
	h := model.Get[v1.Host](v, r.HostUUID)
	if r.HostUUID == "" || r.WantedState == v1.StateDestroyed {
		return false
	}
	return h == nil || h.Fenced || h.State == v1.Maintenance || !reaches(v, h, r)
}

func reaches(v *model.View, h *v1.Host, r *v1.VirtualRouter) bool {
	for _, uuid := range model.RouterL3s(r) {
		l3 := model.Get[v1.L3Network](v, uuid)
		if l3 == nil {
			return false
		}
		l2 := model.Get[v1.L2Network](v, l3.L2NetworkUUID)
		if l2 == nil || !slices.Contains(l2.AttachedClusterUUIDs, h.ClusterUUID) {
			return false
		}
	}
	return true
}

func load(v *model.View, h *v1.Host) int {
	n := 0
	for range model.Related[v1.VirtualRouter](v, model.RoutersOfHost, h.UUID) {
		n++
	}
	return n
}
