package portforwarding

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// overlaps refuses a port of a VIP and protocol that two rules map. Sorted by
// start, an overlap anywhere shows between neighbours.
func overlaps(rules []agentv1.PortForwarding) error {
	order := make([]int, len(rules))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := rules[i], rules[j]
		return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.VIPPortStart, b.VIPPortStart), cmp.Compare(i, j))
	})
	for n := 1; n < len(order); n++ {
		i, j := order[n-1], order[n]
		a, b := rules[i], rules[j]
		if a.VIP == b.VIP && a.Protocol == b.Protocol && b.VIPPortStart <= a.VIPPortEnd {
			return dataplane.Fieldf(fmt.Sprintf("/content/portForwardings/%d/vipPortStart", max(i, j)),
				"%s ports %d-%d and %d-%d of %s overlap", a.Protocol, a.VIPPortStart, a.VIPPortEnd, b.VIPPortStart, b.VIPPortEnd, a.VIP)
		}
	}
	return nil
}
