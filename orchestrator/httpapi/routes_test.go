package httpapi_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

const nobody = "00000000-0000-7000-8000-00000000dead"

// TestEveryKind gets, lists, patches and deletes each kind; deleting twice is
// fine, getting then is 404.
func TestEveryKind(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.ok("POST", "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"})
	m["vip"] = s.create("/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"]})
	m["eip"] = s.create("/v1/eips", object{"name": "eip", "vipUuid": m["vip"], "vmNicUuid": m["nic"]})
	m["vip2"] = s.create("/v1/vips", object{"name": "vip2", "l3NetworkUuid": m["public"]})
	m["rule"] = s.create("/v1/port-forwarding-rules", object{"name": "rule", "vipUuid": m["vip2"], "vipPortStart": 80, "protocolType": "TCP"})
	m["range"] = s.ok("GET", "/v1/ip-ranges?l3NetworkUuid="+m["guest"], nil).items()[0]["uuid"].(string)
	m["router"] = s.ok("GET", "/v1/l3-networks/"+m["guest"]+"/virtual-router", nil).str("uuid")

	// In an order in which each can be deleted.
	for _, k := range [][2]string{
		{"port-forwarding-rules", "rule"}, {"eips", "eip"}, {"vips", "vip"}, {"vm-nics", "nic"}, {"vm-instances", "vm"},
		{"virtual-routers", "router"}, {"virtual-router-offerings", "offering"}, {"images", "image"}, {"ip-ranges", "range"},
		{"l3-networks", "guest"}, {"l2-networks", "inner"}, {"hosts", "host"},
	} {
		kind, uuid := k[0], m[k[1]]
		path := "/v1/" + kind + "/" + uuid
		if kind == "hosts" { // its router is gone only when its domain is
			forgetRouters(t, s)
		}
		t.Run(kind, func(t *testing.T) {
			s.t = t
			got := s.ok("GET", path, nil)
			if got.str("uuid") != uuid || got.header.Get("ETag") == "" || got.header.Get("ETag") == `"0"` {
				t.Errorf("got %s with ETag %s", got.raw, got.header.Get("ETag"))
			}
			if found := s.ok("GET", "/v1/"+kind+"?uuid="+uuid, nil).items(); len(found) != 1 || found[0]["revision"] == float64(0) {
				t.Errorf("the list has %v", found)
			}
			patched := s.ok("PATCH", path, object{"name": "renamed", "description": "d"}, "If-Match", got.header.Get("ETag"))
			if patched.str("name") != "renamed" || patched.str("description") != "d" || patched.header.Get("ETag") == got.header.Get("ETag") {
				t.Errorf("patched: %s", patched.raw)
			}
			s.refused(412, "revision-mismatch", "PATCH", path, object{"name": "late"}, "If-Match", got.header.Get("ETag"))
			s.refused(412, "revision-mismatch", "DELETE", path, nil, "If-Match", got.header.Get("ETag"))
			s.refused(404, "not-found", "GET", "/v1/"+kind+"/"+nobody, nil)
			s.refused(404, "not-found", "PATCH", "/v1/"+kind+"/"+nobody, object{"name": "x"})
			s.ok("DELETE", "/v1/"+kind+"/"+nobody, nil)
			s.ok("DELETE", path+"?dryRun=true", nil)
			s.ok("GET", path, nil)
			s.ok("DELETE", path, nil)
			s.ok("DELETE", path, nil)
			if kind != "virtual-routers" { // whose row stays until its domain is gone
				s.refused(404, "not-found", "GET", path, nil)
			}
		})
	}
	s.t = t
	s.refused(409, "zone-in-use", "DELETE", "/v1/zones/"+m["zone"], nil)
}

func forgetRouters(t *testing.T, s *site) {
	t.Helper()
	_, err := s.store.Update(t.Context(), func(tx *model.Tx) error {
		for r := range model.List[v1.VirtualRouter](tx.View) {
			if err := model.ForgetRouter(tx, r.UUID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreateAnswers(t *testing.T) {
	s := newSite(t)
	const mine = "0199d1a0-7b1c-7d57-b1a5-9f3c6d1c2e4f"
	if dry := s.ok("POST", "/v1/zones?dryRun=true", object{"uuid": mine, "name": "z"}); dry.header.Get("Content-Type") != v1.PlanType || !strings.Contains(dry.raw, mine) {
		t.Errorf("dry run: %s", dry.raw)
	}
	s.refused(404, "not-found", "GET", "/v1/zones/"+mine, nil)
	made := s.send("POST", "/v1/zones", object{"uuid": mine, "name": "z"})
	if made.status != http.StatusCreated || made.str("uuid") != mine || made.object["revision"] == float64(0) || made.str("state") != "Enabled" {
		t.Errorf("%d %s", made.status, made.raw)
	}
	s.refused(409, "already-exists", "POST", "/v1/zones", object{"uuid": mine, "name": "z"})
	s.refused(400, "invalid-uuid", "POST", "/v1/zones", object{"uuid": "../x", "name": "z"})
	s.refused(404, "not-found", "POST", "/v1/clusters", object{"name": "c", "zoneUuid": nobody})
}

func TestHostWaits(t *testing.T) {
	s := newSite(t)
	zone := s.create("/v1/zones", object{"name": "z"})
	cluster := s.create("/v1/clusters", object{"name": "c", "zoneUuid": zone})
	body := object{"name": "h", "clusterUuid": cluster}
	if dry := s.ok("POST", "/v1/hosts?wait=5s&dryRun=true", body); !strings.Contains(dry.raw, `"status":"Connecting"`) || s.world.waits.Load() != 0 {
		t.Errorf("dry run: %s", dry.raw)
	}
	made := s.ok("POST", "/v1/hosts", body)
	if made.str("status") != v1.Connecting {
		t.Errorf("without wait: %s", made.raw)
	}
	if got := s.ok("GET", "/v1/hosts/"+made.str("uuid")+"?wait=1s", nil); got.str("status") != v1.Connected {
		t.Errorf("get with wait: %s", got.raw)
	}
	s.world.broken.Store(v1.Unavailable("hypervisor-unreachable", "no libvirtd"))
	a := s.send("POST", "/v1/hosts?wait=1s", object{"name": "h2", "clusterUuid": cluster, "libvirtUri": "test:///default"})
	if a.status != 503 || a.str("code") != "hypervisor-unreachable" || a.header.Get("Retry-After") == "" {
		t.Errorf("a host that fails: %d %s", a.status, a.raw)
	}
	if n := s.store.View().Len(model.Hosts); n != 2 {
		t.Errorf("%d hosts are stored; one that fails stays, to be tried again", n)
	}
	s.refused(400, "invalid-wait", "GET", "/v1/hosts/"+made.str("uuid")+"?wait=soon", nil)
	s.refused(400, "invalid-wait", "GET", "/v1/hosts/"+made.str("uuid")+"?wait=11m", nil)
}

func TestL2Attachment(t *testing.T) {
	s := newSite(t)
	m := s.build()
	got := s.ok("GET", "/v1/l2-networks/"+m["inner"], nil)
	if real := got.object["realizations"].([]any); len(real) != 1 || real[0].(object)["hostUuid"] != m["host"] {
		t.Errorf("realizations: %v", real)
	}
	other := s.create("/v1/l2-networks", object{"name": "x", "zoneUuid": m["zone"], "physicalInterface": "eth1"})
	attach := "/v1/l2-networks/" + other + "/clusters/" + m["cluster"]
	if a := s.send("POST", attach, nil); a.status < 400 || a.str("code") == "" {
		t.Errorf("a second NoVlan network on eth1: %d %s", a.status, a.raw)
	}
	if a := s.send("POST", attach+"?dryRun=true", nil); a.status < 400 {
		t.Errorf("dry run of the same: %d %s", a.status, a.raw)
	}
	s.refused(404, "not-found", "POST", "/v1/l2-networks/"+nobody+"/clusters/"+m["cluster"], nil)
	path := "/v1/l2-networks/" + m["inner"] + "/clusters/" + m["cluster"]
	s.ok("DELETE", path+"?dryRun=true", nil)
	if got := s.ok("GET", "/v1/l2-networks/"+m["inner"], nil); len(got.object["attachedClusterUuids"].([]any)) != 1 {
		t.Error("a dry run has detached")
	}
	s.ok("DELETE", path, nil)
	s.ok("DELETE", path, nil)
	if got := s.ok("GET", "/v1/l2-networks/"+m["inner"], nil); len(got.object["attachedClusterUuids"].([]any)) != 0 {
		t.Errorf("detached: %s", got.raw)
	}
}

func TestL3Settings(t *testing.T) {
	s := newSite(t)
	m := s.build()
	guest := "/v1/l3-networks/" + m["guest"]
	dnsOf := func() string { return strings.Join(stringsOf(s.ok("GET", guest, nil).object["dns"]), " ") }
	s.ok("PUT", guest+"/dns", object{"dns": []string{"9.9.9.9", "1.1.1.1"}})
	s.ok("POST", guest+"/dns", object{"dns": "8.8.8.8"})
	if got := dnsOf(); got != "9.9.9.9 1.1.1.1 8.8.8.8" {
		t.Errorf("dns: %s", got)
	}
	s.ok("DELETE", guest+"/dns/1.1.1.1", nil)
	s.ok("DELETE", guest+"/dns/1.1.1.1", nil)
	if got := dnsOf(); got != "9.9.9.9 8.8.8.8" {
		t.Errorf("dns: %s", got)
	}
	s.refused(400, "invalid-request", "PUT", guest+"/dns", object{"dns": []string{"nine"}})

	if got := s.ok("PUT", guest+"/mtu", object{"mtu": 1400}); got.object["mtu"] != float64(1400) {
		t.Errorf("mtu: %s", got.raw)
	}
	if got := s.ok("PUT", guest+"/allocation-strategy", object{"allocationStrategy": "Random"}); got.object["allocationStrategy"] != "Random" {
		t.Errorf("strategy: %s", got.raw)
	}
	s.refused(400, "invalid-request", "PUT", guest+"/allocation-strategy", object{"allocationStrategy": "Any"})
	records := []object{{"name": "db", "ips": []string{"10.0.0.7"}}}
	if got := s.ok("PUT", guest+"/dns-records", object{"dnsRecords": records}); fmt.Sprint(got.object["dnsRecords"]) != "[map[ips:[10.0.0.7] name:db]]" {
		t.Errorf("DNS records: %s", got.raw)
	}
	s.refused(422, "duplicate-dns-record", "PUT", guest+"/dns-records", object{"dnsRecords": append(records, records...)})
	s.refused(400, "invalid-request", "PUT", guest+"/dns-records", object{"dnsRecords": []object{{"name": "db", "ips": []string{}}}})
	s.ok("PUT", guest+"/host-routes", object{"hostRoutes": []object{{"prefix": "172.16.0.0/16", "nexthop": "10.0.0.1"}}})
	if got := s.ok("PUT", guest+"/dhcp-relays", object{"dhcpRelays": []string{"10.0.0.250"}}); fmt.Sprint(got.object["dhcpRelays"]) != "[10.0.0.250]" {
		t.Errorf("relays: %s", got.raw)
	}
	s.refused(422, "duplicate-dhcp-relay", "PUT", guest+"/dhcp-relays", object{"dhcpRelays": []string{"10.0.0.250", "10.0.0.250"}})
	s.refused(422, "address-not-unicast", "PUT", guest+"/dhcp-relays", object{"dhcpRelays": []string{"0.0.0.0"}})
	if got := s.ok("PUT", guest+"/dhcp-relays", object{"dhcpRelays": []string{}}); got.object["dhcpRelays"] != nil {
		t.Errorf("relays that were taken away: %s", got.raw)
	}
	s.ok("PUT", guest+"/reserved-ranges", object{"reservedRanges": []object{{"startIp": "10.0.0.200", "endIp": "10.0.0.209"}}})
	free := s.ok("GET", guest+"/free-ips?limit=3", nil)
	if got := stringsOf(free.object["items"]); len(got) != 3 {
		t.Errorf("free: %v", got)
	}
	c := s.ok("GET", guest+"/capacity", nil).object
	if c["total"] != c["used"].(float64)+c["free"].(float64) || c["used"] != float64(1) || c["total"] != float64(243) {
		t.Errorf("capacity: %v", c)
	}
	s.refused(404, "not-found", "GET", "/v1/l3-networks/"+nobody+"/capacity", nil)
	s.refused(404, "no-router", "GET", guest+"/virtual-router", nil)

	got := s.ok("GET", guest, nil)
	if ranges := got.object["ipRanges"].([]any); len(ranges) != 1 || ranges[0].(object)["networkCidr"] != "10.0.0.0/24" {
		t.Errorf("ipRanges: %v", ranges)
	}
	two := s.create("/v1/l3-networks", object{"name": "two", "l2NetworkUuid": m["inner"]})
	made := s.send("POST", "/v1/l3-networks/"+two+"/ip-ranges", object{"name": "r", "networkCidr": "10.9.0.0/24", "gateway": "10.9.0.100"})
	if made.status != http.StatusCreated || len(made.items()) != 2 || made.items()[0]["revision"] == float64(0) {
		t.Errorf("a gateway in the middle: %d %s", made.status, made.raw)
	}
	if a := s.send("POST", "/v1/l3-networks/"+two+"/ip-ranges", object{"name": "r", "networkCidr": "10.0.0.0/16"}); a.status < 400 {
		t.Errorf("an overlap: %d %s", a.status, a.raw)
	}
}

func stringsOf(list any) (all []string) {
	for _, s := range list.([]any) {
		all = append(all, s.(string))
	}
	return all
}

func TestNetworkServices(t *testing.T) {
	s := newSite(t)
	m := s.build()
	path := "/v1/l3-networks/" + m["guest"] + "/network-services"
	s.ok("POST", "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"})
	vip := s.create("/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"]})
	eip := s.create("/v1/eips", object{"name": "eip", "vipUuid": vip, "vmNicUuid": m["nic"]})
	only := object{"networkServices": object{"VirtualRouter": []string{"EIP"}}}
	refusal := s.refused(409, "service-in-use", "DELETE", path, only)
	if users := stringsOf(refusal.object["resources"]); len(users) != 1 || users[0] != eip {
		t.Errorf("users: %v", users)
	}
	s.ok("DELETE", path+"?cascade=true", only)
	s.refused(404, "not-found", "GET", "/v1/eips/"+eip, nil)
	s.refused(422, "provider-unknown", "POST", path, object{"networkServices": object{"Nobody": []string{"DHCP"}}})
	s.refused(400, "no-services", "POST", path, object{"networkServices": object{}})

	all := s.ok("GET", "/v1/network-service-providers", nil).items()
	if len(all) != 1 || all[0]["type"] != "VirtualRouter" {
		t.Errorf("providers: %v", all)
	}
	s.ok("GET", "/v1/network-service-providers/"+all[0]["uuid"].(string), nil)
	s.refused(404, "not-found", "GET", "/v1/network-service-providers/"+nobody, nil)
}

func TestVMStartWaitsForItsRouter(t *testing.T) {
	s := newSite(t)
	m := s.build()
	actions := "/v1/vm-instances/" + m["vm"] + "/actions"
	s.world.broken.Store(v1.Unavailable("router-failed", "stage Boot: no answer"))
	a := s.send("POST", actions, object{"action": "start"})
	if a.status != 503 || a.str("code") != "router-failed" {
		t.Errorf("a router that fails: %d %s", a.status, a.raw)
	}
	if got := s.ok("GET", "/v1/vm-instances/"+m["vm"], nil).str("state"); got != v1.StateRunning {
		t.Errorf("the VM is %s; what is wanted stays wanted", got)
	}
	s.world.broken.Store(nil)
	if got := s.ok("POST", actions, object{"action": "start"}); got.str("state") != v1.StateRunning || len(got.object["nics"].([]any)) != 1 {
		t.Errorf("started: %s", got.raw)
	}
	router := s.ok("GET", "/v1/l3-networks/"+m["guest"]+"/virtual-router", nil)
	if router.str("state") != v1.StateRunning || router.str("status") != v1.Connected {
		t.Errorf("the call returned with the router as %s", router.raw)
	}
	if n := s.store.View().Len(model.Routers); n != 1 {
		t.Errorf("%d routers for one network", n)
	}
	waits := s.world.waits.Load()
	s.ok("POST", actions+"?wait=0", object{"action": "start"})
	s.world.broken.Store(v1.Unavailable("router-failed", "down"))
	s.ok("POST", actions, object{"action": "stop"})
	if s.world.waits.Load() != waits {
		t.Error("stop, or start with wait=0, has waited")
	}
	s.refused(400, "unknown-action", "POST", actions, object{"action": "explode"})
	s.refused(404, "not-found", "POST", "/v1/vm-instances/"+nobody+"/actions", object{"action": "start"})
}

func TestRouterCalls(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.ok("POST", "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"})
	uuid := s.ok("GET", "/v1/l3-networks/"+m["guest"]+"/virtual-router", nil).str("uuid")
	path := "/v1/virtual-routers/" + uuid
	if got := s.ok("POST", path+"/actions?wait=5s", object{"action": "stop"}); got.str("state") != v1.StateStopped {
		t.Errorf("stopped: %s", got.raw)
	}
	s.ok("POST", path+"/actions", object{"action": "start"})
	epoch := s.ok("GET", path, nil).object["epoch"].(float64)
	if got := s.ok("POST", path+"/actions", object{"action": "rebuild"}); got.object["epoch"] != epoch+1 {
		t.Errorf("rebuild: %s", got.raw)
	}
	s.refused(400, "unknown-action", "POST", path+"/actions", object{"action": "fly"})
	if got := s.ok("GET", path+"/spec", nil); got.str("routerUuid") != uuid {
		t.Errorf("spec: %s", got.raw)
	}
	if got := s.ok("GET", path+"/status", nil); got.str("agentVersion") != "1.0" {
		t.Errorf("status: %s", got.raw)
	}
	if got := s.ok("GET", path+"/explain", nil); got.object["router"].(object)["uuid"] != uuid || got.object["status"].(object)["agentVersion"] != "1.0" || got.object["serving"] != false || len(got.object["findings"].([]any)) == 0 {
		t.Errorf("explanation: %s", got.raw)
	}
	s.refused(404, "not-found", "GET", "/v1/virtual-routers/"+nobody+"/spec", nil)
	if got := s.ok("GET", path+"/diagnostics", nil); got.object["sections"].(object)["logs"] != "level=INFO msg=ready\n" {
		t.Error(got.raw)
	}
	if got := s.ok("GET", path+"/console", nil); got.raw != "[    0.000000] Linux version\n" || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Error(got.raw, got.header)
	}
	if got := s.ok("GET", path+"/console?max=8", nil); got.raw != "version\n" {
		t.Error(got.raw)
	}
	s.refused(400, "invalid-request", "GET", path+"/console?max=0", nil)
	for _, what := range []string{"/status", "/explain", "/diagnostics", "/console"} {
		s.refused(404, "not-found", "GET", "/v1/virtual-routers/"+nobody+what, nil)
	}
	s.world.broken.Store(v1.Unavailable("router-failed", "boot"))
	s.ok("GET", path+"?wait=1s", nil) // its conditions tell
	s.refused(404, "not-found", "GET", "/v1/virtual-routers/"+nobody+"?wait=1s", nil)
}

func TestMappings(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.ok("POST", "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"})
	for kind, more := range map[string]object{"eips": {}, "port-forwarding-rules": {"vipPortStart": 22, "protocolType": "TCP"}} {
		vip := s.create("/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"]})
		body := object{"name": "x", "vipUuid": vip}
		for k, v := range more {
			body[k] = v
		}
		path := "/v1/" + kind + "/" + s.create("/v1/"+kind, body)
		found := s.ok("GET", path+"/candidate-vm-nics", nil).items()
		if len(found) != 1 || found[0]["uuid"] != m["nic"] {
			t.Errorf("%s: candidates %v", kind, found)
		}
		if got := s.ok("POST", path+"/vm-nics/"+m["nic"], nil); got.str("vmNicUuid") != m["nic"] || got.str("guestIp") == "" {
			t.Errorf("%s: attached: %s", kind, got.raw)
		}
		if found := s.ok("GET", path+"/candidate-vm-nics", nil).items(); len(found) != 0 {
			t.Errorf("%s: candidates of an attached one: %v", kind, found)
		}
		s.refused(404, "not-found", "POST", path+"/vm-nics/"+nobody, nil)
		s.ok("DELETE", path+"/vm-nics", nil)
		s.ok("DELETE", path+"/vm-nics", nil)
		if got := s.ok("GET", path, nil); got.str("vmNicUuid") != "" {
			t.Errorf("%s: detached: %s", kind, got.raw)
		}
	}
	moved := s.ok("PUT", "/v1/vm-nics/"+m["nic"]+"/ip", object{"ip": "10.0.0.77"})
	if moved.str("ip") != "10.0.0.77" {
		t.Errorf("moved: %s", moved.raw)
	}
}

// TestChangesSettle: with ?wait a change is answered only when routers have it;
// a dry run waits for nothing, and a wait that is no duration changes nothing.
func TestChangesSettle(t *testing.T) {
	s := newSite(t)
	m := s.build()
	vip := s.ok("POST", "/v1/vips?wait=5s", object{"name": "vip", "l3NetworkUuid": m["public"]}).str("uuid")
	eip := s.ok("POST", "/v1/eips", object{"name": "x", "vipUuid": vip}).str("uuid")
	s.ok("POST", "/v1/eips/"+eip+"/vm-nics/"+m["nic"]+"?wait=5s", nil)
	s.ok("DELETE", "/v1/eips/"+eip+"/vm-nics?wait=5s&dryRun=true", nil)
	s.refused(400, "invalid-wait", "DELETE", "/v1/eips/"+eip+"?wait=soon", nil)
	s.ok("GET", "/v1/eips/"+eip, nil)
	s.ok("DELETE", "/v1/eips/"+eip+"?wait=5s", nil)
	empty := s.create("/v1/l3-networks", object{"name": "empty", "l2NetworkUuid": m["inner"]})
	s.send("POST", "/v1/l3-networks/"+empty+"/ip-ranges?wait=5s", object{"name": "r", "networkCidr": "10.44.0.0/24"})
	if got := s.world.settles.Load(); got != 4 {
		t.Errorf("routers were waited for %d times, want 4", got)
	}
}

// TestAccountsHearNothingOfRouters: what routers are like inside is the cloud's,
// and so are those of others.
func TestAccountsHearNothingOfRouters(t *testing.T) {
	m := newManor(t)
	red := m.with(m.token["red"])
	vm := m.estate["red"]["vm-instances"]
	red.ok("POST", "/v1/vips?wait=5s", object{"name": "settled", "l3NetworkUuid": m.cloud["public"]})
	if got := *m.world.settledFor.Load(); got != m.estate["red"]["accounts"] {
		t.Errorf("routers of %q were waited for", got)
	}
	m.world.broken.Store(v1.Unavailable("router-failed", "stage Boot: its agent at 10.0.0.7:7443 did not answer").On(nobody).Because(errors.New("10.0.0.7")))
	red.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "stop"})
	a := red.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	if a.status != 503 || a.str("code") != "router-failed" || strings.Contains(a.raw, "10.0.0.7") || strings.Contains(a.raw, nobody) {
		t.Errorf("an account is told: %s", a.raw)
	}
	m.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "stop"})
	if a := m.send("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"}); !strings.Contains(a.raw, "10.0.0.7") {
		t.Errorf("an admin is told: %s", a.raw)
	}
}

func TestLibvirtXML(t *testing.T) {
	s := newSite(t)
	m := s.build()
	vm := s.ok("POST", "/v1/vm-instances", object{
		"name": "clean", "systemTags": []string{"cleanTraffic"}, "nics": []object{{"l3NetworkUuid": m["guest"], "mac": "02:00:00:00:00:01"}},
	}).str("uuid")
	got := s.ok("GET", "/v1/vm-instances/"+vm+"/libvirt-xml", nil)
	if !strings.HasPrefix(got.header.Get("Content-Type"), "text/xml") {
		t.Errorf("content type %s", got.header.Get("Content-Type"))
	}
	var i struct {
		Type string `xml:"type,attr"`
		MAC  struct {
			Address string `xml:"address,attr"`
		} `xml:"mac"`
		Source struct {
			Bridge string `xml:"bridge,attr"`
		} `xml:"source"`
		Filter struct {
			Filter string `xml:"filter,attr"`
		} `xml:"filterref"`
	}
	if err := xml.Unmarshal([]byte(got.raw), &i); err != nil {
		t.Fatalf("%v in %s", err, got.raw)
	}
	if i.Type != "bridge" || i.MAC.Address != "02:00:00:00:00:01" || i.Source.Bridge != "br_"+m["inner"][28:] || i.Filter.Filter != "clean-traffic" {
		t.Errorf("%+v of %s", i, got.raw)
	}
	s.refused(404, "not-found", "GET", "/v1/vm-instances/"+nobody+"/libvirt-xml", nil)
	s.ok("DELETE", "/v1/l2-networks/"+m["inner"]+"/clusters/"+m["cluster"], nil)
	s.refused(503, "l2-not-realized", "GET", "/v1/vm-instances/"+vm+"/libvirt-xml", nil)
}

func TestSystemTags(t *testing.T) {
	s := newSite(t)
	m := s.build()
	tag := object{"resourceType": "l3-networks", "resourceUuid": m["guest"], "tag": "virtualRouterOffering::" + m["offering"]}
	if a := s.send("POST", "/v1/system-tags", tag); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if got := s.ok("GET", "/v1/system-tags?resourceType=l3-network&resourceUuid="+m["guest"], nil).items(); len(got) != 1 || got[0]["tag"] != tag["tag"] {
		t.Errorf("tags: %v", got)
	}
	s.refused(400, "unknown-tag", "POST", "/v1/system-tags", object{"resourceType": "l3-networks", "resourceUuid": m["guest"], "tag": "color::red"})
	s.refused(400, "unknown-resource-type", "POST", "/v1/system-tags", object{"resourceType": "moons", "resourceUuid": m["guest"], "tag": "x"})
	remove := "/v1/system-tags?resourceType=l3-networks&resourceUuid=" + m["guest"] + "&tag=virtualRouterOffering::" + m["offering"]
	s.ok("DELETE", remove, nil)
	s.ok("DELETE", remove, nil)
	s.refused(400, "invalid-request", "DELETE", "/v1/system-tags", nil)
	if got := s.ok("GET", "/v1/system-tags", nil).items(); len(got) != 0 {
		t.Errorf("tags: %v", got)
	}
}

func TestImagesAndOfferings(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.refused(422, "image-unreadable", "POST", "/v1/images", object{"name": "x", "source": "/etc"})
	s.ok("POST", "/v1/images?dryRun=true", object{"name": "x", "source": "/images/x"})
	if n := s.store.View().Len(model.Images); n != 1 {
		t.Errorf("%d images after a dry run", n)
	}
	second := s.create("/v1/virtual-router-offerings", object{"name": "big", "zoneUuid": m["zone"], "managementNetworkUuid": m["public"], "imageUuid": m["image"], "cpuNum": 4})
	got := s.ok("POST", "/v1/virtual-router-offerings/"+second+"/actions", object{"action": "make-default"})
	if got.object["isDefault"] != true || s.ok("GET", "/v1/virtual-router-offerings/"+m["offering"], nil).object["isDefault"] != false {
		t.Errorf("default: %s", got.raw)
	}
	s.refused(400, "unknown-action", "POST", "/v1/virtual-router-offerings/"+second+"/actions", object{"action": "x"})
	s.refused(400, "invalid-request", "POST", "/v1/virtual-router-offerings", object{"name": "o", "zoneUuid": m["zone"], "managementNetworkUuid": m["public"], "imageUuid": m["image"], "cpuNum": 65})
}
