package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// estate is what one account owns, and the cloud's objects that a call may name
// together with them: UUIDs by what they are.
type estate map[string]string

// with makes calls as somebody else.
func (s *site) with(token string) *site {
	c := *s
	c.token = token
	return &c
}

// manor is a site with two accounts that own one of everything, by their own
// calls with their own tokens.
type manor struct {
	*site
	cloud  topology
	estate map[string]estate // by account: red, blue
	token  map[string]string // by who
}

func newManor(t *testing.T) *manor {
	t.Helper()
	m := &manor{site: newSite(t), estate: map[string]estate{}, token: map[string]string{"nobody": ""}}
	m.cloud = m.build()
	m.ok("PUT", "/v1/l3-networks/"+m.cloud["public"]+"/shared-with", object{"accountUuids": []string{"*"}})
	m.ok("PUT", "/v1/l2-networks/"+m.cloud["inner"]+"/shared-with", object{"accountUuids": []string{"*"}})
	m.cloud["dead host"] = m.deadHost()
	m.token["admin"] = m.newToken(object{"name": "second", "role": "admin"})
	m.token["operator"] = m.newToken(object{"name": "operator", "role": "operator"})
	m.token["reader"] = m.newToken(object{"name": "reader", "role": "read-only"})
	for i, name := range []string{"red", "blue"} {
		account := m.create("/v1/accounts", object{"name": "secret-" + name})
		m.token[name] = m.newToken(object{"name": "secret-" + name, "role": "account", "accountUuid": account})
		m.token[name+" reader"] = m.newToken(object{"name": "secret-" + name, "role": "read-only", "accountUuid": account})
		m.estate[name] = m.with(m.token[name]).settle(m, name, i+1)
		m.estate[name]["accounts"] = account
		m.estate[name]["tokens"] = m.ok("GET", "/v1/tokens", nil).items()[4+2*i]["uuid"].(string)
	}
	return m
}

// deadHost is one that cannot be reached, without routers.
func (m *manor) deadHost() string {
	uuid := m.create("/v1/hosts", object{"name": "dead", "clusterUuid": m.cloud["cluster"], "libvirtUri": "qemu+tls://dead.example/system", "agentUrl": "https://dead.example"})
	_, err := m.store.Update(m.t.Context(), func(tx *model.Tx) error {
		h := model.Copy(model.Get[v1.Host](tx.View, uuid))
		h.Status = v1.Disconnected
		tx.Save(h)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return uuid
}

func (s *site) newToken(body object) string { return s.ok("POST", "/v1/tokens", body).str("secret") }

// settle makes an account's own objects.
func (s *site) settle(m *manor, name string, n int) estate {
	s.t.Helper()
	name = "secret-" + name
	e := estate{"net": fmt.Sprintf("10.%d.0.", n)}
	for group, key := range map[string]string{"zones": "zone", "clusters": "cluster", "hosts": "dead host", "images": "image", "virtual-router-offerings": "offering", "l2-networks": "outer"} {
		e[group] = m.cloud[key]
	}
	e["public"] = m.cloud["public"]
	e["l3-networks"] = s.create("/v1/l3-networks", object{"name": name, "l2NetworkUuid": m.cloud["inner"], "dns": []string{"1.1.1.1"}})
	path := "/v1/l3-networks/" + e["l3-networks"]
	ranges := s.ok("POST", path+"/ip-ranges", object{"name": name, "startIp": e["net"] + "10", "endIp": e["net"] + "60", "netmask": "255.255.255.0", "gateway": e["net"] + "1"})
	e["ip-ranges"] = ranges.items()[0]["uuid"].(string)
	s.ok("POST", path+"/network-services", allServices)
	vm := s.ok("POST", "/v1/vm-instances", object{"name": name, "nics": []object{{"l3NetworkUuid": e["l3-networks"]}}})
	e["vm-instances"] = vm.str("uuid")
	e["vm-nics"] = vm.object["nics"].([]any)[0].(object)["uuid"].(string)
	s.ok("POST", "/v1/vm-instances/"+e["vm-instances"]+"/actions", object{"action": "start"})
	e["virtual-routers"] = m.ok("GET", path+"/virtual-router", nil).str("uuid")
	for _, key := range []string{"vips", "of eip", "of rule"} {
		e[key] = s.create("/v1/vips", object{"name": name, "l3NetworkUuid": m.cloud["public"]})
	}
	e["eips"] = s.create("/v1/eips", object{"name": name, "vipUuid": e["of eip"]})
	e["port-forwarding-rules"] = s.create("/v1/port-forwarding-rules", object{"name": name, "vipUuid": e["of rule"], "vipPortStart": 80, "protocolType": "TCP"})
	e["audit"] = s.ok("GET", "/v1/audit?limit=1", nil).items()[0]["uuid"].(string)
	e["network-service-providers"] = s.ok("GET", "/v1/network-service-providers", nil).items()[0]["uuid"].(string)
	return e
}

// missing is an estate in which nothing exists.
func (e estate) missing() estate {
	none := estate{}
	for i, key := range slices.Sorted(maps.Keys(e)) {
		none[key] = fmt.Sprintf("00000000-0000-7000-8000-0000000f%04d", i)
	}
	none["net"] = e["net"]
	return none
}

// plain is an answer without the UUIDs of an estate's objects.
func (e estate) plain(raw string) string {
	for _, key := range slices.Sorted(maps.Keys(e)) {
		if key != "net" {
			raw = strings.ReplaceAll(raw, e[key], "<uuid>")
		}
	}
	return raw
}

// bodies of calls, for the objects of an estate. A PATCH that is not here
// changes the description.
var bodies = map[string]func(e estate) object{
	"POST /v1/accounts":                      func(estate) object { return object{"name": "new"} },
	"PATCH /v1/quotas":                       func(e estate) object { return object{"accountUuid": e["accounts"], "quotas": object{"vips": 30}} },
	"POST /v1/tokens":                        func(e estate) object { return object{"name": "new", "role": "account", "accountUuid": e["accounts"]} },
	"PUT /v1/l2-networks/{uuid}/shared-with": func(e estate) object { return object{"accountUuids": []string{e["accounts"], "*"}} },
	"PUT /v1/l3-networks/{uuid}/shared-with": func(e estate) object { return object{"accountUuids": []string{e["accounts"]}} },
	"POST /v1/zones":                         func(estate) object { return object{"name": "new"} },
	"POST /v1/clusters":                      func(e estate) object { return object{"name": "new", "zoneUuid": e["zones"]} },
	"POST /v1/hosts": func(e estate) object {
		return object{"name": "new", "clusterUuid": e["clusters"], "libvirtUri": "test:///x"}
	},
	"POST /v1/l2-networks": func(e estate) object {
		return object{"name": "new", "zoneUuid": e["zones"], "physicalInterface": "eth9"}
	},
	"POST /v1/l3-networks": func(e estate) object { return object{"name": "new", "l2NetworkUuid": e["shared l2"]} },
	"PUT /v1/l3-networks/{uuid}/reserved-ranges": func(e estate) object {
		return object{"reservedRanges": []object{{"startIp": e["net"] + "55", "endIp": e["net"] + "56"}}}
	},
	"PUT /v1/l3-networks/{uuid}/router-interface-ip": func(e estate) object { return object{"routerInterfaceIp": e["net"] + "2"} },
	"PUT /v1/l3-networks/{uuid}/dns-records":         func(estate) object { return object{"dnsRecords": []object{}} },
	"PUT /v1/l3-networks/{uuid}/host-routes":         func(estate) object { return object{"hostRoutes": []object{}} },
	"PUT /v1/l3-networks/{uuid}/dhcp-relays":         func(estate) object { return object{"dhcpRelays": []string{}} },
	"PUT /v1/l3-networks/{uuid}/mtu":                 func(estate) object { return object{"mtu": 1400} },
	"PUT /v1/l3-networks/{uuid}/dns-tls":             func(estate) object { return object{"dnsTlsName": "dns.example"} },
	"PUT /v1/l3-networks/{uuid}/allocation-strategy": func(estate) object { return object{"allocationStrategy": "Random"} },
	"PUT /v1/l3-networks/{uuid}/dns":                 func(estate) object { return object{"dns": []string{"9.9.9.9"}} },
	"POST /v1/l3-networks/{uuid}/dns":                func(estate) object { return object{"dns": "9.9.9.9"} },
	"POST /v1/l3-networks/{uuid}/network-services":   func(estate) object { return object{"networkServices": object{"VirtualRouter": []string{"DHCP"}}} },
	"DELETE /v1/l3-networks/{uuid}/network-services": func(estate) object { return object{"networkServices": object{"VirtualRouter": []string{"DNS"}}} },
	"POST /v1/l3-networks/{uuid}/ip-ranges": func(e estate) object {
		return object{"name": "new", "startIp": e["net"] + "70", "endIp": e["net"] + "80", "netmask": "255.255.255.0", "gateway": e["net"] + "1"}
	},
	"POST /v1/images": func(estate) object { return object{"name": "new", "source": "/images/new"} },
	"POST /v1/virtual-router-offerings": func(e estate) object {
		return object{"name": "new", "zoneUuid": e["zones"], "managementNetworkUuid": e["public"], "imageUuid": e["images"]}
	},
	"POST /v1/virtual-router-offerings/{uuid}/actions": func(estate) object { return object{"action": "make-default"} },
	"POST /v1/virtual-routers/{uuid}/actions":          func(estate) object { return object{"action": "reconnect"} },
	"POST /v1/vm-instances": func(e estate) object {
		return object{"name": "new", "nics": []object{{"l3NetworkUuid": e["l3-networks"]}}}
	},
	"POST /v1/vm-instances/{uuid}/actions": func(estate) object { return object{"action": "stop"} },
	"POST /v1/vm-instances/{uuid}/nics":    func(e estate) object { return object{"l3NetworkUuid": e["l3-networks"]} },
	"POST /v1/hosts/{uuid}/actions":        func(estate) object { return object{"action": "fence"} },
	"PUT /v1/vm-nics/{uuid}/ip":            func(e estate) object { return object{"ip": e["net"] + "50"} },
	"POST /v1/vips":                        func(e estate) object { return object{"name": "new", "l3NetworkUuid": e["public"]} },
	"POST /v1/eips":                        func(e estate) object { return object{"name": "new", "vipUuid": e["vips"], "vmNicUuid": e["vm-nics"]} },
	"POST /v1/port-forwarding-rules": func(e estate) object {
		return object{"name": "new", "vipUuid": e["of rule"], "vmNicUuid": e["vm-nics"], "vipPortStart": 81, "protocolType": "TCP"}
	},
	"POST /v1/system-tags": func(e estate) object {
		return object{"resourceType": "vm-instances", "resourceUuid": e["vm-instances"], "tag": "cleanTraffic"}
	},
}

// queries of calls that need some.
var queries = map[string]func(e estate) string{
	"DELETE /v1/accounts/{uuid}": func(estate) string { return "?cascade=true" },
	"DELETE /v1/system-tags": func(e estate) string {
		return "?resourceType=vm-instances&tag=cleanTraffic&resourceUuid=" + e["vm-instances"]
	},
	"GET /v1/quotas": func(e estate) string { return "?accountUuid=" + e["accounts"] },
}

// request makes the call of a route on an estate's objects. A stream is left
// after its first words.
func (s *site) request(route string, e estate) answer {
	method, path, _ := strings.Cut(route, " ")
	group, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	path = strings.NewReplacer("{uuid}", e[group], "{nic}", e["vm-nics"], "{cluster}", e["clusters"], "{ip}", "1.1.1.1").Replace(path)
	if query := queries[route]; query != nil {
		path += query(e)
	}
	if path == "/v1/events" {
		return s.firstEvents()
	}
	var body any
	if make := bodies[route]; make != nil {
		body = make(e)
	} else if method == http.MethodPatch {
		body = object{"description": "new"}
	}
	return s.send(method, path, body)
}

func (s *site) firstEvents() answer {
	ctx, leave := context.WithTimeout(s.t.Context(), 20*time.Millisecond)
	defer leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events", nil)
	r.Header.Set("Authorization", "Bearer "+s.token)
	w := httptest.NewRecorder()
	s.api.Handler().ServeHTTP(w, r)
	got := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &got.object) // a refusal is JSON, events are not
	return got
}

// columns are who the walk calls as, with the role's name in the table.
var columns = []struct{ who, role string }{
	{"nobody", "open"}, {"admin", "admin"}, {"operator", "operator"}, {"reader", "read-only"}, {"red", "account"}, {"red reader", "account reader"},
}

// TestEveryRouteKeepsThePromiseOfTheTable calls every route in every role on an
// object of the caller's own, on a foreign one, on one that is only shared and
// on none.
func TestEveryRouteKeepsThePromiseOfTheTable(t *testing.T) {
	m := newManor(t)
	table := httpapi.Access()
	worked := map[string]bool{}
	for _, route := range m.api.Routes() {
		for _, column := range columns {
			allowed := table[route].Roles == "open" || slices.Contains(strings.Split(table[route].Roles, ", "), column.role)
			for _, target := range []string{"own", "foreign", "missing", "shared"} {
				e, ok := m.target(target, route)
				if !ok || target == "foreign" && !strings.HasPrefix(column.who, "red") { // foreign to nobody else
					continue
				}
				before := m.store.View()
				got := m.with(m.token[column.who]).request(route, e)
				name := fmt.Sprintf("%s as %s on %s: %d %s", route, column.who, target, got.status, got.raw)
				m.judge(name, column.who, target, allowed, table[route].Reach, got)
				if got.status < 300 {
					worked[route] = true
				}
				if strings.HasPrefix(column.who, "red") && (target == "foreign" || target == "missing") && strings.Contains(route, "{uuid}") && m.store.View() != before {
					t.Errorf("%s; and something changed", name)
				}
				named := strings.Contains(route, "{uuid}") || !strings.HasPrefix(route, "GET")
				if allowed && target == "foreign" && named && !strings.Contains(route, "service-providers") {
					m.alike(name, route, column.who, e, got)
				}
				if got.status < 300 && (strings.HasPrefix(route, "DELETE") && target != "missing" || strings.HasSuffix(route, "/shared-with")) {
					m = newManor(t) // what was taken away is there again
				}
			}
		}
	}
	for _, route := range m.api.Routes() {
		if !worked[route] {
			t.Errorf("%s never succeeded, so its promise was not tested", route)
		}
	}
}

// target is the objects that a call is made on.
func (m *manor) target(target, route string) (estate, bool) {
	own, foreign := maps.Clone(m.estate["red"]), maps.Clone(m.estate["blue"])
	own["shared l2"], foreign["shared l2"] = m.cloud["inner"], m.cloud["outer"]
	foreign["public"] = foreign["l3-networks"]
	switch target {
	case "own":
		own["l2-networks"] = m.cloud["inner"]
		return own, true
	case "foreign":
		return foreign, true
	case "missing":
		return foreign.missing(), true
	}
	own["l3-networks"], own["l2-networks"] = m.cloud["public"], m.cloud["inner"]
	return own, strings.HasPrefix(strings.SplitN(route, " ", 2)[1], "/v1/l3-networks/{uuid}")
}

// judge holds an answer against the table.
func (m *manor) judge(name, who, target string, allowed bool, reach string, got answer) {
	m.t.Helper()
	code := got.str("code")
	switch {
	case !allowed && who == "nobody":
		m.expect(name, got.status == 401 && code == "unauthorized")
	case !allowed:
		m.expect(name, got.status == 403 && code == "forbidden")
	case got.status == 401 || code == "forbidden" || got.status >= 500:
		m.t.Errorf("%s; the table allows it", name)
	case strings.HasPrefix(who, "red") && target == "shared" && reach == "owns":
		m.expect(name, got.status == 403 && code == "not-owner")
	case target == "own", target == "shared" && reach == "sees":
		m.expect(name, got.status < 300 || slices.Contains([]int{409, 422}, got.status))
	}
	if strings.HasPrefix(who, "red") && !strings.HasPrefix(name, "GET /v1/audit ") { // which has his own words about others: see TestAuditOfAccounts
		m.expect(name+"; it tells of others", !strings.Contains(got.raw, "secret-blue"))
		for key, uuid := range m.estate["blue"] {
			if m.estate["red"][key] != uuid && target != "foreign" && key != "net" {
				m.expect(name+"; it tells of the other's "+key, !strings.Contains(got.raw, uuid))
			}
		}
	}
}

func (m *manor) expect(what string, ok bool) {
	m.t.Helper()
	if !ok {
		m.t.Error(what)
	}
}

// alike: a foreign object is answered as a missing one, to the letter.
func (m *manor) alike(name, route, who string, foreign estate, got answer) {
	m.t.Helper()
	none := foreign.missing()
	want := m.with(m.token[who]).request(route, none)
	if got.status != want.status || foreign.plain(got.raw) != none.plain(want.raw) {
		m.t.Errorf("%s; a missing one: %d %s", name, want.status, want.raw)
	}
}

// TestNoRouteOutsideTheTable: the table and the routes are the same list.
func TestNoRouteOutsideTheTable(t *testing.T) {
	s := newSite(t)
	routes, table := s.api.Routes(), httpapi.Access()
	slices.Sort(routes)
	if listed := slices.Sorted(maps.Keys(table)); !slices.Equal(routes, listed) {
		t.Errorf("routes %v\nare not the table %v", routes, listed)
	}
	for route, entry := range table {
		if writes := !strings.HasPrefix(route, "GET"); writes && (strings.Contains(entry.Roles, "reader") || strings.Contains(entry.Roles, "read-only") || entry.Roles == "open") {
			t.Errorf("%s is a change, and allowed for %s", route, entry.Roles)
		}
	}
	defer func() {
		if cause := recover(); cause == nil || !strings.Contains(fmt.Sprint(cause), "GET /v1/moons") {
			t.Errorf("a route that is not in the table: %v", cause)
		}
	}()
	httpapi.New(httpapi.Config{Store: store.NewMemory(model.Catalog{}), Effects: s.world, Services: []func(*httpapi.API){func(a *httpapi.API) {
		httpapi.Handle(a, route("moons", "/v1/moons"), func(context.Context, *struct{}) (*httpapi.Nothing, error) { return nil, nil })
	}}})
}

// TestRolesInShort is the table as people read it.
func TestRolesInShort(t *testing.T) {
	table := httpapi.Access()
	for route, want := range map[string]string{
		"GET /healthz": "open", "GET /v1/hosts": "admin, operator, read-only", "POST /v1/tokens": "admin, account", "POST /v1/accounts": "admin",
		"POST /v1/vips": "admin, operator, account", "GET /v1/vips": "admin, operator, account, read-only, account reader", "PATCH /v1/quotas": "admin",
	} {
		if got := table[route].Roles; got != want {
			t.Errorf("%s: %s, want %s", route, got, want)
		}
	}
}
