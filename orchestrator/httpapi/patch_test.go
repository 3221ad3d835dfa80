package httpapi_test

import (
	"strings"
	"testing"
)

// TestPatchOverHTTP: merge patches as they arrive; a change reaches the plan of
// the router that it concerns.
func TestPatchOverHTTP(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.ok("POST", "/v1/vm-instances/"+m["vm"]+"/actions", object{"action": "start"})
	vm, nic := "/v1/vm-instances/"+m["vm"], "/v1/vm-nics/"+m["nic"]

	s.ok("PATCH", vm, `{"description":"words"}`)
	if got := s.ok("PATCH", vm, `{"hostname":"other","description":null}`, "Content-Type", "application/merge-patch+json"); got.str("hostname") != "other" || strings.Contains(got.raw, "words") {
		t.Errorf("got %s", got.raw)
	}
	if got := s.ok("PATCH", nic, `{"dhcpOptions":{"66":"61","67":"62"}}`); !strings.Contains(got.raw, `"67":"62"`) {
		t.Errorf("got %s", got.raw)
	}
	if got := s.ok("PATCH", nic, `{"dhcpOptions":{"67":null}}`); strings.Contains(got.raw, `"67"`) || !strings.Contains(got.raw, `"66":"61"`) {
		t.Errorf("got %s", got.raw)
	}
	before := s.ok("GET", vm, nil)
	for _, tt := range []struct {
		status          int
		code, path, raw string
	}{
		{400, "unknown-field", vm, `{"host":"x"}`},
		{422, "field-immutable", vm, `{"state":"Stopped"}`},
		{400, "field-required", vm, `{"name":null}`},
		{400, "invalid-request", vm, `{"name":["x"]}`},
		{400, "invalid-request", vm, `[]`},
		{400, "invalid-request", vm, `null`},
		{400, "invalid-request", vm, `{"name":"x","name":"y"}`},
		{400, "invalid-hostname", vm, `{"name":"x","hostname":"a b"}`},
	} {
		s.refused(tt.status, tt.code, "PATCH", tt.path, tt.raw)
	}
	if after := s.ok("GET", vm, nil); after.raw != before.raw {
		t.Errorf("refused, but now %s", after.raw)
	}
	if p := s.would("PATCH", vm, object{"hostname": "third"}); len(p.Routers) != 1 {
		t.Errorf("a new hostname changes %d routers: %+v", len(p.Routers), p)
	}
	if p := s.would("PATCH", "/v1/virtual-router-offerings/"+m["offering"], object{"memorySize": 512}); len(p.Routers) != 0 {
		t.Errorf("another size of new routers changes %+v", p.Routers)
	}
}
