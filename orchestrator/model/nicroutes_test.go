package model

import (
	"fmt"
	"net/netip"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func routes(pairs ...string) (all []v1.HostRoute) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, v1.HostRoute{Prefix: netip.MustParsePrefix(pairs[i]), NextHop: ip(pairs[i+1])})
	}
	return all
}

// TestStaticRoutes: the same rules hold where a VM is made, is given a nic, and
// where the nic is changed.
func TestStaticRoutes(t *testing.T) {
	many := []string{}
	for i := range MaxHostRoutes + 1 {
		many = append(many, fmt.Sprintf("10.0.%d.0/24", i), "192.168.10.9")
	}
	for name, test := range map[string]struct {
		routes     []v1.HostRoute
		isDefault  bool
		code, json string
	}{
		"one":                         {routes("10.0.0.0/8", "192.168.10.9"), false, "", `[{"prefix":"10.0.0.0/8","nexthop":"192.168.10.9"}]`},
		"by the gateway":              {routes("10.0.0.0/8", "192.168.10.1"), false, "", `[{"prefix":"10.0.0.0/8","nexthop":"192.168.10.1"}]`},
		"default route":               {routes("0.0.0.0/0", "192.168.10.9"), true, "", `[{"prefix":"0.0.0.0/0","nexthop":"192.168.10.9"}]`},
		"default route, second nic":   {routes("0.0.0.0/0", "192.168.10.9"), false, "default-route-not-on-default-nic", ""},
		"outside the subnet":          {routes("10.0.0.0/8", "192.168.11.9"), true, "next-hop-not-on-nic", ""},
		"by the broadcast address":    {routes("10.0.0.0/8", "192.168.10.255"), true, "next-hop-not-on-nic", ""},
		"by the nic itself":           {routes("10.0.0.0/8", "192.168.10.7"), true, "next-hop-not-on-nic", ""},
		"twice":                       {routes("10.0.0.0/8", "192.168.10.9", "10.0.0.0/8", "192.168.10.8"), true, "duplicate-static-route", ""},
		"host bits":                   {routes("10.0.0.1/8", "192.168.10.9"), true, "invalid-cidr", ""},
		"multicast":                   {routes("224.0.0.0/8", "192.168.10.9"), true, "cidr-not-unicast", ""},
		"IPv6":                        {routes("fd00::/64", "192.168.10.9"), true, "ipv6-unsupported", ""},
		"next hop that is no unicast": {routes("10.0.0.0/8", "224.0.0.1"), true, "address-not-unicast", ""},
		"too many":                    {routes(many...), true, "too-many-static-routes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, plain := w.addNetwork("plain", "eth7", v1.Private, "192.168.70.0/24")
			w.clean()
			nic := v1.CreateVMNic{L3NetworkUUID: w.guest, IP: "192.168.10.7", StaticRoutes: test.routes, IsDefault: test.isDefault}
			first := v1.CreateVMNic{L3NetworkUUID: plain}
			_, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: named("made"), Nics: []v1.CreateVMNic{first, nic}})
			w.held(test.code, err)

			w = newWorld(t)
			_, plain = w.addNetwork("plain", "eth7", v1.Private, "192.168.70.0/24")
			first.L3NetworkUUID, nic.L3NetworkUUID = plain, w.guest
			vm, err := CreateVM(w.tx, v1.CreateVMInstance{CreateMeta: named("later"), Nics: []v1.CreateVMNic{first}})
			must(w, vm, err)
			w.clean()
			if !test.isDefault {
				_, err = AddNic(w.tx, vm.UUID, nic)
				w.held(test.code, err)
			}

			w = newWorld(t)
			vm = w.addVM("changed", w.guest, w.guest)
			have := vm.Nics[map[bool]int{true: 0, false: 1}[test.isDefault]]
			_, err = ChangeNicIP(w.tx, have.UUID, "192.168.10.7")
			w.ok(err)
			w.clean()
			err = w.patch(Nics, have.UUID, `{"staticRoutes":`+asJSON(test.routes)+`}`)
			w.held(test.code, err)
			if got := asJSON(Get[v1.VMNic](w.tx.View, have.UUID).StaticRoutes); test.code == "" && got != test.json {
				t.Errorf("changed to %s", got)
			}
		})
	}
}

// held is refused with a code, or ok without one.
func (w *world) held(code string, err error) {
	w.t.Helper()
	if code == "" {
		w.ok(err)
		w.clean()
		return
	}
	w.refused(code, err)
}

// TestDefaultRouteStaysOnDefaultNic: another default nic has to wait until the
// route is gone, and an address that a route leads to is not the nic's own.
func TestDefaultRouteStaysOnDefaultNic(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest, w.guest)
	w.ok(w.patch(Nics, vm.Nics[0].UUID, `{"staticRoutes":[{"prefix":"0.0.0.0/0","nexthop":"192.168.10.9"}]}`))
	w.clean()
	w.refused("default-route-not-on-default-nic", w.patch(Nics, vm.Nics[1].UUID, `{"isDefault":true}`))
	_, err := ChangeNicIP(w.tx, vm.Nics[0].UUID, "192.168.10.9")
	w.refused("next-hop-not-on-nic", err)
	w.ok(w.patch(Nics, vm.Nics[0].UUID, `{"staticRoutes":null}`))
	w.ok(w.patch(Nics, vm.Nics[1].UUID, `{"isDefault":true}`))
	w.clean()
}
