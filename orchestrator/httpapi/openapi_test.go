package httpapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

var update = flag.Bool("update", false, "write api/openapi/openapi.json")

const exported = "../../api/openapi/openapi.json"

// TestOpenAPI: the document that is checked in is the one that is served.
func TestOpenAPI(t *testing.T) {
	s := newSite(t)
	served := s.ok("GET", "/openapi.json", nil)
	if *update {
		if err := os.WriteFile(exported, []byte(served.raw), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, []byte(served.raw)) {
		t.Errorf("%s is not what is served; run go test ./orchestrator/httpapi -run TestOpenAPI -update", exported)
	}
}

type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Responses   map[string]struct{ Content map[string]any }
	}
	Components struct{ Schemas map[string]json.RawMessage }
}

// TestOpenAPIHoldsTogether: every call has an id of its own and says what
// refusals look like; nothing refers to what is not there.
func TestOpenAPIHoldsTogether(t *testing.T) {
	s := newSite(t)
	raw := s.ok("GET", "/openapi.json", nil).raw
	var d document
	if err := json.Unmarshal([]byte(raw), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("version %s", d.OpenAPI)
	}
	ids := map[string]string{}
	for path, calls := range d.Paths {
		for method, call := range calls {
			if at, twice := ids[call.OperationID]; twice || call.OperationID == "" {
				t.Errorf("%s %s: id %q, as %s", method, path, call.OperationID, at)
			}
			ids[call.OperationID] = method + " " + path
			if _, ok := call.Responses["default"].Content["application/problem+json"]; !ok {
				t.Errorf("%s %s does not say what its errors are", method, path)
			}
		}
	}
	for _, part := range strings.Split(raw, `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := d.Components.Schemas[name]; !ok {
			t.Errorf("schema %s is referred to and missing", name)
		}
	}
	for _, path := range []string{
		"/v1/zones", "/v1/clusters", "/v1/hosts", "/v1/l2-networks", "/v1/l3-networks", "/v1/ip-ranges", "/v1/network-service-providers", "/v1/images",
		"/v1/virtual-router-offerings", "/v1/virtual-routers", "/v1/vm-instances", "/v1/vm-nics", "/v1/vips", "/v1/eips", "/v1/port-forwarding-rules", "/v1/system-tags",
	} {
		if d.Paths[path] == nil {
			t.Errorf("no %s", path)
		}
	}
}

func TestDocsPageStandsAlone(t *testing.T) {
	page := newSite(t).ok("GET", "/docs", nil)
	if !strings.Contains(page.raw, "/v1/eips/{uuid}/vm-nics/{nic}") {
		t.Error("calls are missing")
	}
	for _, foreign := range []string{"<script", "http://", "https://", "src="} {
		if strings.Contains(page.raw, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}

// checkAnswer validates an answer against the document.
func (s *site) checkAnswer(method, path string, a answer) {
	s.t.Helper()
	op := s.operationOf(method, path)
	if op == nil {
		return // not in the document: health, or no such path
	}
	response, described := op.Responses[strconv.Itoa(a.status)]
	if !described {
		response = op.Responses["default"]
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	media := response.Content[kind]
	if media == nil {
		s.t.Errorf("%s %s: %d %s is not in the document", method, path, a.status, kind)
		return
	}
	found := &huma.ValidateResult{}
	huma.Validate(s.api.Huma().OpenAPI().Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, a.object, found)
	for _, err := range found.Errors {
		s.t.Errorf("%s %s: the answer is not as documented: %v", method, path, err)
	}
}

func (s *site) operationOf(method, path string) *huma.Operation {
	for template, item := range s.api.Huma().OpenAPI().Paths {
		if !fits(template, path) {
			continue
		}
		return map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		}[method]
	}
	return nil
}

func fits(template, path string) bool {
	t, p := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(t, p, func(t, p string) bool { return t == p || strings.HasPrefix(t, "{") && p != "" })
}
