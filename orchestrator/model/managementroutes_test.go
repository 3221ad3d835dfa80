package model

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestManagementRoutes: what a router could not take is refused where it is
// said, whatever comes first: the routes, the offering or the router.
func TestManagementRoutes(t *testing.T) {
	for name, test := range map[string]struct {
		routes []v1.HostRoute
		code   string
	}{
		"to an orchestrator":         {routes("198.18.0.0/15", "10.0.0.1", "198.18.0.7/32", "10.0.0.9"), ""},
		"wider than a guest network": {routes("192.168.0.0/16", "10.0.0.1"), ""},
		"the guest network":          {routes("192.168.10.0/24", "10.0.0.1"), "management-route-overlaps"},
		"a part of it":               {routes("192.168.10.64/26", "10.0.0.1"), "management-route-overlaps"},
		"a part of the public one":   {routes("203.0.113.0/25", "10.0.0.1"), "management-route-overlaps"},
		"by a host elsewhere":        {routes("198.18.0.0/15", "203.0.113.1"), "next-hop-not-on-management"},
		"by the broadcast address":   {routes("198.18.0.0/15", "10.0.0.255"), "next-hop-not-on-management"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			vm := w.addVM("vm", w.guest)
			w.start(vm.UUID)
			w.clean()
			_, err := SetHostRoutes(w.tx, w.management, test.routes)
			w.held(test.code, err)
			w.held(test.code, w.patch(L3Networks, w.management, `{"hostRoutes":`+asJSON(test.routes)+`}`))

			w = newWorld(t) // the routes are there first
			vm = w.addVM("vm", w.guest)
			l3 := Copy(w.l3(w.management))
			l3.HostRoutes = test.routes
			w.tx.Save(l3)
			w.clean()
			_, err = StartVM(w.tx, vm.UUID)
			w.held(test.code, err)
		})
	}
	w := newWorld(t)
	_, other := w.addNetwork("other", "eth8", v1.System, "10.8.0.0/24")
	_, err := SetHostRoutes(w.tx, other, routes("203.0.113.0/25", "10.8.0.1"))
	w.ok(err) // nobody takes them
	w.clean()
	req := w.offeringRequest("by-other")
	req.ManagementNetworkUUID = other
	_, err = CreateOffering(w.tx, req)
	w.refused("management-route-overlaps", err)
	_, err = SetHostRoutes(w.tx, w.guest, routes("192.168.10.128/25", "192.168.10.9"))
	w.ok(err) // of guests, whatever they are
}
