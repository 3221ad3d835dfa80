package httpapi

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// filled is a resource as it is answered: with the fields that are stored
// elsewhere. What a view handed out is not changed.
func filled[P v1.Resource](v *model.View, r P) P {
	var out v1.Resource = r
	switch r := any(r).(type) {
	case *v1.L3Network:
		out = model.WithRanges(v, r)
	case *v1.VMInstance:
		out = model.WithNics(v, r)
	}
	return shown(v, out).(P)
}

// shown is a resource as the view's account may look at it. It is also what the
// account's filters and sorting see: else they would tell what is not shown.
func shown(v *model.View, r v1.Resource) v1.Resource {
	if v.Account() == "" {
		return r
	}
	return withoutCloud(r)
}

// withoutCloud is a resource as accounts see it: without what says how the
// cloud is made and who else is there.
func withoutCloud(r v1.Resource) v1.Resource {
	switch r := r.(type) {
	case *v1.L2Network:
		c := model.Copy(r)
		c.AttachedClusterUUIDs, c.Realizations, c.SharedWith = []string{}, []v1.Realization{}, nil
		return c
	case *v1.L3Network:
		c := model.Copy(r)
		c.SharedWith = nil
		return c
	case *v1.VMInstance:
		c := model.Copy(r)
		c.HostUUID = ""
		return c
	}
	return r
}
