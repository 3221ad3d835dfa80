package model_test

import (
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
)

// wanted is what a router depends on: what it has to do, and where it can be.
func wanted(t *rapid.T, v *model.View, uuid string) string {
	r := model.Get[v1.VirtualRouter](v, uuid)
	if r == nil {
		return ""
	}
	c, err := plan.Content(v, r, []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}})
	if err != nil {
		t.Fatal(err)
	}
	s := r.WantedState + c.Hash()
	for _, host := range model.CandidateHosts(v, r) {
		s += host.UUID
	}
	return s
}

// TestConcerned holds the routers that a change is said to concern against
// those that it does concern, over random histories.
func TestConcerned(t *testing.T) {
	changed, named, spared := 0, 0, 0
	rapid.Check(t, func(r *rapid.T) {
		model.RandomWalk(t, r, func(name string, before *model.View, tx *model.Tx) {
			concerned, everyone := map[string]bool{}, false
			for k, after := range tx.Writes() {
				routers, all := plan.Concerned(tx.View, before.Any(k.Kind, k.UUID), after)
				everyone = everyone || all
				for _, uuid := range routers {
					concerned[uuid] = true
				}
			}
			for row := range model.List[v1.VirtualRouter](tx.View) {
				is := wanted(r, before, row.UUID) != wanted(r, tx.View, row.UUID)
				switch {
				case is && !everyone && !concerned[row.UUID]:
					r.Fatalf("%s changes what router %s has to be, and is said not to", name, row.UUID)
				case is:
					changed++
				case everyone || concerned[row.UUID]:
					named++
				default:
					spared++
				}
			}
		})
	})
	t.Logf("routers: %d changed, %d looked at for nothing, %d spared", changed, named, spared)
	if changed == 0 || spared < changed+named {
		t.Error("nothing is tested, or nothing saved")
	}
}
