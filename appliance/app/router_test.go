package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"github.com/sluice-nfv/sluice/appliance/services/interfaces"
	"github.com/sluice-nfv/sluice/appliance/services/snat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	managementMAC = "02:00:00:00:00:01"
	publicMAC     = "02:00:00:00:00:02"
	guestMAC      = "02:00:00:00:00:03"
)

// server is a service that serves a hostname.
type server struct {
	name   string
	serves string
	fault  error
	order  *[]string
}

func (s *server) Name() string { return s.name }
func (s *server) Want(c agentv1.Content, _ dataplane.Links) (dataplane.Want, error) {
	if c.Hostname == "unliked" {
		return dataplane.Want{}, dataplane.Fieldf("/content/hostname", "is not liked")
	}
	return dataplane.Want{}, nil
}

func (s *server) Apply(_ context.Context, c agentv1.Content, _ dataplane.Links) error {
	s.serves = c.Hostname
	return s.fault
}

func (s *server) Status() agentv1.ServiceStatus {
	return agentv1.ServiceStatus{Ready: true, Counters: map[string]uint64{"n": 1}}
}
func (s *server) Close() error { *s.order = append(*s.order, s.name); return nil }

// rig is a router over a kernel in memory.
type rig struct {
	*Router
	kernel *kerneltest.Fake
	server *server
	closed []string
}

func newRig(rename bool) *rig {
	r := &rig{kernel: kerneltest.NewFake(map[string]string{"ens1": managementMAC, "ens2": publicMAC, "ens3": guestMAC})}
	r.server = &server{name: "dhcp", order: &r.closed}
	other := &server{name: "dns", order: &r.closed}
	management := content("").Interfaces[0]
	r.Router = NewRouter(dataplane.New(r.kernel, nil), Services{
		Planners: []Planner{interfaces.New(), r.server, other, snat.New()}, Servers: []Server{r.server, other},
	}, rename, &management)
	return r
}

func content(hostname string) agentv1.Content {
	nic := func(name string, role agentv1.Role, mac, address string) agentv1.Interface {
		return agentv1.Interface{Name: name, Roles: []agentv1.Role{role}, MAC: mac, MTU: 1500,
			Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	return agentv1.Content{Hostname: hostname, Interfaces: []agentv1.Interface{
		nic("eth0", agentv1.RoleManagement, managementMAC, "192.0.2.10/24"),
		nic("eth1", agentv1.RolePublic, publicMAC, "203.0.113.10/24"),
		nic("eth2", agentv1.RoleGuest, guestMAC, "10.0.0.1/24"),
	}, SNAT: []agentv1.SNAT{{Source: netip.MustParsePrefix("10.0.0.0/24"), Interface: publicMAC, Address: netip.MustParseAddr("203.0.113.10")}}}
}

func (r *rig) forwarding() string { return r.kernel.State.Sysctls["net/ipv4/ip_forward"] }

func TestClosedHasManagementOnly(t *testing.T) {
	r := newRig(true)
	r.management.Routes = []agentv1.Route{{Prefix: netip.MustParsePrefix("198.18.0.0/15"), NextHop: r.management.Addresses[0].Addr().Next()}}
	r.kernel.State.Sysctls["net/ipv4/ip_forward"] = "1" // whatever was before
	if err := r.Closed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.forwarding() != "0" {
		t.Error("forwarding is on")
	}
	if b := r.kernel.State.Builtins[dataplane.ChainID{Table: "filter", Chain: "INPUT"}]; b.Policy != "DROP" {
		t.Errorf("INPUT has policy %s", b.Policy)
	}
	if _, drops := r.kernel.State.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: "forward"}]; !drops {
		t.Error("there is no chain that drops what would be forwarded")
	}
	if _, ok := r.kernel.State.Routes[dataplane.Route{Link: "eth0", Prefix: netip.MustParsePrefix("198.18.0.0/15"), Gateway: r.management.Routes[0].NextHop}]; !ok {
		t.Errorf("no way to the orchestrators: %v", r.kernel.State.Routes)
	}
	links := r.kernel.State.Links
	if !links["eth0"].Up || links["ens2"].Up || links["ens3"].Up {
		t.Errorf("links %+v", links)
	}
	rules := r.kernel.State.Chains[dataplane.ChainID{Table: "filter", Chain: "SLUICE-INPUT"}]
	if !slices.ContainsFunc(rules, func(s string) bool { return strings.Contains(s, "-i eth0 -p tcp -m tcp --dport 7443") }) {
		t.Errorf("the agent's port is closed: %q", rules)
	}
	for name, s := range r.Observe(t.Context()).Services {
		if s.Ready || s.Error == "" {
			t.Errorf("%s is ready before any spec", name)
		}
	}
	if nics := r.Found().Interfaces; len(nics) != 3 {
		t.Errorf("interfaces %+v", nics)
	}
}

func TestApplyTwiceWritesOnce(t *testing.T) {
	r := newRig(true)
	first, err := r.Apply(t.Context(), content("a"))
	if err != nil || first.Writes == 0 || len(first.Steps) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if r.forwarding() != "1" || r.server.serves != "a" || !r.kernel.State.Links["eth2"].Up {
		t.Fatalf("forwarding %s, serving %q", r.forwarding(), r.server.serves)
	}
	writes := r.kernel.Writes
	if second, err := r.Apply(t.Context(), content("a")); err != nil || second.Writes != 0 || r.kernel.Writes != writes {
		t.Fatalf("%+v, %v", second, err)
	}
	for name, s := range r.Observe(t.Context()).Services {
		if !s.Ready {
			t.Errorf("%s: %s", name, s.Error)
		}
	}
}

func TestNamesStayInANamespace(t *testing.T) {
	r := newRig(false)
	if _, err := r.Apply(t.Context(), content("a")); err != nil {
		t.Fatal(err)
	}
	if _, renamed := r.kernel.State.Links["eth2"]; renamed || !r.kernel.State.Links["ens3"].Up {
		t.Fatalf("links %+v", r.kernel.State.Links)
	}
}

// One part's failure is told with its name, and does not keep the rest from
// being served.
func TestAFailingPart(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		r := newRig(true)
		r.server.fault = errors.New("bind eth2: no buffer space")
		if _, err := r.Apply(t.Context(), content("a")); !errors.Is(err, r.server.fault) || !strings.HasPrefix(err.Error(), "dhcp: ") {
			t.Fatalf("got %v", err)
		}
		s := r.Observe(t.Context()).Services
		if s["dhcp"].Ready || s["dhcp"].Error != "bind eth2: no buffer space" || s["dhcp"].Counters["n"] != 1 || !s["snat"].Ready || r.forwarding() != "1" {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("kernel", func(t *testing.T) {
		r := newRig(true)
		refused := errors.New("operation not supported")
		r.kernel.Fail = func(s dataplane.Step) error {
			if _, ok := s.(dataplane.SetMappings); ok {
				return refused
			}
			return nil
		}
		if _, err := r.Apply(t.Context(), content("a")); !errors.Is(err, refused) {
			t.Fatalf("got %v", err)
		}
		s := r.Observe(t.Context()).Services
		if s[ownerPlane].Error == "" || r.server.serves != "a" || r.forwarding() != "0" {
			t.Fatalf("%+v, serving %q, forwarding %s", s, r.server.serves, r.forwarding())
		}
		r.kernel.Fail = nil
		if _, err := r.Apply(t.Context(), content("a")); err != nil {
			t.Fatal(err)
		}
		if s := r.Observe(t.Context()).Services; len(s) != 4 || r.forwarding() != "1" {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("nic not there yet", func(t *testing.T) {
		r := newRig(true)
		late := r.kernel.State.Links["ens2"]
		delete(r.kernel.State.Links, "ens2")
		if _, err := r.Apply(t.Context(), content("a")); err == nil || !strings.Contains(err.Error(), publicMAC) {
			t.Fatalf("got %v", err)
		}
		if s := r.Observe(t.Context()).Services["interfaces"]; s.Ready || !strings.Contains(s.Error, publicMAC) {
			t.Fatalf("%+v", s)
		}
		r.kernel.State.Links["ens2"] = late
		if _, err := r.Apply(t.Context(), content("a")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCheckNamesTheField(t *testing.T) {
	r := newRig(true)
	if _, err := r.Check(content("a")); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*agentv1.Content){
		"/content/hostname":               func(c *agentv1.Content) { c.Hostname = "unliked" },
		"/content/interfaces/1/mtu":       func(c *agentv1.Content) { c.Interfaces[1].MTU = 9 },
		"/content/interfaces/0/roles":     func(c *agentv1.Content) { c.Interfaces[0].Roles = nil },
		"/content/interfaces/0/addresses": func(c *agentv1.Content) { c.Interfaces[0].Addresses = c.Interfaces[1].Addresses },
		"/content/interfaces":             func(c *agentv1.Content) { c.Interfaces = c.Interfaces[1:] },
	} {
		c := content("a")
		change(&c)
		var invalid *agent.InvalidError
		if _, err := r.Check(c); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if r.kernel.Writes != 0 {
		t.Error("a check wrote to the kernel")
	}
}

func TestServersStopInReverse(t *testing.T) {
	r := newRig(true)
	if err := r.Close(); err != nil || !slices.Equal(r.closed, []string{"dns", "dhcp"}) {
		t.Fatalf("%v, %v", r.closed, err)
	}
}

// TestTheRealServices: the list is whole, each under the name that the contract
// gives it.
func TestTheRealServices(t *testing.T) {
	s := NewServices(slog.New(slog.DiscardHandler))
	var names []string
	for _, p := range s.Planners {
		names = append(names, p.Name())
	}
	if !slices.Equal(names, []string{"interfaces", "dhcp", "dns", "snat", "eip", "port-forwarding"}) {
		t.Fatalf("services %v", names)
	}
	for _, x := range s.Servers {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestValidate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spec.json")
	for text, want := range map[string]string{
		`{"version":1,"routerUuid":"r","content":{"hostname":"h","interfaces":[]},"odd":1}`: "",
		`{"version":9}`: "version 9",
		`{"version":1,"content":{"interfaces":[{"name":"eth0"}]}}`: "/content/interfaces/0/mac",
		`[`: "parse",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, ignored, err := Validate(path)
		if want == "" && (err != nil || !slices.Equal(ignored, []string{"/odd"})) {
			t.Errorf("%s: %v, ignored %v", text, err, ignored)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestRecentLogKeepsWholeLines(t *testing.T) {
	var r recentLog
	line := strings.Repeat("x", 99) + "\n"
	for range 5 * recentBytes / len(line) {
		if _, err := r.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	got := r.String()
	if len(got) < recentBytes-len(line) || len(got) > 2*recentBytes || len(got)%len(line) != 0 {
		t.Fatalf("%d bytes kept", len(got))
	}
}
