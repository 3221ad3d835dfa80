package plantest

import (
	"iter"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Service is what of plan.Service is tried here.
type Service interface {
	Contribute(v *model.View, r *v1.VirtualRouter, nics iter.Seq[*v1.VMNic], c *agentv1.Content) error
}

// Contribution is what a service alone adds to the router of a changed scene.
func Contribution(t *testing.T, service Service, change func(s *Scene)) agentv1.Content {
	t.Helper()
	s := New()
	change(s)
	v := s.View()
	var c agentv1.Content
	if err := service.Contribute(v, model.Get[v1.VirtualRouter](v, Router), model.Related[v1.VMNic](v, model.NicsOfL3, Guest), &c); err != nil {
		t.Fatal(err)
	}
	c.Sort()
	return c
}

// Without takes a service off the guest network.
func (s *Scene) Without(service string) {
	l3 := s.L3(Guest)
	l3.NetworkServices = map[string][]string{}
	for _, other := range []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding} {
		if other != service {
			l3.NetworkServices[v1.ProviderVirtualRouter] = append(l3.NetworkServices[v1.ProviderVirtualRouter], other)
		}
	}
}
