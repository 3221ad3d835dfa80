package eip

import (
	"slices"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

func planned(t *testing.T, change func(s *plantest.Scene)) agentv1.Content {
	t.Helper()
	s := plantest.New()
	change(s)
	v := s.View()
	var c agentv1.Content
	if err := (Service{}).Contribute(v, model.Get[v1.VirtualRouter](v, plantest.Router), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// without takes a service off the guest network.
func without(s *plantest.Scene, service string) {
	l3 := s.L3(plantest.Guest)
	l3.NetworkServices = map[string][]string{}
	for _, other := range []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding} {
		if other != service {
			l3.NetworkServices[v1.ProviderVirtualRouter] = append(l3.NetworkServices[v1.ProviderVirtualRouter], other)
		}
	}
}

func TestContribute(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		nic := s.VM(0, plantest.Guest, v1.StateRunning).UUID
		for n := range 3 {
			s.VIP(n)
		}
		s.EIP(2, nic)
		s.EIP(0, nic)
		s.EIP(1, nic).CreateDate = s.EIP(0, nic).CreateDate // as old: by UUID
	})
	var got []string
	for _, e := range c.EIPs {
		got = append(got, e.VIP.String()+" "+e.GuestIP.String()+" "+e.Interface+" "+e.GuestInterface)
	}
	want := []string{}
	for _, vip := range []string{"100", "101", "102"} {
		want = append(want, "203.0.113."+vip+" 192.168.10.10 0a:00:00:00:00:01 0a:00:00:00:00:02")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNothing(t *testing.T) {
	for name, change := range map[string]func(s *plantest.Scene, vip *v1.VIP, e *v1.EIP){
		"without the service":   func(s *plantest.Scene, _ *v1.VIP, _ *v1.EIP) { without(s, v1.EIPService) },
		"without a public nic":  func(s *plantest.Scene, _ *v1.VIP, _ *v1.EIP) { s.Row().Nics = s.Row().Nics[2:] },
		"disabled":              func(_ *plantest.Scene, _ *v1.VIP, e *v1.EIP) { e.State = v1.Disabled },
		"VIP disabled":          func(_ *plantest.Scene, vip *v1.VIP, _ *v1.EIP) { vip.State = v1.Disabled },
		"VIP of another public": func(_ *plantest.Scene, vip *v1.VIP, _ *v1.EIP) { vip.L3NetworkUUID = plantest.Other },
		"detached":              func(_ *plantest.Scene, _ *v1.VIP, e *v1.EIP) { e.VMNicUUID = "" },
		"guest stopped": func(s *plantest.Scene, _ *v1.VIP, e *v1.EIP) {
			e.VMNicUUID = s.VM(1, plantest.Guest, v1.StateStopped).UUID
		},
		"guest elsewhere": func(s *plantest.Scene, _ *v1.VIP, e *v1.EIP) {
			e.VMNicUUID = s.VM(1, plantest.Other, v1.StateRunning).UUID
		},
	} {
		c := planned(t, func(s *plantest.Scene) { change(s, s.VIP(0), s.EIP(0, s.VM(0, plantest.Guest, v1.StateRunning).UUID)) })
		if c.EIPs != nil {
			t.Errorf("%s: %+v", name, c.EIPs)
		}
	}
}
