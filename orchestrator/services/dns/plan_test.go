package dns

import (
	"fmt"
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
		s.VM(3, plantest.Guest, v1.StateRunning)
		s.VM(1, plantest.Guest, v1.StateRunning)
		s.VM(0, plantest.Guest, v1.StateStopped)
		s.VM(2, plantest.Other, v1.StateRunning)
		l3 := s.L3(plantest.Guest)
		l3.DNS = append(l3.DNS, netip.MustParseAddr("192.168.10.1")) // itself
	})
	n := c.DNS[0]
	if got := fmt.Sprint(n.Listen, " ", n.Domain, " ", n.Subnet, n.Upstreams, n.Records); len(c.DNS) != 1 ||
		got != "[192.168.10.1] guest.example 192.168.10.0/24 [192.0.2.53:53 192.0.2.54:53] [{vm1 192.168.10.11 } {vm3 192.168.10.13 }]" {
		t.Errorf("got %s", got)
	}
}

func TestRecordsOfTheNetwork(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		s.VM(1, plantest.Guest, v1.StateRunning)
		s.L3(plantest.Guest).DNSRecords = []v1.DNSRecord{
			{Name: "vm1", IPs: []netip.Addr{netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("192.0.2.9")}},
			{Name: "db", IPs: []netip.Addr{netip.MustParseAddr("192.168.10.40")}},
		}
	})
	if got := fmt.Sprint(c.DNS[0].Records); got != "[{db 192.168.10.40 } {vm1 192.0.2.9 network} {vm1 192.168.10.11 }]" {
		t.Errorf("got %s", got)
	}
}

func TestOverTLS(t *testing.T) {
	c := planned(t, func(s *plantest.Scene) {
		s.L3(plantest.Guest).DNSOverTLS = v1.DNSOverTLS{DNSTLSName: "dns.example", DNSTLSCA: "pem"}
	})
	n := c.DNS[0]
	if got := fmt.Sprint(n.Upstreams, *n.TLS); got != "[192.0.2.53:853 192.0.2.54:853] {dns.example pem}" {
		t.Errorf("got %s", got)
	}
	if c := planned(t, func(*plantest.Scene) {}); c.DNS[0].TLS != nil {
		t.Errorf("TLS that nobody asked for: %+v", c.DNS[0].TLS)
	}
}

func TestNothing(t *testing.T) {
	if c := planned(t, func(s *plantest.Scene) { s.Without(v1.DNS) }); c.DNS != nil {
		t.Errorf("without the service %+v", c.DNS)
	}
	if c := planned(t, func(s *plantest.Scene) { s.Row().Nics = s.Row().Nics[:2] }); c.DNS != nil {
		t.Errorf("without a guest nic %+v", c.DNS)
	}
}
