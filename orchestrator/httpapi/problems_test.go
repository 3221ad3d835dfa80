package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// ground is a site on which refusals are provoked: that of build, with a guest
// that runs.
type ground struct {
	*site
	topology
}

func newGround(t *testing.T) *ground {
	s := newSite(t)
	g := &ground{s, s.build()}
	g.start(g.topology["vm"])
	return g
}

func (g *ground) start(vm string) {
	g.t.Helper()
	g.ok("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
}

// l3 makes a network on the inner L2, with a range.
func (g *ground) l3(cidr string, more object) string {
	g.t.Helper()
	body := object{"name": cidr, "l2NetworkUuid": g.topology["inner"]}
	for k, v := range more {
		body[k] = v
	}
	uuid := g.create("/v1/l3-networks", body)
	if cidr != "" {
		g.ok("POST", "/v1/l3-networks/"+uuid+"/ip-ranges", object{"name": "r", "networkCidr": cidr})
	}
	return uuid
}

// guestOn is a guest network with all services and a VM that runs; it answers
// the network and the nic.
func (g *ground) guestOn(cidr string) (l3, nic string) {
	g.t.Helper()
	l3 = g.l3(cidr, nil)
	g.ok("POST", "/v1/l3-networks/"+l3+"/network-services", allServices)
	vm, nic := g.vmOn(object{"l3NetworkUuid": l3})
	g.start(vm)
	return l3, nic
}

func (g *ground) vmOn(nics ...object) (vm, nic string) {
	g.t.Helper()
	made := g.ok("POST", "/v1/vm-instances", object{"name": "vm", "nics": nics})
	return made.str("uuid"), made.object["nics"].([]any)[0].(object)["uuid"].(string)
}

func (g *ground) vip() string {
	g.t.Helper()
	return g.create("/v1/vips", object{"name": "vip", "l3NetworkUuid": g.topology["public"]})
}

func (g *ground) eip(vip string) string {
	g.t.Helper()
	return g.create("/v1/eips", object{"name": "eip", "vipUuid": vip})
}

func (g *ground) rule(vip string, port int, more object) answer {
	g.t.Helper()
	body := object{"name": "rule", "vipUuid": vip, "vipPortStart": port, "protocolType": "TCP"}
	for k, v := range more {
		body[k] = v
	}
	return g.send("POST", "/v1/port-forwarding-rules", body)
}

func (g *ground) router() string {
	g.t.Helper()
	return g.ok("GET", "/v1/l3-networks/"+g.topology["guest"]+"/virtual-router", nil).str("uuid")
}

// put sets something of the guest network.
func (g *ground) put(what string, body object) answer {
	g.t.Helper()
	return g.send("PUT", "/v1/l3-networks/"+g.topology["guest"]+"/"+what, body)
}

// ranged adds a range to a new network.
func (g *ground) ranged(body object) answer {
	g.t.Helper()
	body["name"] = "r"
	return g.send("POST", "/v1/l3-networks/"+g.l3("", object{"name": "n"})+"/ip-ranges", body)
}

func (g *ground) newVM(more object, nics ...object) answer {
	g.t.Helper()
	body := object{"name": "vm", "nics": nics}
	for k, v := range more {
		body[k] = v
	}
	return g.send("POST", "/v1/vm-instances", body)
}

func (g *ground) onGuest(more object) object {
	nic := object{"l3NetworkUuid": g.topology["guest"]}
	for k, v := range more {
		nic[k] = v
	}
	return nic
}

// system is a System network that an offering of the guest network's has as its
// management network; the guest's router is made from it.
func (g *ground) system() string {
	g.t.Helper()
	system := g.create("/v1/l3-networks", object{"name": "system", "l2NetworkUuid": g.topology["outer"], "category": "System"})
	g.ok("POST", "/v1/l3-networks/"+system+"/ip-ranges", object{"name": "r", "networkCidr": "172.16.0.0/24"})
	l3 := g.l3("10.8.0.0/24", nil)
	g.ok("POST", "/v1/l3-networks/"+l3+"/network-services", allServices)
	g.create("/v1/virtual-router-offerings", object{
		"name": "other", "zoneUuid": g.topology["zone"], "managementNetworkUuid": system, "publicNetworkUuid": g.topology["public"], "imageUuid": g.topology["image"],
		"systemTags": []string{"guestL3Network::" + l3},
	})
	vm, _ := g.vmOn(object{"l3NetworkUuid": l3})
	g.start(vm)
	return system
}

func many(n int, each func(i int) any) (all []any) {
	for i := range n {
		all = append(all, each(i))
	}
	return all
}

func route24(prefix, nexthop string) object { return object{"prefix": prefix, "nexthop": nexthop} }

// provoked are the refusals that no other test of this package provokes.
var provoked = map[string]func(g *ground) answer{
	"account-in-use": func(g *ground) answer {
		account := g.create("/v1/accounts", object{"name": "red"})
		red := g.with(g.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
		g.ok("PUT", "/v1/l3-networks/"+g.topology["public"]+"/shared-with", object{"accountUuids": []string{"*"}})
		red.create("/v1/vips", object{"name": "v", "l3NetworkUuid": g.topology["public"]})
		return g.send("DELETE", "/v1/accounts/"+account, nil)
	},
	"address-outside-ranges": func(g *ground) answer { return g.newVM(nil, g.onGuest(object{"ip": "9.9.9.9"})) },
	"address-reserved": func(g *ground) answer {
		g.put("reserved-ranges", object{"reservedRanges": []object{{"startIp": "10.0.0.200", "endIp": "10.0.0.209"}}})
		return g.newVM(nil, g.onGuest(object{"ip": "10.0.0.200"}))
	},
	"admin-account": func(g *ground) answer { return g.send("DELETE", "/v1/accounts/"+v1.AdminAccountUUID, nil) },
	"audit-unreadable": func(g *ground) answer {
		s := newSiteOn(g.t, store.NewMemory(catalog), httpapi.Config{Log: slog.New(slog.DiscardHandler), Audit: unreadable{audit.NewMemory()}})
		return s.send("GET", "/v1/audit", nil)
	},
	"category-not-allowed": func(g *ground) answer {
		account := g.create("/v1/accounts", object{"name": "red"})
		g.ok("PUT", "/v1/l2-networks/"+g.topology["inner"]+"/shared-with", object{"accountUuids": []string{"*"}})
		red := g.with(g.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
		return red.send("POST", "/v1/l3-networks", object{"name": "n", "l2NetworkUuid": g.topology["inner"], "category": "Public"})
	},
	"cidr-not-unicast":   func(g *ground) answer { return g.ranged(object{"networkCidr": "169.254.0.0/24"}) },
	"cidr-without-hosts": func(g *ground) answer { return g.ranged(object{"networkCidr": "10.5.0.0/31"}) },
	"default-route-not-on-default-nic": func(g *ground) answer {
		return g.newVM(nil, g.onGuest(nil), g.onGuest(object{"staticRoutes": []object{route24("0.0.0.0/0", "10.0.0.9")}}))
	},
	"dns-record-with-domain": func(g *ground) answer {
		l3 := g.l3("", object{"name": "n", "dnsDomain": "a.example"})
		return g.send("PUT", "/v1/l3-networks/"+l3+"/dns-records", object{"dnsRecords": []object{{"name": "db.a.example", "ips": []string{"10.0.0.7"}}}})
	},
	"duplicate-host-route": func(g *ground) answer {
		return g.put("host-routes", object{"hostRoutes": []object{route24("172.20.0.0/16", "10.0.0.9"), route24("172.20.0.0/16", "10.0.0.8")}})
	},
	"duplicate-static-route": func(g *ground) answer {
		return g.newVM(nil, g.onGuest(object{"staticRoutes": []object{route24("172.20.0.0/16", "10.0.0.9"), route24("172.20.0.0/16", "10.0.0.8")}}))
	},
	"duplicate-tag": func(g *ground) answer {
		return g.newVM(object{"systemTags": []string{"cleanTraffic", "cleanTraffic"}}, g.onGuest(nil))
	},
	"eip-already-attached": func(g *ground) answer {
		eip := g.eip(g.vip())
		_, other := g.vmOn(g.onGuest(nil))
		g.ok("POST", "/v1/eips/"+eip+"/vm-nics/"+g.topology["nic"], nil)
		return g.send("POST", "/v1/eips/"+eip+"/vm-nics/"+other, nil)
	},
	"gateway-in-range": func(g *ground) answer {
		return g.ranged(object{"startIp": "10.7.0.1", "endIp": "10.7.0.9", "netmask": "255.255.255.0", "gateway": "10.7.0.5"})
	},
	"gateway-outside-network": func(g *ground) answer {
		return g.ranged(object{"startIp": "10.7.0.2", "endIp": "10.7.0.9", "netmask": "255.255.255.0", "gateway": "10.9.0.1"})
	},
	"host-already-exists": func(g *ground) answer {
		return g.send("POST", "/v1/hosts", object{"name": "again", "clusterUuid": g.topology["cluster"]})
	},
	"host-in-use": func(g *ground) answer {
		g.change(func(tx *model.Tx) {
			r := model.Copy(model.Get[v1.VirtualRouter](tx.View, g.router()))
			r.HostUUID = g.topology["host"]
			tx.Save(r)
		})
		return g.send("DELETE", "/v1/hosts/"+g.topology["host"], nil)
	},
	"host-not-disconnected": func(g *ground) answer {
		return g.send("POST", "/v1/hosts/"+g.topology["host"]+"/actions", object{"action": "fence"})
	},
	"hostname-given-twice": func(g *ground) answer {
		return g.newVM(object{"hostname": "a", "systemTags": []string{"hostname::b"}}, g.onGuest(nil))
	},
	"image-missing": func(g *ground) answer { return g.offering(object{"imageUuid": nobody}) },
	"image-not-bootable": func(g *ground) answer {
		g.ok("PATCH", "/v1/images/"+g.topology["image"], object{"state": "Disabled"})
		return g.offering(nil)
	},
	"invalid-agent-url": func(g *ground) answer {
		return g.send("POST", "/v1/hosts", object{"name": "h", "clusterUuid": g.topology["cluster"], "libvirtUri": "qemu+tls://h/system", "agentUrl": "nonsense"})
	},
	"invalid-description": func(g *ground) answer {
		return g.send("POST", "/v1/zones", object{"name": "z", "description": "a\x00b"})
	},
	"invalid-dns-record": func(g *ground) answer {
		ips := many(100, func(i int) any { return fmt.Sprintf("10.0.0.%d", i+1) })
		return g.put("dns-records", object{"dnsRecords": []object{{"name": "db", "ips": ips}}})
	},
	"invalid-dns-tls": func(g *ground) answer { return g.put("dns-tls", object{"dnsTlsCa": "x"}) },
	"invalid-head":    func(g *ground) answer { return g.send("GET", "/v1/audit-verification?expect=x", nil) },
	"invalid-ip-range": func(g *ground) answer {
		return g.ranged(object{"networkCidr": "10.7.0.0/24", "startIp": "10.7.0.2", "endIp": "10.7.0.9", "netmask": "255.255.255.0"})
	},
	"invalid-l2-network": func(g *ground) answer {
		return g.send("POST", "/v1/l2-networks", object{"name": "l2", "zoneUuid": g.topology["zone"], "physicalInterface": "eth7", "vlan": 5})
	},
	"invalid-mtu": func(g *ground) answer { return g.put("mtu", object{"mtu": 100}) },
	"invalid-nics": func(g *ground) answer {
		nics := make([]object, 100)
		for i := range nics {
			nics[i] = g.onGuest(nil)
		}
		return g.newVM(nil, nics...)
	},
	"invalid-port": func(g *ground) answer {
		return g.rule(g.vip(), 80, object{"vipPortEnd": 70000, "privatePortStart": 80, "privatePortEnd": 70000})
	},
	"invalid-quota": func(g *ground) answer { return g.quota("vips", -1) },
	"invalid-size": func(g *ground) answer {
		return g.send("PATCH", "/v1/virtual-router-offerings/"+g.topology["offering"], object{"cpuNum": 1000})
	},
	"invalid-value": func(g *ground) answer {
		return g.send("PATCH", "/v1/port-forwarding-rules/"+g.rule(g.vip(), 80, nil).str("uuid"), object{"allowedCidr": "10.0.0.0/99"})
	},
	"ipv6-unsupported": func(g *ground) answer { return g.put("dns", object{"dns": []string{"2001:db8::1"}}) },
	"l3-disabled": func(g *ground) answer {
		g.ok("PATCH", "/v1/l3-networks/"+g.topology["guest"], object{"state": "Disabled"})
		return g.newVM(nil, g.onGuest(nil))
	},
	"l3-is-system": func(g *ground) answer {
		return g.newVM(nil, object{"l3NetworkUuid": g.l3("10.6.0.0/24", object{"category": "System"})})
	},
	"l3-not-public": func(g *ground) answer {
		return g.send("POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": g.topology["guest"]})
	},
	"mac-in-use": func(g *ground) answer {
		mac := g.ok("GET", "/v1/vm-nics/"+g.topology["nic"], nil).str("mac")
		return g.newVM(nil, g.onGuest(object{"mac": mac}))
	},
	"management-network-is-guest": func(g *ground) answer {
		g.ok("POST", "/v1/l3-networks/"+g.topology["public"]+"/network-services", object{"networkServices": object{"VirtualRouter": []string{"DHCP"}}})
		vm, _ := g.vmOn(object{"l3NetworkUuid": g.topology["public"]})
		return g.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	},
	"management-route-overlaps": func(g *ground) answer {
		return g.send("PUT", "/v1/l3-networks/"+g.system()+"/host-routes", object{"hostRoutes": []object{route24("10.8.0.0/25", "172.16.0.9")}})
	},
	"missing-uuid": func(g *ground) answer { return g.send("POST", "/v1/clusters", object{"name": "c", "zoneUuid": ""}) },
	"next-hop-not-on-management": func(g *ground) answer {
		return g.send("PUT", "/v1/l3-networks/"+g.system()+"/host-routes", object{"hostRoutes": []object{route24("10.77.0.0/16", "9.9.9.9")}})
	},
	"next-hop-not-on-nic": func(g *ground) answer {
		return g.newVM(nil, g.onGuest(object{"staticRoutes": []object{route24("172.20.0.0/16", "9.9.9.9")}}))
	},
	"nic-has-eip": func(g *ground) answer {
		g.ok("POST", "/v1/eips/"+g.eip(g.vip())+"/vm-nics/"+g.topology["nic"], nil)
		return g.rule(g.vip(), 80, object{"allowedCidr": "198.51.100.0/24", "vmNicUuid": g.topology["nic"]})
	},
	"nic-has-restricted-rule": func(g *ground) answer {
		g.rule(g.vip(), 80, object{"allowedCidr": "198.51.100.0/24", "vmNicUuid": g.topology["nic"]})
		return g.send("POST", "/v1/eips/"+g.eip(g.vip())+"/vm-nics/"+g.topology["nic"], nil)
	},
	"nic-on-other-vip": func(g *ground) answer {
		g.rule(g.vip(), 80, object{"vmNicUuid": g.topology["nic"]})
		return g.rule(g.vip(), 81, object{"vmNicUuid": g.topology["nic"]})
	},
	"no-default-nic": func(g *ground) answer {
		return g.send("PATCH", "/v1/vm-nics/"+g.topology["nic"], object{"isDefault": false})
	},
	"no-default-offering": func(g *ground) answer {
		return g.send("PATCH", "/v1/virtual-router-offerings/"+g.topology["offering"], object{"isDefault": false})
	},
	"no-free-address": func(g *ground) answer {
		l3 := g.l3("10.5.0.0/30", nil)
		g.vmOn(object{"l3NetworkUuid": l3})
		return g.newVM(nil, object{"l3NetworkUuid": l3})
	},
	"no-host": func(g *ground) answer {
		g.ok("PATCH", "/v1/hosts/"+g.topology["host"], object{"state": "Disabled"})
		l3 := g.l3("10.5.0.0/24", nil)
		g.ok("POST", "/v1/l3-networks/"+l3+"/network-services", allServices)
		vm, _ := g.vmOn(object{"l3NetworkUuid": l3})
		return g.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	},
	"no-ip-range":               func(g *ground) answer { return g.newVM(nil, object{"l3NetworkUuid": g.l3("", object{"name": "n"})}) },
	"offering-network-has-snat": func(g *ground) answer { return g.offering(object{"managementNetworkUuid": g.topology["guest"]}) },
	"other-account": func(g *ground) answer {
		account := g.create("/v1/accounts", object{"name": "red"})
		g.ok("PUT", "/v1/l3-networks/"+g.topology["public"]+"/shared-with", object{"accountUuids": []string{"*"}})
		red := g.with(g.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
		vip := red.create("/v1/vips", object{"name": "v", "l3NetworkUuid": g.topology["public"]})
		return g.send("POST", "/v1/eips", object{"name": "e", "vipUuid": vip, "vmNicUuid": g.topology["nic"]})
	},
	"other-zone": func(g *ground) answer {
		cluster := g.create("/v1/clusters", object{"name": "c", "zoneUuid": g.create("/v1/zones", object{"name": "z2"})})
		return g.send("POST", "/v1/l2-networks/"+g.topology["inner"]+"/clusters/"+cluster, nil)
	},
	"port-ranges-differ": func(g *ground) answer {
		return g.rule(g.vip(), 80, object{"vipPortEnd": 90, "privatePortStart": 80, "privatePortEnd": 85})
	},
	"ports-reversed": func(g *ground) answer { return g.rule(g.vip(), 80, object{"vipPortEnd": 70}) },
	"public-network-is-guest": func(g *ground) answer {
		return g.send("POST", "/v1/l3-networks/"+g.topology["public"]+"/network-services", object{"networkServices": object{"VirtualRouter": []string{"SNAT"}}})
	},
	"quota-below-use": func(g *ground) answer {
		account := g.create("/v1/accounts", object{"name": "red"})
		g.ok("PUT", "/v1/l3-networks/"+g.topology["public"]+"/shared-with", object{"accountUuids": []string{"*"}})
		red := g.with(g.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
		red.create("/v1/vips", object{"name": "v", "l3NetworkUuid": g.topology["public"]})
		return g.send("PATCH", "/v1/quotas", object{"accountUuid": account, "quotas": object{"vips": 0}})
	},
	"range-has-broadcast-address": func(g *ground) answer {
		return g.ranged(object{"startIp": "10.7.0.2", "endIp": "10.7.0.255", "netmask": "255.255.255.0", "gateway": "10.7.0.1"})
	},
	"range-has-network-address": func(g *ground) answer {
		return g.ranged(object{"startIp": "10.7.0.0", "endIp": "10.7.0.9", "netmask": "255.255.255.0", "gateway": "10.7.0.11"})
	},
	"range-reversed": func(g *ground) answer {
		return g.ranged(object{"startIp": "10.7.0.9", "endIp": "10.7.0.2", "netmask": "255.255.255.0", "gateway": "10.7.0.1"})
	},
	"router-being-destroyed": func(g *ground) answer {
		router := g.router()
		g.ok("DELETE", "/v1/virtual-routers/"+router, nil)
		return g.send("POST", "/v1/virtual-routers/"+router+"/actions", object{"action": "reboot"})
	},
	"router-ip-in-range": func(g *ground) answer { return g.put("router-interface-ip", object{"routerInterfaceIp": "10.0.0.50"}) },
	"rule-already-attached": func(g *ground) answer {
		rule := g.rule(g.vip(), 80, object{"vmNicUuid": g.topology["nic"]}).str("uuid")
		_, other := g.vmOn(g.onGuest(nil))
		return g.send("POST", "/v1/port-forwarding-rules/"+rule+"/vm-nics/"+other, nil)
	},
	"service-has-provider": func(g *ground) answer {
		more := catalog
		more.Services = append(slices.Clone(more.Services), model.ServiceType{Name: v1.DHCP, Provider: "Other"})
		s := newSiteOn(g.t, store.NewMemory(more), httpapi.Config{Log: slog.New(slog.DiscardHandler)})
		return s.send("POST", "/v1/l3-networks/"+s.build()["guest"]+"/network-services", object{"networkServices": object{"Other": []string{"DHCP"}}})
	},
	"service-not-attached": func(g *ground) answer {
		l3 := g.l3("10.5.0.0/24", nil)
		g.ok("POST", "/v1/l3-networks/"+l3+"/network-services", object{"networkServices": object{"VirtualRouter": []string{"SNAT"}}})
		_, nic := g.vmOn(object{"l3NetworkUuid": l3})
		return g.send("POST", "/v1/eips/"+g.eip(g.vip())+"/vm-nics/"+nic, nil)
	},
	"still-working": func(g *ground) answer {
		g.world.hold = make(chan struct{})
		return g.send("POST", "/v1/vm-instances/"+g.topology["vm"]+"/actions?wait=10ms", object{"action": "start"})
	},
	"dns-in-management-network": func(g *ground) answer {
		account := g.create("/v1/accounts", object{"name": "red"})
		g.ok("PUT", "/v1/l2-networks/"+g.topology["inner"]+"/shared-with", object{"accountUuids": []string{"*"}})
		g.system()
		red := g.with(g.newToken(object{"name": "red", "role": "account", "accountUuid": account}))
		return red.send("POST", "/v1/l3-networks", object{"name": "n", "l2NetworkUuid": g.topology["inner"], "dns": []string{"172.16.0.9"}})
	},
	"dns-tls-ca-too-long": func(g *ground) answer {
		return g.put("dns-tls", object{"dnsTlsName": "dns.example", "dnsTlsCa": strings.Repeat("x", 500_000)})
	},
	"subnets-overlap": func(g *ground) answer {
		l3 := g.l3("192.168.122.128/25", nil)
		g.ok("POST", "/v1/l3-networks/"+l3+"/network-services", allServices)
		vm, _ := g.vmOn(object{"l3NetworkUuid": l3})
		return g.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	},
	"tag-names-no-nic": func(g *ground) answer {
		return g.newVM(object{"systemTags": []string{"staticIp::" + g.topology["public"] + "::192.168.122.9"}}, g.onGuest(nil))
	},
	"tag-not-for-kind": func(g *ground) answer {
		return g.send("POST", "/v1/system-tags", object{"resourceType": "zones", "resourceUuid": g.topology["zone"], "tag": "cleanTraffic"})
	},
	"too-many-dhcp-relays": func(g *ground) answer {
		return g.put("dhcp-relays", object{"dhcpRelays": many(200, func(i int) any { return fmt.Sprintf("10.2.0.%d", i+1) })})
	},
	"too-many-dns": func(g *ground) answer {
		return g.put("dns", object{"dns": many(200, func(i int) any { return fmt.Sprintf("8.8.8.%d", i+1) })})
	},
	"too-many-dns-records": func(g *ground) answer {
		return g.put("dns-records", object{"dnsRecords": many(2000, func(i int) any { return object{"name": fmt.Sprint("n", i), "ips": []string{"10.0.0.7"}} })})
	},
	"too-many-host-routes": func(g *ground) answer {
		return g.put("host-routes", object{"hostRoutes": many(200, func(i int) any { return route24(fmt.Sprintf("172.20.%d.0/24", i), "10.0.0.9") })})
	},
	"too-many-static-routes": func(g *ground) answer {
		return g.newVM(nil, g.onGuest(object{"staticRoutes": many(200, func(i int) any { return route24(fmt.Sprintf("172.20.%d.0/24", i), "10.0.0.9") })}))
	},
	"two-default-nics": func(g *ground) answer {
		return g.newVM(nil, g.onGuest(object{"isDefault": true}), g.onGuest(object{"isDefault": true}))
	},
	"unknown-quota": func(g *ground) answer { return g.quota("moons", 1) },
	"vip-disabled": func(g *ground) answer {
		vip := g.vip()
		g.ok("PATCH", "/v1/vips/"+vip, object{"state": "Disabled"})
		return g.send("POST", "/v1/eips", object{"name": "e", "vipUuid": vip, "vmNicUuid": g.topology["nic"]})
	},
	"vip-in-guest-subnet": func(g *ground) answer {
		other := g.create("/v1/l3-networks", object{"name": "p", "l2NetworkUuid": g.topology["outer"], "category": "Public"})
		g.ok("POST", "/v1/l3-networks/"+other+"/ip-ranges", object{"name": "r", "networkCidr": "10.0.0.0/24"})
		vip := g.create("/v1/vips", object{"name": "v", "l3NetworkUuid": other})
		return g.send("POST", "/v1/eips", object{"name": "e", "vipUuid": vip, "vmNicUuid": g.topology["nic"]})
	},
	"vip-not-on-router": func(g *ground) answer {
		other := g.create("/v1/l3-networks", object{"name": "p", "l2NetworkUuid": g.topology["outer"], "category": "Public"})
		g.ok("POST", "/v1/l3-networks/"+other+"/ip-ranges", object{"name": "r", "networkCidr": "203.0.113.0/24"})
		vip := g.create("/v1/vips", object{"name": "v", "l3NetworkUuid": other})
		return g.send("POST", "/v1/eips", object{"name": "e", "vipUuid": vip, "vmNicUuid": g.topology["nic"]})
	},
	"vip-of-other-router": func(g *ground) answer {
		_, nic := g.guestOn("10.5.0.0/24")
		own := g.ok("GET", "/v1/vips?system=true&virtualRouterUuid="+g.router(), nil).items()[0]["uuid"].(string)
		return g.rule(own, 80, object{"vmNicUuid": nic})
	},
	"vip-on-guest-network": func(g *ground) answer {
		vm := g.newVM(nil, g.onGuest(nil), object{"l3NetworkUuid": g.topology["public"]})
		nic := vm.object["nics"].([]any)[0].(object)["uuid"].(string)
		return g.send("POST", "/v1/eips/"+g.eip(g.vip())+"/vm-nics/"+nic, nil)
	},
	"vip-on-other-router": func(g *ground) answer {
		_, nic := g.guestOn("10.5.0.0/24")
		vip := g.vip()
		g.rule(vip, 80, object{"vmNicUuid": g.topology["nic"]})
		return g.rule(vip, 81, object{"vmNicUuid": nic})
	},
}

// effects are refusals of what the fakes here stand for, with the tests that
// provoke them there. Whatever effects answer is answered: see TestHostWaits.
var effects = map[string]string{
	"console-unreadable": "reconcile.TestConsoleIsRefused", "router-not-placed": "reconcile.TestConsoleIsRefused", "router-unreachable": "reconcile.TestWaiting",
	"image-corrupted": "reconcile.TestInspectImage", "invalid-format": "reconcile.TestInspectImage", "invalid-source": "reconcile.TestInspectImage",
	"l2-realize-failed": "reconcile.TestAttachFailsOnTheSecondHost", "interface-in-use": "hostnet/vlan.TestType", "device-name-taken": "hostnet/novlan.TestType", "physical-interface-missing": "hostnet/novlan.TestType",
	// Of calls that the reconciler makes, for conditions and its log.
	"host-missing": "reconcile.TestConsoleIsRefused", "host-not-fenced": "model.TestFenceEndsWhenAllIsRemoved", "router-wanted": "model.TestRouterLife",
	// Only where an offering or a network was stored before there was the rule that keeps it whole.
	"no-public-network": "plan/offering.TestChoose", "no-router-service": "model.TestEnsureRouterRefused",
	// A store that is not there answers no call that has a token.
	"store-behind": "store.TestUndecodableChange", "store-closed": "store.TestMemory",
}

func TestEffectsAreTested(t *testing.T) {
	for code, test := range effects {
		at := strings.LastIndex(test, ".")
		files, _ := filepath.Glob(filepath.Join("..", test[:at], "*_test.go"))
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "func "+test[at+1:]+"(")
		}) {
			t.Errorf("%s: there is no %s", code, test)
		}
	}
}

func (g *ground) change(change func(*model.Tx)) {
	g.t.Helper()
	if _, err := g.store.Update(g.t.Context(), func(tx *model.Tx) error { change(tx); return nil }); err != nil {
		g.t.Fatal(err)
	}
}

func (g *ground) offering(more object) answer {
	g.t.Helper()
	body := object{"name": "o", "zoneUuid": g.topology["zone"], "managementNetworkUuid": g.topology["public"], "imageUuid": g.topology["image"]}
	for k, v := range more {
		body[k] = v
	}
	return g.send("POST", "/v1/virtual-router-offerings", body)
}

func (g *ground) quota(kind string, n int) answer {
	g.t.Helper()
	return g.send("PATCH", "/v1/quotas", object{"accountUuid": g.create("/v1/accounts", object{"name": "red"}), "quotas": object{kind: n}})
}

// unreadable is an audit log whose files cannot be read.
type unreadable struct{ *audit.Log }

func (unreadable) Find(context.Context, audit.Query) ([]v1.AuditRecord, time.Time, error) {
	return nil, time.Time{}, fmt.Errorf("input/output error")
}

// TestEveryRefusal provokes each over HTTP: a whole problem document with the
// code, and nothing that was changed by it.
func TestEveryRefusal(t *testing.T) {
	for code, provoke := range provoked {
		t.Run(code, func(t *testing.T) {
			g := newGround(t)
			a := provoke(g)
			if a.str("code") != code || a.str("detail") == "" || !strings.HasSuffix(a.str("type"), "/"+code) || a.object["status"] != float64(a.status) {
				t.Errorf("answered %d %s", a.status, a.raw)
			}
		})
	}
}

var codes = struct {
	sync.Mutex
	seen map[string]bool
}{seen: map[string]bool{}}

// TestMain demands, of a run of all tests, that each code of the list was
// answered to some call.
func TestMain(m *testing.M) {
	rc := m.Run()
	if rc == 0 && !partly() {
		rc = missingCodes()
	}
	os.Exit(rc)
}

func partly() bool {
	return slices.ContainsFunc(os.Args[1:], func(arg string) bool {
		return strings.HasPrefix(arg, "-test.run") || strings.HasPrefix(arg, "-test.list") || strings.HasPrefix(arg, "-test.fuzz=") || strings.HasPrefix(arg, "-test.skip")
	})
}

func missingCodes() (rc int) {
	list, err := os.ReadFile("../../api/openapi/PROBLEMS.md")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` ").FindAllStringSubmatch(string(list), -1) {
		if code := row[1]; !codes.seen[code] && effects[code] == "" {
			fmt.Printf("no call is answered with %s: provoke it in problems_test.go\n", code)
			rc = 1
		}
	}
	return rc
}
