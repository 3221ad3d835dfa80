package plan_test

import (
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// TestConcernsNobody: a kind wakes the routers that it concerns or, if it is on this
// list, none; a few wake all. A new kind has to be put on one side.
func TestConcernsNobody(t *testing.T) {
	nobody := map[model.Kind]bool{model.Accounts: true}
	everyone := map[model.Kind]bool{model.Zones: true, model.Clusters: true, model.Hosts: true, model.Images: true, model.Offerings: true}
	for _, k := range model.Kinds() {
		row := k.New()
		row.GetMeta().UUID = model.NewUUID()
		routers, all := plan.Concerned(model.NewView(), nil, row)
		if all != everyone[k] {
			t.Errorf("%s: concerns everyone: %t", k, all)
		}
		if nobody[k] && len(routers) > 0 {
			t.Errorf("%s: concerns %v", k, routers)
		}
	}
}
