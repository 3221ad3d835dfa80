package httpapi_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetrics(t *testing.T) {
	s := newSite(t)
	vm := s.create("/v1/vm-instances", object{"name": "web", "nics": []object{{"l3NetworkUuid": s.build()["guest"]}}})
	s.ok("POST", "/v1/vm-instances/"+vm+"/actions", object{"action": "start"})
	s.refused(401, "unauthorized", "GET", "/v1/zones", nil, "Authorization", "Bearer x")
	scraper := *s // a token for nothing else
	scraper.token = s.newToken(object{"name": "prometheus", "role": "read-only", "scope": []string{"metrics"}})
	scraper.refused(403, "outside-scope", "GET", "/v1/zones", nil)
	text := scraper.ok("GET", "/metrics", nil).raw
	for _, line := range []string{
		"sluice_store_followed 1", `sluice_hosts{status="Connected"} 1`, `sluice_virtual_routers{ready="Unknown",state="Running",status="Connected"} 1`,
		"sluice_api_unauthenticated_requests_total 1", `sluice_api_request_duration_seconds_count{method="POST",route="/v1/vm-instances/:uuid/actions",status="200"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
}
