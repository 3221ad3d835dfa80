package dhcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

func planned(t *testing.T, change func(s *plantest.Scene)) agentv1.Content {
	t.Helper()
	return plantest.Contribution(t, Service{}, change)
}

func TestContribute(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		s.VM(0, plantest.Guest, v1.StateRunning).DHCPOptions = map[string]string{"67": "626f6f74"}
		s.VM(1, plantest.Guest, v1.StateStopped)
		s.VM(2, plantest.Guest, v1.StateRunning).IsDefault = false
	})
	n := c.DHCP[0]
	if len(c.DHCP) != 1 || n.ServerID != n.Router || n.Router.String() != "192.168.10.1" || n.MTU != 1450 || n.Domain != "guest.example" ||
		len(n.Routes) != 1 || n.LeaseSeconds != LeaseSeconds || n.Subnet.String() != "192.168.10.0/24" {
		t.Errorf("network %+v", n)
	}
	if len(n.Bindings) != 2 || n.Bindings[0].Hostname != "vm2" || n.Bindings[0].IsDefault || !n.Bindings[1].IsDefault || n.Bindings[1].Options[67] != "626f6f74" {
		t.Errorf("bindings %+v (sorted by MAC)", n.Bindings)
	}
	if fmt.Sprint(n.DNS) != "[192.168.10.1]" {
		t.Errorf("name servers %v: the router serves DNS", n.DNS)
	}
}

func TestStaticRoutesOfANic(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		s.VM(0, plantest.Guest, v1.StateRunning).StaticRoutes = []v1.HostRoute{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), NextHop: netip.MustParseAddr("192.168.10.8")}}
		s.VM(1, plantest.Guest, v1.StateRunning)
	})
	n := c.DHCP[0]
	if got := fmt.Sprint(n.Routes, n.Bindings[1].Routes, n.Bindings[0].Routes); got != "[{198.51.100.0/24 192.168.10.9}] [{10.0.0.0/8 192.168.10.8}] []" {
		t.Errorf("routes of the network and the nics: %s", got)
	}
}

func TestNameServersWithoutDNS(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) { s.Without(v1.DNS) })
	if got := fmt.Sprint(c.DHCP[0].DNS); got != "[192.0.2.53 192.0.2.54]" {
		t.Errorf("got %s", got)
	}
}

func TestRelays(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		s.L3(plantest.Guest).DHCPRelays = []netip.Addr{netip.MustParseAddr("192.168.10.250"), netip.MustParseAddr("192.168.10.240")}
	})
	if got := fmt.Sprint(c.DHCP[0].Relays); got != "[192.168.10.250 192.168.10.240]" {
		t.Errorf("relays %s", got)
	}
	if c := planned(t, func(*plantest.Scene) {}); c.DHCP[0].Relays != nil {
		t.Errorf("relays that nobody set: %v", c.DHCP[0].Relays)
	}
}

func TestNothing(t *testing.T) {
	if c := planned(t, func(s *plantest.Scene) { s.Without(v1.DHCP) }); c.DHCP != nil {
		t.Errorf("without the service %+v", c.DHCP)
	}
	if c := planned(t, func(s *plantest.Scene) { s.Row().Nics = s.Row().Nics[:2] }); c.DHCP != nil {
		t.Errorf("without a guest nic %+v", c.DHCP)
	}
}

func TestBadOptionNamesTheNic(t *testing.T) {
	s := plantest.New()
	nic := s.VM(0, plantest.Guest, v1.StateRunning)
	nic.DHCPOptions = map[string]string{"boot": "00"}
	err := (Service{}).Contribute(s.View(), s.Row(), model.Related[v1.VMNic](s.View(), model.NicsOfL3, plantest.Guest), &agentv1.Content{})
	if err == nil || !strings.Contains(err.Error(), nic.UUID) {
		t.Errorf("got %v", err)
	}
}
