package plan_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

func TestNamesThatClashAreTold(t *testing.T) {
	s := plantest.New()
	rename := func(nic *v1.VMNic, hostname string) { s.VMOf(nic).Hostname = hostname }
	web, twin := s.VM(0, plantest.Guest, v1.StateRunning), s.VM(1, plantest.Guest, v1.StateRunning)
	off, away := s.VM(2, plantest.Guest, v1.StateStopped), s.VM(3, plantest.Other, v1.StateRunning)
	for _, nic := range []*v1.VMNic{web, twin, off, away} {
		rename(nic, "alone")
	}
	rename(web, "web")
	if got := plan.Clashes(s.View(), s.Row()); len(got) != 0 {
		t.Errorf("nothing clashes: %v", got)
	}
	rename(twin, "WEB")
	got := plan.Clashes(s.View(), s.Row())
	if len(got) != 1 || !strings.Contains(got[0], `"web"`) || !strings.Contains(got[0], web.IP.String()) || !strings.Contains(got[0], twin.IP.String()) {
		t.Errorf("two guests of one name: %v", got)
	}
	record := netip.MustParseAddr("10.9.9.9")
	rename(twin, "db")
	s.L3(plantest.Guest).DNSRecords = []v1.DNSRecord{{Name: "Db", IPs: []netip.Addr{record}}, {Name: "both", IPs: []netip.Addr{record, web.IP}}}
	got = plan.Clashes(s.View(), s.Row())
	if len(got) != 1 || !strings.Contains(got[0], `"db"`) || !strings.Contains(got[0], "a DNS record of the network at 10.9.9.9") {
		t.Errorf("a guest of a record's name: %v", got)
	}
	for n := range 15 {
		for m := range 2 {
			rename(s.VM(10+2*n+m, plantest.Guest, v1.StateRunning), fmt.Sprintf("n%02d", n))
		}
	}
	if got = plan.Clashes(s.View(), s.Row()); len(got) != 11 || !strings.HasPrefix(got[10], "6 more") {
		t.Errorf("many: %d, the last %q", len(got), got[len(got)-1])
	}
}
