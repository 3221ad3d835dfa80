package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

var catalog = model.Catalog{L2Types: []model.L2Type{novlan.Type{}, vlan.Type{}}, Services: plan.Offers([]plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}})}

// world is the effects: hosts that connect when they are waited for, bridges
// that only exist in the store, routers that run at once unless broken.
type world struct {
	store      *store.Store
	broken     atomic.Pointer[v1.Error]
	waits      atomic.Int32
	settles    atomic.Int32
	settledFor atomic.Pointer[string]
	claim      func(vip string)                                          // if not nil, what WaitClaim does
	asked      func(*model.View, v1.CreateVIP) (netip.Addr, model.Heard) // if not nil, what AskFirst finds out
	hold       chan struct{}                                             // if not nil, WaitVM lasts until it is closed
}

func (w *world) AttachL2(ctx context.Context, l2, cluster string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		var made []v1.Realization
		for h := range model.Related[v1.Host](tx.View, model.HostsOfCluster, cluster) {
			if h.Status == v1.Connected {
				made = append(made, v1.Realization{HostUUID: h.UUID, Bridge: "br_" + l2[len(l2)-8:]})
			}
		}
		return model.AttachL2(tx, l2, cluster, made)
	})
	return err
}

func (w *world) DetachL2(ctx context.Context, l2, cluster string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DetachL2(tx, l2, cluster) })
	return err
}

func (w *world) DeleteL2(ctx context.Context, l2 string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DeleteL2Network(tx, l2) })
	return err
}

func (w *world) DeleteHost(ctx context.Context, host string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DeleteHost(tx, host) })
	return err
}

func (w *world) InspectImage(_ context.Context, req *v1.CreateImage) (*v1.Image, error) {
	if !strings.HasPrefix(req.Source, "/images/") {
		return nil, v1.Refused("image-unreadable", "no manifest.json in %s", req.Source)
	}
	return &v1.Image{
		Meta:   v1.Meta{UUID: req.UUID, Name: req.Name, Description: req.Description, SystemTags: req.SystemTags},
		Format: req.Format, Source: req.Source, Version: "1.0", Files: map[string]v1.ImageFile{"vmlinuz": {SHA256: "00", Size: 1}},
	}, nil
}

func (w *world) WaitHost(ctx context.Context, uuid string) error {
	w.waits.Add(1)
	if e := w.broken.Load(); e != nil {
		return e
	}
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		h := model.Copy(model.Get[v1.Host](tx.View, uuid))
		h.Status = v1.Connected
		tx.Save(h)
		return nil
	})
	return err
}

func (w *world) Settle(_ context.Context, account string) error {
	w.settles.Add(1)
	w.settledFor.Store(&account)
	return nil
}

func (w *world) WaitRouter(ctx context.Context, uuid string) error {
	w.waits.Add(1)
	if w.hold != nil {
		select {
		case <-w.hold:
		case <-ctx.Done():
			return v1.Unavailable("still-working", "not ready yet")
		}
	}
	if e := w.broken.Load(); e != nil {
		return e
	}
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		r := model.Copy(model.Get[v1.VirtualRouter](tx.View, uuid))
		r.State, r.Status = r.WantedState, v1.Connected
		tx.Save(r)
		return nil
	})
	return err
}

func (w *world) AskFirst(_ context.Context, v *model.View, req v1.CreateVIP) (netip.Addr, model.Heard, func()) {
	if w.asked != nil {
		ip, heard := w.asked(v, req)
		return ip, heard, func() {}
	}
	return netip.Addr{}, nil, func() {}
}

func (w *world) WaitClaim(_ context.Context, vip string) {
	if w.claim != nil {
		w.claim(vip)
	}
}

func (w *world) WaitVM(ctx context.Context, uuid string) error {
	for nic := range model.Related[v1.VMNic](w.store.View(), model.NicsOfVM, uuid) {
		if r := model.RouterOf(w.store.View(), nic.L3NetworkUUID); r != nil {
			if err := w.WaitRouter(ctx, r.UUID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) RouterSpec(uuid string) (agentv1.RouterSpec, error) {
	if model.Get[v1.VirtualRouter](w.store.View(), uuid) == nil {
		return agentv1.RouterSpec{}, v1.NotFound("virtual-router", uuid)
	}
	return agentv1.RouterSpec{Version: agentv1.SpecVersion, RouterUUID: uuid, Generation: 3}, nil
}

func (w *world) RouterStatus(_ context.Context, uuid string) (agentv1.RouterStatus, error) {
	if model.Get[v1.VirtualRouter](w.store.View(), uuid) == nil {
		return agentv1.RouterStatus{}, v1.NotFound("virtual-router", uuid)
	}
	return agentv1.RouterStatus{RouterUUID: uuid, AgentVersion: "1.0"}, nil
}

func (w *world) RouterDiagnostics(_ context.Context, uuid string) (agentv1.Diagnostics, error) {
	if model.Get[v1.VirtualRouter](w.store.View(), uuid) == nil {
		return agentv1.Diagnostics{}, v1.NotFound("virtual-router", uuid)
	}
	return agentv1.Diagnostics{Sections: map[string]string{"logs": "level=INFO msg=ready\n"}}, nil
}

func (w *world) RouterConsole(_ context.Context, uuid string, max int) ([]byte, error) {
	if model.Get[v1.VirtualRouter](w.store.View(), uuid) == nil {
		return nil, v1.NotFound("virtual-router", uuid)
	}
	text := []byte("[    0.000000] Linux version\n")
	return text[len(text)-min(max, len(text)):], nil
}

// site is an API over a memory store, called with an admin's token.
type site struct {
	t     testing.TB
	api   *httpapi.API
	store *store.Store
	world *world
	token string
}

func newSite(t testing.TB) *site {
	return newSiteOn(t, store.NewMemory(catalog), httpapi.Config{Log: slog.New(slog.DiscardHandler), Rate: httpapi.Rate{PerSecond: -1}, WrongTokens: httpapi.Rate{PerSecond: -1}})
}

// newSiteOn is a site with a store, log and rate of its own; the store is closed
// with the test.
func newSiteOn(t testing.TB, db *store.Store, c httpapi.Config) *site {
	s := &site{t: t, store: db, world: &world{store: db}}
	t.Cleanup(func() { s.store.Close() })
	c.Store, c.Effects, c.Version = db, s.world, "test"
	c.Planners = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}
	c.Services = []func(*httpapi.API){dhcp.Routes, dns.Routes, eip.Routes, portforwarding.Routes}
	s.api = httpapi.New(c)
	var err error
	if s.token, err = httpapi.CreateToken(t.Context(), s.store.Private(), v1.Token{Name: "admin", Role: v1.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	return s
}

type object = map[string]any

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	object object
}

func (a answer) str(field string) string { s, _ := a.object[field].(string); return s }

func (a answer) items() (all []object) {
	for _, i := range a.object["items"].([]any) {
		all = append(all, i.(object))
	}
	return all
}

// send makes a call; a string body goes out as it is, anything else as JSON.
func (s *site) send(method, path string, body any, headers ...string) answer {
	s.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, reader)
	r.Header.Set("Authorization", "Bearer "+s.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.api.Handler().ServeHTTP(w, r)
	out := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if strings.Contains(w.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(w.Body.Bytes(), &out.object); err != nil {
			s.t.Fatalf("%s %s answers %q: %v", method, path, w.Body, err)
		}
		codes.Lock()
		codes.seen[out.str("code")] = true
		codes.Unlock()
		s.checkAnswer(method, r.URL.Path, out)
	}
	return out
}

// ok is send for what has to succeed.
func (s *site) ok(method, path string, body any, headers ...string) answer {
	s.t.Helper()
	a := s.send(method, path, body, headers...)
	want := map[string][]int{"POST": {200, 201}, "DELETE": {204}}[method]
	if want == nil {
		want = []int{200}
	}
	dry := strings.Contains(path, "dryRun=true")
	if dry {
		want = []int{200}
	}
	if !slices.Contains(want, a.status) {
		s.t.Fatalf("%s %s: %d %s", method, path, a.status, a.raw)
	}
	if dry != (a.header.Get("Content-Type") == v1.PlanType) {
		s.t.Errorf("%s %s answers %s", method, path, a.header.Get("Content-Type"))
	}
	if method == "DELETE" && !dry && a.raw != "" {
		s.t.Errorf("DELETE %s answers a body: %s", path, a.raw)
	}
	return a
}

// refused is send for what has to be refused, with a whole problem document.
func (s *site) refused(status int, code, method, path string, body any, headers ...string) answer {
	s.t.Helper()
	before := s.store.View()
	a := s.send(method, path, body, headers...)
	if a.status != status || a.str("code") != code {
		s.t.Errorf("%s %s: %d %s, want %d %s", method, path, a.status, a.raw, status, code)
		return a
	}
	if a.header.Get("Content-Type") != "application/problem+json" || a.str("detail") == "" || a.str("title") == "" ||
		!strings.HasSuffix(a.str("type"), "/"+code) || a.object["status"] != float64(status) {
		s.t.Errorf("%s %s: not a whole problem document: %v %s", method, path, a.header, a.raw)
	}
	if s.store.View() != before {
		s.t.Errorf("%s %s was refused, and changed the store", method, path)
	}
	return a
}

func (s *site) create(path string, body object) string {
	s.t.Helper()
	return s.ok("POST", path, body).str("uuid")
}

// topology is the names of a whole site's resources to their UUIDs.
type topology map[string]string

// build makes a zone with a connected host, a management and public network
// 192.168.122.0/24, a guest network 10.0.0.0/24 with all services, and a VM.
func (s *site) build() topology {
	s.t.Helper()
	m := topology{}
	m["zone"] = s.create("/v1/zones", object{"name": "zone"})
	m["cluster"] = s.create("/v1/clusters", object{"name": "cluster", "zoneUuid": m["zone"]})
	m["host"] = s.create("/v1/hosts?wait=5s", object{"name": "host", "clusterUuid": m["cluster"]})
	for i, name := range []string{"outer", "inner"} {
		l2 := s.create("/v1/l2-networks", object{"name": name, "zoneUuid": m["zone"], "physicalInterface": "eth" + string(rune('1'+i))})
		s.ok("POST", "/v1/l2-networks/"+l2+"/clusters/"+m["cluster"], nil)
		m[name] = l2
	}
	m["public"] = s.create("/v1/l3-networks", object{"name": "public", "l2NetworkUuid": m["outer"], "category": "Public"})
	s.ok("POST", "/v1/l3-networks/"+m["public"]+"/ip-ranges", object{"name": "r", "networkCidr": "192.168.122.0/24"})
	m["guest"] = s.create("/v1/l3-networks", object{"name": "guest", "l2NetworkUuid": m["inner"], "dns": []string{"1.1.1.1"}})
	s.ok("POST", "/v1/l3-networks/"+m["guest"]+"/ip-ranges", object{"name": "r", "networkCidr": "10.0.0.0/24"})
	m["image"] = s.create("/v1/images", object{"name": "router", "source": "/images/router"})
	m["offering"] = s.create("/v1/virtual-router-offerings", object{
		"name": "small", "zoneUuid": m["zone"], "managementNetworkUuid": m["public"], "imageUuid": m["image"],
	})
	s.ok("POST", "/v1/l3-networks/"+m["guest"]+"/network-services", allServices)
	vm := s.ok("POST", "/v1/vm-instances", object{"name": "vm", "hostname": "vm-1", "nics": []object{{"l3NetworkUuid": m["guest"]}}})
	m["vm"] = vm.str("uuid")
	m["nic"] = vm.object["nics"].([]any)[0].(object)["uuid"].(string)
	return m
}

var allServices = object{"networkServices": object{"VirtualRouter": []string{"DHCP", "DNS", "SNAT", "EIP", "PortForwarding"}}}
