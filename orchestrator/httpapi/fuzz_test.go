package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
)

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	default:
		return 0
	}
	return deepest + 1
}

// What the decoder accepts is JSON, not too deep, and reads the same when it
// is written again.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"name":"z"}`, `{"name":"z","name":"y"}`, `{"n\u0061me":"y","name":"z"}`, strings.Repeat("[", 33) + strings.Repeat("]", 33), `1e400`, `[1e400]`,
		`{"a":{"a":1},"b":{"a":1}}`, `"\ud800"`, "\"\xff\"", `{} {}`, `]`, `}`, `{"a":1]`, ``, ` null `, `{"":{"":""}}`, `"a\nb"`, `"]]>"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		if httpapi.UnmarshalStrict(body, &v) != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is accepted and no JSON", body)
		}
		if d := depth(v); d > httpapi.MaxDepth {
			t.Fatalf("a depth of %d is accepted", d)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var w any
		if err := httpapi.UnmarshalStrict(again, &w); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q is read as %#v and then as %#v: %v", body, v, w, err)
		}
	})
}

// Whatever stands behind the question mark, a list answers a page, or 400.
func FuzzListQuery(f *testing.F) {
	for _, q := range []string{
		"", "limit=1", "limit=0", "limit=1e400", "sort=-createDate", "sort=-", "name=a&name=b", "name~=A", "~=x", "cursor=eyJ1IjoiYSJ9", "cursor=e30", "cursor=%00",
		"sort=name&cursor=eyJrIjoiXG4iLCJ1IjoieCJ9", "revision=1e400", "systemTags=]]>", "name=%0a", "uuid=" + strings.Repeat("x", 10_000), "a;b", "%zz", "limit=2&limit=3",
	} {
		f.Add(q)
	}
	s := newSite(f)
	for _, name := range []string{"a", "b", "c"} {
		s.create("/v1/zones", object{"name": name})
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/zones", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer "+s.token)
		w := httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		switch w.Code {
		case http.StatusBadRequest:
			return
		case http.StatusOK:
		default:
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		}
		var page struct {
			Items []object
			Next  string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		if page.Next == "" {
			return
		}
		// What a page ends with begins another one, with the same question.
		values, _ := url.ParseQuery(query)
		values.Set("cursor", page.Next)
		r.URL.RawQuery = values.Encode()
		w = httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		var next struct{ Items []object }
		if err := json.Unmarshal(w.Body.Bytes(), &next); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%q, the page after: %d %s", query, w.Code, w.Body)
		}
		for _, a := range page.Items {
			for _, b := range next.Items {
				if a["uuid"] == b["uuid"] {
					t.Fatalf("%q: %v is on two pages", query, a["uuid"])
				}
			}
		}
	})
}

// hostile are the seeds that every text field of every request has to refuse,
// or to take for what it is.
var hostile = []string{
	"010.0.0.1", "::ffff:10.0.0.1", "10.0.0.1/24", "0.0.0.0/0", "a\nb", "]]><x/>", strings.Repeat("n", 10<<10), "1e400", "10.0.0.1%eth0", "../../etc/passwd", "$(id)", "\u0000", "\u202e\n",
}

// Each seed in each field that holds an address, a name on the wire or a
// reference: refused with 400, 404 or 422, and nothing has changed.
func TestHostileValues(t *testing.T) {
	s := newSite(t)
	n := s.build()
	l3 := "/v1/l3-networks/" + n["guest"]
	for name, c := range map[string]struct {
		method, path string
		body         func(hostile string) object
	}{
		"zone of a cluster": {"POST", "/v1/clusters", func(h string) object { return object{"name": "c", "zoneUuid": h} }},
		"hypervisor type":   {"POST", "/v1/clusters", func(h string) object { return object{"name": "c", "zoneUuid": n["zone"], "hypervisorType": h} }},
		"uuid":              {"POST", "/v1/zones", func(h string) object { return object{"name": "z", "uuid": h} }},
		"tag":               {"POST", "/v1/zones", func(h string) object { return object{"name": "z", "systemTags": []string{h}} }},
		"hostname tag": {"POST", "/v1/system-tags", func(h string) object {
			return object{"resourceType": "vm-instances", "resourceUuid": n["vm"], "tag": "hostname::" + h}
		}},
		"libvirt URI":        {"POST", "/v1/hosts", func(h string) object { return object{"name": "h", "clusterUuid": n["cluster"], "libvirtUri": h} }},
		"physical interface": {"POST", "/v1/l2-networks", func(h string) object { return object{"name": "l", "zoneUuid": n["zone"], "physicalInterface": h + "/"} }},
		"L2 type": {"POST", "/v1/l2-networks", func(h string) object {
			return object{"name": "l", "zoneUuid": n["zone"], "physicalInterface": "eth9", "type": h}
		}},
		"domain":     {"POST", "/v1/l3-networks", func(h string) object { return object{"name": "l", "l2NetworkUuid": n["inner"], "dnsDomain": h + "_"} }},
		"DNS server": {"PUT", l3 + "/dns", func(h string) object { return object{"dns": []string{h}} }},
		"host route": {"PUT", l3 + "/host-routes", func(h string) object { return object{"hostRoutes": []object{{"prefix": h, "nexthop": "10.0.0.9"}}} }},
		"next hop": {"PUT", l3 + "/host-routes", func(h string) object {
			return object{"hostRoutes": []object{{"prefix": "198.51.100.0/24", "nexthop": h}}}
		}},
		"DNS record":         {"PUT", l3 + "/dns-records", func(h string) object { return object{"dnsRecords": []object{{"name": h, "ips": []string{h}}}} }},
		"DHCP relay":         {"PUT", l3 + "/dhcp-relays", func(h string) object { return object{"dhcpRelays": []string{h}} }},
		"reserved range":     {"PUT", l3 + "/reserved-ranges", func(h string) object { return object{"reservedRanges": []object{{"startIp": h, "endIp": h}}} }},
		"router's address":   {"PUT", l3 + "/router-interface-ip", func(h string) object { return object{"routerInterfaceIp": h} }},
		"CIDR of a range":    {"POST", l3 + "/ip-ranges", func(h string) object { return object{"name": "r", "networkCidr": h} }},
		"gateway of a range": {"POST", l3 + "/ip-ranges", func(h string) object { return object{"name": "r", "networkCidr": "10.1.0.0/24", "gateway": h} }},
		"ends of a range": {"POST", l3 + "/ip-ranges", func(h string) object {
			return object{"name": "r", "startIp": h, "endIp": h, "netmask": "255.255.255.0", "gateway": "10.0.0.1"}
		}},
		"mask of a range": {"POST", l3 + "/ip-ranges", func(h string) object {
			return object{"name": "r", "startIp": "10.0.0.2", "endIp": "10.0.0.3", "netmask": h, "gateway": "10.0.0.1"}
		}},
		"service":      {"POST", l3 + "/network-services", func(h string) object { return object{"networkServices": object{"VirtualRouter": []string{h}}} }},
		"provider":     {"POST", l3 + "/network-services", func(h string) object { return object{"networkServices": object{h: []string{"DHCP"}}} }},
		"image source": {"POST", "/v1/images", func(h string) object { return object{"name": "i", "source": h} }},
		"host name": {"POST", "/v1/vm-instances", func(h string) object {
			return object{"name": "v", "hostname": h + "_", "nics": []object{{"l3NetworkUuid": n["guest"]}}}
		}},
		"nic's address": {"POST", "/v1/vm-instances", func(h string) object {
			return object{"name": "v", "nics": []object{{"l3NetworkUuid": n["guest"], "ip": h}}}
		}},
		"nic's MAC": {"POST", "/v1/vm-instances", func(h string) object {
			return object{"name": "v", "nics": []object{{"l3NetworkUuid": n["guest"], "mac": h}}}
		}},
		"DHCP option": {"POST", "/v1/vm-instances", func(h string) object {
			return object{"name": "v", "nics": []object{{"l3NetworkUuid": n["guest"], "dhcpOptions": object{h: "00"}}}}
		}},
		"DHCP option's value": {"POST", "/v1/vm-instances", func(h string) object {
			return object{"name": "v", "nics": []object{{"l3NetworkUuid": n["guest"], "dhcpOptions": object{"66": h}}}}
		}},
		"new address":   {"PUT", "/v1/vm-nics/" + n["nic"] + "/ip", func(h string) object { return object{"ip": h} }},
		"VIP's address": {"POST", "/v1/vips", func(h string) object { return object{"name": "v", "l3NetworkUuid": n["public"], "ip": h} }},
		"action":        {"POST", "/v1/vm-instances/" + n["vm"] + "/actions", func(h string) object { return object{"action": h} }},
		"state":         {"PATCH", "/v1/zones/" + n["zone"], func(h string) object { return object{"state": h} }},
		"protocol": {"POST", "/v1/port-forwarding-rules", func(h string) object {
			return object{"name": "r", "vipUuid": nobody, "vipPortStart": 80, "protocolType": h}
		}},
		"allowed CIDR": {"POST", "/v1/port-forwarding-rules", func(h string) object {
			return object{"name": "r", "vipUuid": nobody, "vipPortStart": 80, "protocolType": "TCP", "allowedCidr": h}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			for _, h := range hostile {
				before := s.store.View()
				a := s.send(c.method, c.path, c.body(h))
				if a.status != 400 && a.status != 404 && a.status != 422 {
					t.Errorf("%.40q: %d %s", h, a.status, a.raw)
				}
				if a.header.Get("Content-Type") != "application/problem+json" || a.str("code") == "" || len(a.raw) > 30<<10 {
					t.Errorf("%.40q: %s %.300s", h, a.header.Get("Content-Type"), a.raw)
				}
				if s.store.View() != before {
					t.Errorf("%.40q was refused, and changed the store", h)
				}
			}
		})
	}
}
