package portforwarding

import (
	"net/netip"
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
		s.VIP(1)
		s.Rule(1, nic, "UDP").AllowedCIDR = netip.MustParsePrefix("198.51.100.0/24")
		s.VIP(0).IP = netip.MustParseAddr("203.0.113.2") // the router's own
		s.Rule(0, nic, "TCP")
	})
	if len(c.PortForwardings) != 2 {
		t.Fatalf("got %+v", c.PortForwardings)
	}
	own, other := c.PortForwardings[0], c.PortForwardings[1]
	if !own.VIPIsRouter || own.Protocol != "tcp" || own.AllowedCIDR.IsValid() || own.VIPPortStart != 1000 || own.VIPPortEnd != 1001 || own.PrivatePortStart != 22 {
		t.Errorf("own %+v", own)
	}
	if other.VIPIsRouter || other.Protocol != "udp" || !other.AllowedCIDR.IsValid() || other.GuestIP.String() != "192.168.10.10" ||
		other.Interface != "0a:00:00:00:00:01" || other.GuestInterface != "0a:00:00:00:00:02" {
		t.Errorf("other %+v", other)
	}
}

func TestNothing(t *testing.T) {
	for name, change := range map[string]func(s *plantest.Scene, vip *v1.VIP, f *v1.PortForwardingRule){
		"without the service":   func(s *plantest.Scene, _ *v1.VIP, _ *v1.PortForwardingRule) { s.Without(v1.PortForwarding) },
		"without a public nic":  func(s *plantest.Scene, _ *v1.VIP, _ *v1.PortForwardingRule) { s.Row().Nics = s.Row().Nics[2:] },
		"disabled":              func(_ *plantest.Scene, _ *v1.VIP, f *v1.PortForwardingRule) { f.State = v1.Disabled },
		"VIP disabled":          func(_ *plantest.Scene, vip *v1.VIP, _ *v1.PortForwardingRule) { vip.State = v1.Disabled },
		"VIP of another public": func(_ *plantest.Scene, vip *v1.VIP, _ *v1.PortForwardingRule) { vip.L3NetworkUUID = plantest.Other },
		"detached":              func(_ *plantest.Scene, _ *v1.VIP, f *v1.PortForwardingRule) { f.VMNicUUID = "" },
		"guest stopped": func(s *plantest.Scene, _ *v1.VIP, f *v1.PortForwardingRule) {
			f.VMNicUUID = s.VM(1, plantest.Guest, v1.StateStopped).UUID
		},
		"guest elsewhere": func(s *plantest.Scene, _ *v1.VIP, f *v1.PortForwardingRule) {
			f.VMNicUUID = s.VM(1, plantest.Other, v1.StateRunning).UUID
		},
	} {
		c := planned(t, func(s *plantest.Scene) {
			change(s, s.VIP(0), s.Rule(0, s.VM(0, plantest.Guest, v1.StateRunning).UUID, "TCP"))
		})
		if c.PortForwardings != nil {
			t.Errorf("%s: %+v", name, c.PortForwardings)
		}
	}
}
