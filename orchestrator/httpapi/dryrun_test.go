package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// would is the plan that a call answers; the store has to be as it was.
func (s *site) would(method, path string, body any) (p v1.Plan) {
	s.t.Helper()
	before := s.store.View()
	a := s.ok(method, path+"?dryRun=true", body)
	if err := json.Unmarshal([]byte(a.raw), &p); err != nil {
		s.t.Fatal(err)
	}
	if after := s.store.View(); after != before {
		s.t.Errorf("%s %s as a dry run: the store changed", method, path)
	}
	return p
}

func changed(p v1.Plan) string {
	var all []string
	for _, c := range p.Changes {
		word := c.Change + " " + c.Kind
		for _, f := range c.Fields {
			word += " " + f.Field
		}
		all = append(all, word)
	}
	return strings.Join(all, "; ")
}

// A dry run tells what is allocated, which objects change with it, and what the
// router would do.
func TestDryRunTellsWhatWouldHappen(t *testing.T) {
	s := newSite(t)
	n := s.build()
	vm := n["vm"]
	if p := s.would("POST", "/v1/vips", object{"name": "v", "l3NetworkUuid": n["public"]}); changed(p) != "created vips" || len(p.Routers) != 0 {
		t.Errorf("a VIP: %+v", p)
	} else if ip := p.Changes[0].Resource.(object)["ip"]; ip == "" || ip == nil {
		t.Errorf("no address is told: %+v", p)
	}
	start := s.would("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	if got := changed(start); got != "created virtual-routers; created vips; changed vm-instances state" {
		t.Error(got)
	}
	if len(start.Routers) != 1 || strings.Join(start.Routers[0].Actions, " ") != "place begin ask image token config define claim boot enrol adopt apply" {
		t.Fatalf("%+v", start.Routers)
	}
	rows := strings.Join(start.Routers[0].Rows, "\n")
	for _, want := range []string{"+ router: hostname=router-", "+ interfaces: addresses=", "+ dhcp/bindings: hostname=vm-1 ip=", "+ dns/records: ip=", "+ snat: address="} {
		if !strings.Contains(rows, want) {
			t.Errorf("no %q in\n%s", want, rows)
		}
	}
	s.ok("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	vip := s.create("/v1/vips", object{"name": "v", "l3NetworkUuid": n["public"]})
	p := s.would("POST", "/v1/eips", object{"name": "e", "vipUuid": vip, "vmNicUuid": n["nic"]})
	if got := changed(p); got != "created eips; changed vips useFor" {
		t.Error(got)
	}
	if len(p.Routers) != 1 || len(p.Routers[0].Rows) != 1 || !strings.HasPrefix(p.Routers[0].Rows[0], "+ eips: ") {
		t.Errorf("%+v", p.Routers)
	}
	gone := s.would("DELETE", "/v1/vm-instances/"+vm, nil)
	if got := changed(gone); got != "deleted vm-nics; deleted vm-instances" {
		t.Error(got)
	}
	if rows := strings.Join(gone.Routers[0].Rows, "\n"); !strings.HasPrefix(rows, "- dhcp/bindings: hostname=vm-1") || strings.Contains(rows, "+") {
		t.Error(rows)
	}
	if p := s.would("PATCH", "/v1/vips/"+vip, object{"name": "v"}); changed(p) != "" || len(p.Routers) != 0 {
		t.Errorf("a change that changes nothing: %+v", p)
	}
	if p := s.would("DELETE", "/v1/vips/"+nobody, nil); changed(p) != "" {
		t.Errorf("a delete of nothing: %+v", p)
	}
	s.refused(422, "vip-is-system", "DELETE", "/v1/vips/"+s.ok("GET", "/v1/vips?system=true", nil).items()[0]["uuid"].(string)+"?dryRun=true", nil)
}
