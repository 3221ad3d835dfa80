package model_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
)

var planners = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}

// wanted is what a router depends on: what it has to do, and where it can be.
func wanted(t *rapid.T, v *model.View, uuid string) string {
	r := model.Get[v1.VirtualRouter](v, uuid)
	if r == nil {
		return ""
	}
	c, err := plan.Content(v, r, planners)
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
				concerns, all := plan.Concerned(tx.View, before.Any(k.Kind, k.UUID), after)
				everyone = everyone || all
				for _, c := range concerns {
					concerned[c.Router] = true
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

// TestDifference holds what is planned of the nics that changes concern, several
// steps at a time, against all that is planned.
func TestDifference(t *testing.T) {
	changed, entries := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		was, whole, nics := map[string]*model.View{}, map[string]bool{}, map[string][]string{}
		model.RandomWalk(t, r, func(name string, before *model.View, tx *model.Tx) {
			for k, after := range tx.Writes() {
				concerns, everyone := plan.Concerned(tx.View, before.Any(k.Kind, k.UUID), after)
				for _, c := range concerns {
					whole[c.Router] = whole[c.Router] || c.Nic == ""
					if !slices.Contains(nics[c.Router], c.Nic) {
						nics[c.Router] = append(nics[c.Router], c.Nic)
					}
				}
				if everyone {
					clear(was)
				}
			}
			for row := range model.List[v1.VirtualRouter](tx.View) {
				if was[row.UUID] != nil && !whole[row.UUID] && rapid.Bool().Draw(r, "another step first") {
					continue
				}
				if old := was[row.UUID]; old != nil && !whole[row.UUID] {
					ch, ok := plan.Difference(old, tx.View, row.UUID, nics[row.UUID], planners)
					if !ok {
						r.Fatalf("%s: no difference for nics %v", name, nics[row.UUID])
					}
					got, err := content(r, old, row.UUID).Changed(ch)
					if want := content(r, tx.View, row.UUID); err != nil || got.Hash() != want.Hash() {
						r.Fatalf("%s, nics %v: %v\n%+v\nmakes %+v\nwant  %+v", name, nics[row.UUID], err, ch, got, want)
					}
					if entries += ch.Len(); ch.Len() > 0 {
						changed++
					}
				}
				was[row.UUID], whole[row.UUID], nics[row.UUID] = tx.View, false, nil
			}
		})
	})
	if t.Logf("%d changes of %d entries", changed, entries); changed < 20 {
		t.Error("nothing is tested")
	}
}

func content(t *rapid.T, v *model.View, router string) agentv1.Content {
	c, err := plan.Content(v, model.Get[v1.VirtualRouter](v, router), planners)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
