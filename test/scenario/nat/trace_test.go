package nat

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// TestPacketsGoAsTraced: from everywhere to everywhere, packets do what the
// tracer reads in the wanted state.
func TestPacketsGoAsTraced(t *testing.T) {
	w := newWorld(t)
	limited := forward(vipP, "udp", 90, 90, aIP, 7)
	limited.AllowedCIDR = netip.MustParsePrefix("198.51.100.0/24")
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "udp", 80, 85, bIP, 2), forward(routerIP, "udp", 80, 80, bIP, 7), limited}
	w.apply(c)
	state := dataplane.Render(w.want(c))
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	w.internet.Run(t, "ip route add 192.0.2.0/24 via "+routerIP)
	names := map[string]*kerneltest.Namespace{aIP: w.a, bIP: w.b, farIP: w.internet, managementIP: w.management}
	for ip, ns := range names {
		serve(t, ns, ip, ip+":7")
	}
	var all sync.WaitGroup
	answered := 0
	for _, from := range []struct {
		ns     *kerneltest.Namespace
		in, ip string
	}{{w.a, "lan0", aIP}, {w.b, "lan0", bIP}, {w.internet, "pub0", farIP}, {w.internet, "pub0", gatewayIP}, {w.management, "mgmt0", managementIP}} {
		for _, to := range []string{vipA + ":7", vipB + ":7", vipP + ":80", vipP + ":85", vipP + ":86", vipP + ":90", routerIP + ":80", routerIP + ":7",
			aIP + ":7", bIP + ":7", farIP + ":7", managementIP + ":7", routerGuest + ":7", routerMgmt + ":7"} {
			if names[addrPort(to).Addr().String()] == from.ns || from.in == "lan0" && (to == aIP+":7" || to == bIP+":7") {
				continue // not through the router
			}
			way := kerneltest.Trace(state, kerneltest.Packet{In: from.in, Protocol: "udp", From: netip.AddrPortFrom(addr(from.ip), 4000), To: addrPort(to)})
			if names[way.To.Addr().String()] != nil && way.To.Port() == 7 && way.Out != "lo" {
				answered++
				all.Go(func() { w.reaches(from.ns, "udp", from.ip, to, way.To.Addr().String(), way.Source.String()) })
			} else {
				all.Go(func() { w.isolated(from.ns, "udp", from.ip, to) })
			}
		}
	}
	all.Wait()
	if answered < 12 {
		t.Errorf("only %d ways lead anywhere", answered)
	}
}
