package novlan

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/hostnettest"
)

func TestType(t *testing.T) {
	hostnettest.Case{
		Type: Type{}, Host: hostnettest.Host,
		Network: func(n int) *v1.L2Network {
			l2 := hostnettest.Network(n)
			l2.Type = v1.L2NoVlan
			return l2
		},
		Device: func(*testing.T) string { return hostnettest.Uplink },
		Made:   func(l2 *v1.L2Network) []string { return []string{bridge.Name(l2)} },
	}.Run(t)
}
