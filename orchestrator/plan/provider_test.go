package plan_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest/directory"
)

// A second provider is one folder and one line: this one.
var withDirectory = append(slices.Clone(services), directory.Service{})

// ranged is the scene with the ranges that the rules look for.
func ranged() *plantest.Scene {
	s := plantest.New()
	for _, n := range s.Row().Nics {
		s.Add(&v1.IPRange{Meta: v1.Meta{UUID: model.NewUUID()}, L3NetworkUUID: n.L3NetworkUUID, NetworkCIDR: n.Prefix, Gateway: n.Gateway,
			StartIP: n.Prefix.Addr().Next().Next(), EndIP: n.Prefix.Addr().Next().Next().Next()})
	}
	return s
}

// A provider that was added is listed, attached, planned, and not detached while
// something uses it; without it all that is refused by name.
func TestAnotherProvider(t *testing.T) {
	s := ranged()
	nic := s.VM(0, plantest.Guest, v1.StateRunning)
	asked := map[string][]string{directory.Provider: {directory.Provider}}

	v := s.View()
	v.Catalog.Services = plan.Offers(services)
	if _, err := model.AttachNetworkServices(model.NewTx(v, time.Unix(0, 0)), plantest.Guest, asked); v1.Code(err) != "provider-unknown" {
		t.Fatalf("without the provider: %v", err)
	}

	v.Catalog.Services = plan.Offers(withDirectory)
	if all := v.Catalog.Providers(); len(all) != 2 || all[0].Type != v1.ProviderVirtualRouter || all[1].Type != directory.Provider ||
		!slices.Equal(all[1].ServiceTypes, []string{directory.Provider}) || all[0].UUID == all[1].UUID {
		t.Errorf("providers are %+v", all)
	}
	tx := model.NewTx(v, time.Unix(0, 0))
	attached(t, tx, asked)
	if !slices.Contains(records(t, tx.View), "directory") {
		t.Error("the record is not planned")
	}
	if _, err := model.DetachNetworkServices(tx, plantest.Guest, map[string][]string{v1.ProviderVirtualRouter: {v1.DNS}}, false); v1.Code(err) != "dns-required" {
		t.Errorf("DNS detached under it: %v", err)
	}
	_, err := model.DetachNetworkServices(tx, plantest.Guest, asked, false)
	var refusal *v1.Error
	if !errors.As(err, &refusal) || refusal.Code != "service-in-use" || !slices.Equal(refusal.Resources, []string{nic.UUID}) {
		t.Errorf("detached while in use: %v", err)
	}
	if _, err := model.DetachNetworkServices(tx, plantest.Guest, asked, true); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(records(t, tx.View), "directory") || model.Get[v1.VMNic](tx.View, nic.UUID) != nil {
		t.Error("the record, or what used the service, is still there")
	}
}

// Each service of a network has one provider.
func TestOneProviderAService(t *testing.T) {
	v := ranged().View()
	v.Catalog.Services = append(plan.Offers(withDirectory), model.ServiceType{Name: v1.DHCP, Provider: directory.Provider})
	tx := model.NewTx(v, time.Unix(0, 0))
	if _, err := model.AttachNetworkServices(tx, plantest.Guest, map[string][]string{directory.Provider: {v1.DHCP}}); v1.Code(err) != "service-has-provider" {
		t.Errorf("DHCP from two providers: %v", err)
	}
	if n, err := model.DetachNetworkServices(tx, plantest.Guest, map[string][]string{v1.ProviderVirtualRouter: {v1.DHCP}}, false); err != nil || n.HasService(v1.DHCP) {
		t.Fatal(err)
	}
	attached(t, tx, map[string][]string{directory.Provider: {v1.DHCP}})
	if c := planned(t, tx.View); len(c.DHCP) != 0 {
		t.Error("the router serves what another provider gives")
	}
}

func attached(t *testing.T, tx *model.Tx, asked map[string][]string) {
	t.Helper()
	if _, err := model.AttachNetworkServices(tx, plantest.Guest, asked); err != nil {
		t.Fatal(err)
	}
}

func planned(t *testing.T, v *model.View) agentv1.Content {
	t.Helper()
	c, err := plan.Content(v, model.Get[v1.VirtualRouter](v, plantest.Router), withDirectory)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func records(t *testing.T, v *model.View) (names []string) {
	for _, r := range planned(t, v).DNS[0].Records {
		names = append(names, r.Name)
	}
	return names
}
