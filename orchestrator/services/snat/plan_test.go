package snat

import (
	"fmt"
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
	c := planned(t, func(*plantest.Scene) {})
	if got := fmt.Sprint(c.SNAT); got != "[{192.168.10.0/24 0a:00:00:00:00:01 203.0.113.2}]" {
		t.Errorf("got %s", got)
	}
}

func TestNothing(t *testing.T) {
	for name, change := range map[string]func(s *plantest.Scene){
		"without the service":  func(s *plantest.Scene) { s.Without(v1.SNAT) },
		"without a public nic": func(s *plantest.Scene) { s.Row().Nics = s.Row().Nics[2:] },
		"tagged off":           func(s *plantest.Scene) { s.Row().SystemTags = []string{DisabledTag} },
		"public and guest are one": func(s *plantest.Scene) {
			s.Row().Nics = s.Row().Nics[2:]
			s.Row().Nics[0].Roles = []string{"public", "guest"}
		},
	} {
		if c := planned(t, change); c.SNAT != nil {
			t.Errorf("%s: %+v", name, c.SNAT)
		}
	}
}
