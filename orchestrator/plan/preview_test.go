package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

func preview(t *testing.T, s *plantest.Scene, change func(tx *model.Tx)) v1.Plan {
	t.Helper()
	tx := model.NewTx(s.View(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	before := tx.Clone()
	change(tx)
	return plan.Preview(before, tx, services)
}

func TestPreview(t *testing.T) {
	s := plantest.New()
	s.Add(&v1.Host{Meta: v1.Meta{UUID: plantest.Host}, ClusterUUID: plantest.ID(2), Status: v1.Connected, State: v1.Enabled})
	for _, r := range s.Resources {
		if l2, ok := r.(*v1.L2Network); ok {
			l2.AttachedClusterUUIDs = []string{plantest.ID(2)}
		}
	}
	row := s.Row()
	row.State, row.Status = v1.StateRunning, v1.Connected
	content, err := plan.Content(s.View(), row, services)
	if err != nil {
		t.Fatal(err)
	}
	row.AppliedHash = content.Hash()

	if p := preview(t, s, func(*model.Tx) {}); len(p.Changes) != 0 || len(p.Routers) != 0 || p.Changes == nil || p.Routers == nil {
		t.Errorf("nothing: %+v", p)
	}
	p := preview(t, s, func(tx *model.Tx) {
		l3 := model.Copy(model.Get[v1.L3Network](tx.View, plantest.Guest))
		l3.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
		tx.Save(l3)
	})
	if len(p.Changes) != 1 || len(p.Changes[0].Fields) != 1 || p.Changes[0].Fields[0].Field != "dns" || p.Changes[0].Name != "guest" {
		t.Errorf("%+v", p.Changes)
	}
	if len(p.Routers) != 1 || !slices.Equal(p.Routers[0].Actions, []string{"apply"}) || p.Routers[0].Name != "vr-guest" {
		t.Fatalf("%+v", p.Routers)
	}
	for _, r := range p.Routers[0].Rows {
		if !strings.Contains(r, "dns") {
			t.Errorf("row %q has nothing to do with it", r)
		}
	}
	if !slices.ContainsFunc(p.Routers[0].Rows, func(r string) bool { return strings.HasPrefix(r, "+ ") && strings.Contains(r, "192.0.2.99") }) {
		t.Errorf("%q", p.Routers[0].Rows)
	}

	p = preview(t, s, func(tx *model.Tx) {
		r := model.Copy(model.Get[v1.VirtualRouter](tx.View, plantest.Router))
		r.WantedState = v1.StateDestroyed
		tx.Save(r)
	})
	if len(p.Routers) != 1 || !slices.Equal(p.Routers[0].Actions, []string{"destroy", "forget"}) || !strings.HasPrefix(p.Routers[0].Rows[0], "- router: hostname=") {
		t.Errorf("%+v", p.Routers)
	}

	p = preview(t, s, func(tx *model.Tx) {
		tx.Drop(model.L2Networks, plantest.ID(7)) // of the guests: there is no way to stay
	})
	if len(p.Changes) != 1 || p.Changes[0].Change != "deleted" || p.Changes[0].Resource != nil {
		t.Errorf("%+v", p.Changes)
	}
	if len(p.Routers) != 1 || p.Routers[0].Actions[0] != "leave" {
		t.Errorf("%+v", p.Routers)
	}
	p = preview(t, s, func(tx *model.Tx) {
		z := &v1.Zone{Meta: v1.Meta{Name: "for a moment"}}
		if err := tx.Create(z); err != nil {
			t.Fatal(err)
		}
		tx.Drop(model.Zones, z.UUID)
	})
	if len(p.Changes) != 0 {
		t.Errorf("made and dropped again: %+v", p.Changes)
	}
}
