package eip

import (
	"slices"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

func planned(t *testing.T, change func(s *plantest.Scene)) agentv1.Content {
	t.Helper()
	return plantest.Contribution(t, Service{}, change)
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
		"without the service":   func(s *plantest.Scene, _ *v1.VIP, _ *v1.EIP) { s.Without(v1.EIPService) },
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
