package model

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func (w *world) patch(kind Kind, uuid, patch string) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(patch), &fields); err != nil {
		w.t.Fatal(err)
	}
	_, err := Patch(w.tx, kind, uuid, fields)
	return err
}

// shown is a resource as JSON.
func (w *world) shown(kind Kind, uuid string) string {
	b, err := json.Marshal(w.tx.Any(kind, uuid))
	w.ok(err)
	return string(b)
}

// patchWorld has one of each kind: vm has two nics, the first with an EIP and
// the second with a rule; running routers serve them.
func patchWorld(t *testing.T) (*world, map[string]string) {
	w := newWorld(t)
	_, second := w.addNetwork("second", "eth5", v1.Private, "192.168.20.0/24")
	w.services(second, v1.DHCP, v1.SNAT, v1.PortForwarding)
	vm := w.addVM("vm", w.guest, second)
	vip, ruled := w.addVIP(w.public, ""), w.addVIP(w.public, "")
	e, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("eip"), VIPUUID: vip.UUID, VMNicUUID: vm.Nics[0].UUID})
	must(w, e, err)
	rule := w.addRule(ruled.UUID, vm.Nics[1].UUID, 80, "TCP")
	open, err := CreatePortForwardingRule(w.tx, v1.CreatePortForwardingRule{CreateMeta: named("open"), VIPUUID: w.addVIP(w.public, "").UUID, VIPPortStart: 80, Protocol: "TCP", VMNicUUID: vm.Nics[0].UUID})
	must(w, open, err)
	_, err = StartVM(w.tx, vm.UUID)
	w.ok(err)
	w.clean()
	return w, map[string]string{
		"zone": w.zone, "cluster": w.cluster, "host": w.host, "image": w.image, "offering": w.offering, "l2": w.l2Guest, "guest": w.guest, "management": w.management,
		"vm": vm.UUID, "nic": vm.Nics[0].UUID, "nic2": vm.Nics[1].UUID, "vip": vip.UUID, "eip": e.UUID, "rule": rule.UUID, "open": open.UUID,
		"router": RouterOf(w.tx.View, w.guest).UUID, "range": First[v1.IPRange](w.tx.View, RangesOfL3, w.guest).UUID,
	}
}

// TestPatch: what changes is shown (want is a part of the resource after it);
// what is refused (want is the code and a part of the words) changes nothing.
func TestPatch(t *testing.T) {
	tests := []struct {
		kind            Kind
		on, patch, want string
	}{
		{Zones, "zone", `{"name":"z","description":"d","state":"Disabled"}`, `"state":"Disabled"`},
		{Zones, "zone", `{"name":" x"}`, "!invalid-name"},
		{Zones, "zone", `{"name":null}`, "!field-required name of a zone cannot be taken away"},
		{Zones, "zone", `{"name":7}`, "!invalid-value name of a zone"},
		{Zones, "zone", `{"Name":"x"}`, `!unknown-field a zone has no field "Name"; those that change are name, description, state`},
		{Zones, "zone", `{"state":"Maintenance"}`, "!invalid-value"},
		{Zones, "zone", `{"revision":7}`, "!field-immutable revision of a zone is not changed: the server keeps it"},
		{Zones, "zone", `{"name":"fine","uuid":"x"}`, "!field-immutable"},
		{Clusters, "cluster", `{"state":"Disabled"}`, `"state":"Disabled"`},
		{Clusters, "cluster", `{"hypervisorType":"kvm"}`, "!field-immutable it is fixed when the cluster is created"},
		{Hosts, "host", `{"state":"Maintenance"}`, `"state":"Maintenance"`},
		{Hosts, "host", `{"status":"Connected"}`, "!field-immutable the server keeps it"},
		{Hosts, "host", `{"libvirtUri":"qemu:///session"}`, "!field-immutable put it in Maintenance"},
		{L2Networks, "l2", `{"description":"d"}`, `"description":"d"`},
		{L2Networks, "l2", `{"vlan":7}`, "!field-immutable vlan of a l2-network"},
		{L3Networks, "guest", `{"dnsDomain":"example.org"}`, `"dnsDomain":"example.org"`},
		{L3Networks, "guest", `{"dnsDomain":"-"}`, "!invalid-dns-name"},
		{L3Networks, "guest", `{"mtu":1400,"dns":["192.0.2.1","192.0.2.2"]}`, `"mtu":1400,"dns":["192.0.2.1","192.0.2.2"]`},
		{L3Networks, "guest", `{"mtu":9000}`, "!invalid-mtu"},
		{L3Networks, "guest", `{"mtu":null}`, "!field-required"},
		{L3Networks, "guest", `{"dns":null}`, `"dns":[]`},
		{L3Networks, "guest", `{"dns":["192.0.2.1","192.0.2.1"]}`, "!duplicate-dns"},
		{L3Networks, "guest", `{"dns":["010.0.0.1"]}`, "!invalid-value dns of a l3-network"},
		{L3Networks, "guest", `{"hostRoutes":[{"prefix":"198.51.100.0/24","nexthop":"192.168.10.9"}]}`, `"nexthop":"192.168.10.9"`},
		{L3Networks, "guest", `{"hostRoutes":[{"prefix":"198.51.100.0/24","via":"192.168.10.9"}]}`, `!invalid-value unknown field "via"`},
		{L3Networks, "guest", `{"reservedRanges":[{"startIp":"192.168.10.200","endIp":"192.168.10.210"}]}`, `"endIp":"192.168.10.210"`},
		{L3Networks, "guest", `{"reservedRanges":[{"startIp":"192.168.10.2","endIp":"192.168.10.210"}]}`, "!address-in-use"},
		{L3Networks, "guest", `{"allocationStrategy":"Random"}`, `"allocationStrategy":"Random"`},
		{L3Networks, "guest", `{"allocationStrategy":"Best"}`, "!invalid-value"},
		{L3Networks, "guest", `{"category":"Public"}`, "!field-immutable make another network"},
		{L3Networks, "guest", `{"routerInterfaceIp":"192.168.10.9"}`, "!field-immutable set-router-interface-ip"},
		{IPRanges, "range", `{"name":"r"}`, `"name":"r"`},
		{IPRanges, "range", `{"endIp":"192.168.10.9"}`, "!field-immutable"},
		{Images, "image", `{"name":"i","state":"Disabled"}`, `"state":"Disabled"`},
		{Images, "image", `{"source":"/x"}`, "!field-immutable"},
		{Offerings, "offering", `{"cpuNum":2,"memorySize":512}`, `"cpuNum":2,"memorySize":512`},
		{Offerings, "offering", `{"cpuNum":0}`, "!invalid-size"},
		{Offerings, "offering", `{"cpuNum":1.5}`, "!invalid-value"},
		{Offerings, "offering", `{"memorySize":64}`, "!invalid-size"},
		{Offerings, "offering", `{"publicNetworkUuid":"$management"}`, `"publicNetworkUuid":"$management"`},
		{Offerings, "offering", `{"publicNetworkUuid":"$guest"}`, "!offering-network-has-snat"},
		{Offerings, "offering", `{"imageUuid":"$zone"}`, "!image-missing"},
		{Offerings, "offering", `{"isDefault":false}`, "!no-default-offering make another one the default instead"},
		{Offerings, "offering", `{"zoneUuid":"$zone"}`, "!field-immutable"},
		{Routers, "router", `{"description":"d"}`, `"description":"d"`},
		{Routers, "router", `{"state":"Stopped"}`, "!field-immutable use its actions"},
		{VMs, "vm", `{"hostname":"other"}`, `"hostname":"other"`},
		{VMs, "vm", `{"hostname":null,"name":"v"}`, `"name":"v"`},
		{VMs, "vm", `{"hostname":"a b"}`, "!invalid-hostname"},
		{VMs, "vm", `{"state":"Disabled"}`, "!field-immutable use its actions start and stop"},
		{VMs, "vm", `{"nics":[]}`, "!field-immutable /v1/vm-nics"},
		{Nics, "nic2", `{"isDefault":true}`, `"isDefault":true`},
		{Nics, "nic", `{"isDefault":false}`, "!no-default-nic set isDefault of another nic instead"},
		{Nics, "nic", `{"dhcpOptions":{"66":"61","67":null}}`, `"dhcpOptions":{"66":"61"}`},
		{Nics, "nic", `{"dhcpOptions":{"53":"01"}}`, "!invalid-dhcp-option"},
		{Nics, "nic", `{"dhcpOptions":{"66":7}}`, "!invalid-value"},
		{Nics, "nic", `{"ip":"192.168.10.77"}`, "!field-immutable sluice vm-nic set-ip"},
		{VIPs, "vip", `{"name":"v","state":"Disabled"}`, `"state":"Disabled"`},
		{VIPs, "vip", `{"ip":"203.0.113.77"}`, "!field-immutable"},
		{EIPs, "eip", `{"state":"Disabled"}`, `"state":"Disabled"`},
		{EIPs, "eip", `{"vmNicUuid":"$nic2"}`, "!field-immutable attach and detach"},
		{PortForwardings, "rule", `{"allowedCidr":"192.0.2.0/24"}`, `"allowedCidr":"192.0.2.0/24"`},
		{PortForwardings, "rule", `{"allowedCidr":"192.0.2.1/24"}`, "!invalid-cidr"},
		{PortForwardings, "rule", `{"allowedCidr":null,"description":"d"}`, `"description":"d"`},
		{PortForwardings, "open", `{"allowedCidr":"192.0.2.0/24"}`, "!nic-has-eip detach the EIP"},
		{PortForwardings, "rule", `{"vipPortStart":81}`, "!field-immutable"},
	}
	for _, tt := range tests {
		t.Run(tt.kind.Noun()+tt.patch, func(t *testing.T) {
			w, uuids := patchWorld(t)
			for name, uuid := range uuids {
				tt.patch = strings.ReplaceAll(tt.patch, `"$`+name+`"`, `"`+uuid+`"`)
				tt.want = strings.ReplaceAll(tt.want, `"$`+name+`"`, `"`+uuid+`"`)
			}
			uuid := uuids[tt.on]
			before := w.shown(tt.kind, uuid)
			err := w.patch(tt.kind, uuid, tt.patch)
			want, refused := strings.CutPrefix(tt.want, "!")
			if !refused {
				w.ok(err)
				if after := w.shown(tt.kind, uuid); !strings.Contains(after, want) {
					t.Errorf("after it:\n%s\nwant %s", after, want)
				}
				w.clean()
				return
			}
			code, words, _ := strings.Cut(want, " ")
			if v1.Code(err) != code || !strings.Contains(err.Error(), words) {
				t.Errorf("got %v, want %s", err, want)
			}
			if after := w.shown(tt.kind, uuid); after != before || w.tx.Changed() {
				t.Errorf("refused, but now\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// TestPatchOneDefault: the nic that had the default route, and the offering
// that was the default, give it up.
func TestPatchOneDefault(t *testing.T) {
	w, uuids := patchWorld(t)
	w.ok(w.patch(Nics, uuids["nic2"], `{"isDefault":true}`))
	if first := Get[v1.VMNic](w.tx.View, uuids["nic"]); first.IsDefault {
		t.Error("two default nics")
	}
	o, err := CreateOffering(w.tx, w.offeringRequest("big"))
	w.ok(w.patch(Offerings, must(w, o, err).UUID, `{"isDefault":true}`))
	if first := Get[v1.VirtualRouterOffering](w.tx.View, w.offering); first.IsDefault {
		t.Error("two default offerings")
	}
	w.clean()
}

// TestPatchLeavesOtherCopies: a map that other views share is not written into.
func TestPatchLeavesOtherCopies(t *testing.T) {
	w, uuids := patchWorld(t)
	w.ok(w.patch(Nics, uuids["nic"], `{"dhcpOptions":{"66":"61"}}`))
	old := Get[v1.VMNic](w.tx.View, uuids["nic"])
	w.ok(w.patch(Nics, uuids["nic"], `{"dhcpOptions":{"67":"62"}}`))
	if len(old.DHCPOptions) != 1 || len(Get[v1.VMNic](w.tx.View, uuids["nic"]).DHCPOptions) != 2 {
		t.Errorf("was %v", old.DHCPOptions)
	}
}

// TestPatchOfferingLeavesRouters: one that is there keeps its size.
func TestPatchOfferingLeavesRouters(t *testing.T) {
	w, uuids := patchWorld(t)
	before := w.shown(Routers, uuids["router"])
	w.ok(w.patch(Offerings, w.offering, `{"cpuNum":4,"memorySize":1024}`))
	if after := w.shown(Routers, uuids["router"]); after != before {
		t.Errorf("the router is now\n%s", after)
	}
}

// TestReasonsAreOfFields: every field that a reason speaks of is there, and is
// not changeable.
func TestReasonsAreOfFields(t *testing.T) {
	for name := range reasons {
		path, field, one := strings.Cut(name, "/")
		if !one { // of all kinds
			continue
		}
		kind, ok := KindByPath(path)
		if !ok {
			t.Errorf("%s: no such kind", name)
			continue
		}
		if err := mergeField(kind, jsonFields(reflect.ValueOf(kind.New()).Elem()), field, nil); err.Code != "field-immutable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
