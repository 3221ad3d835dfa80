package plan_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
)

var update = flag.Bool("update", false, "write the golden texts anew")

var services = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}

// golden compares a value's JSON with testdata/<name>.
func golden(t *testing.T, name string, got any) {
	t.Helper()
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(text) {
		t.Errorf("%s differs (see it with -update and git diff); got\n%s", path, text)
	}
}

// town has two guests, one of them stopped, EIPs and rules on both, and a guest
// of another network.
func town() *plantest.Scene {
	s := plantest.New()
	web, off := s.VM(0, plantest.Guest, v1.StateRunning), s.VM(1, plantest.Guest, v1.StateStopped)
	db, away := s.VM(2, plantest.Guest, v1.StateRunning), s.VM(3, plantest.Other, v1.StateRunning)
	web.DHCPOptions = map[string]string{"67": "626f6f74"}
	db.IsDefault = false
	for n, nic := range []string{web.UUID, off.UUID, web.UUID, away.UUID} {
		s.VIP(n)
		s.EIP(n, nic)
	}
	for n, nic := range []string{db.UUID, off.UUID, away.UUID} {
		s.VIP(10 + n)
		s.Rule(10+n, nic, "TCP")
	}
	own := s.VIP(20)
	own.IP, own.System, own.VirtualRouterUUID = netip.MustParseAddr("203.0.113.2"), true, plantest.Router
	rule := s.Rule(20, db.UUID, "UDP")
	rule.AllowedCIDR = netip.MustParsePrefix("198.51.100.0/24")
	return s
}

func TestContentText(t *testing.T) {
	v := town().View()
	c, err := plan.Content(v, model.Get[v1.VirtualRouter](v, plantest.Router), services)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "content.json", c)
}

func TestDomainText(t *testing.T) {
	for _, format := range []string{"direct", "qcow2"} {
		v := town().View()
		img := model.Copy(model.Get[v1.Image](v, plantest.Image))
		img.Format = format
		d, err := plan.Domain(v, model.Get[v1.VirtualRouter](v, plantest.Router), img)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		golden(t, "domain-"+format+".json", d)
	}
}

func TestBootstrapText(t *testing.T) {
	v := town().View()
	b, err := plan.Bootstrap(v, model.Get[v1.VirtualRouter](v, plantest.Router), "PEM", "token")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bootstrap.json", b)
}

func TestDomainNeedsItsBridges(t *testing.T) {
	s := town()
	s.Row().HostUUID = plantest.ID(2)
	v := s.View()
	_, err := plan.Domain(v, s.Row(), model.Get[v1.Image](v, plantest.Image))
	if v1.Code(err) != "l2-not-realized" {
		t.Errorf("got %v", err)
	}
}

// draw is any scene of guests on both networks with EIPs and rules.
func draw(t *rapid.T) *plantest.Scene {
	s := plantest.New()
	var nics []string
	for n := range rapid.IntRange(0, 12).Draw(t, "guests") {
		nic := s.VM(n, rapid.SampledFrom([]string{plantest.Guest, plantest.Other}).Draw(t, "network"),
			rapid.SampledFrom([]string{v1.StateRunning, v1.StateStopped}).Draw(t, "state"))
		nics = append(nics, nic.UUID)
	}
	nics = append(nics, "", plantest.ID(999)) // detached, and on a nic that is gone
	state := rapid.SampledFrom([]string{v1.Enabled, v1.Enabled, v1.Disabled})
	for n := range rapid.IntRange(0, 16).Draw(t, "mappings") {
		s.VIP(n).State = state.Draw(t, "vip")
		on := rapid.SampledFrom(nics).Draw(t, "nic")
		if rapid.Bool().Draw(t, "eip") {
			s.EIP(n, on).State = state.Draw(t, "eip state")
		} else {
			s.Rule(n, on, "TCP").State = state.Draw(t, "rule state")
		}
	}
	return s
}

func content(t *rapid.T, v *model.View) agentv1.Content {
	c, err := plan.Content(v, model.Get[v1.VirtualRouter](v, plantest.Router), services)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Equal views give equal hashes, in whatever order they came to be.
func TestContentDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		want := content(t, s.View())
		s.Resources = rapid.Permutation(s.Resources).Draw(t, "order")
		if got := content(t, s.View()); got.Hash() != want.Hash() {
			t.Fatalf("%+v\n%+v", want, got)
		}
	})
}

// Only running nics of the router's own network are served and mapped, all of
// them are, and nothing else is said about other networks.
func TestContentIsAboutRunningGuestsOfItsNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		v := s.View()
		c := content(t, v)
		runs := map[netip.Addr]bool{}
		for nic := range model.List[v1.VMNic](v) {
			vm := model.Get[v1.VMInstance](v, nic.VMInstanceUUID)
			if nic.L3NetworkUUID == plantest.Guest && vm.State == v1.StateRunning {
				runs[nic.IP] = true
			}
		}
		if len(c.DHCP[0].Bindings) != len(runs) || len(c.DNS[0].Records) != len(runs) {
			t.Fatalf("%d run, %d bindings, %d records", len(runs), len(c.DHCP[0].Bindings), len(c.DNS[0].Records))
		}
		for _, b := range c.DHCP[0].Bindings {
			check(t, runs, b.IP, "binding")
		}
		for _, r := range c.DNS[0].Records {
			check(t, runs, r.IP, "record")
		}
		for _, e := range c.EIPs {
			check(t, runs, e.GuestIP, "EIP")
		}
		for _, f := range c.PortForwardings {
			check(t, runs, f.GuestIP, "rule")
		}
		if want := enabled(v, runs); len(c.EIPs)+len(c.PortForwardings) != want {
			t.Fatalf("%d mappings, want %d", len(c.EIPs)+len(c.PortForwardings), want)
		}
		if text := fmt.Sprintf("%+v", c); strings.Contains(text, "192.168.20.") {
			t.Fatalf("another network's guest is in %s", text)
		}
	})
}

func check(t *rapid.T, runs map[netip.Addr]bool, ip netip.Addr, what string) {
	if !runs[ip] {
		t.Fatalf("%s of %s, which does not run here", what, ip)
	}
}

// enabled counts the mappings that are to be made.
func enabled(v *model.View, runs map[netip.Addr]bool) (n int) {
	maps := func(state, vip, nic string) {
		on := model.Get[v1.VMNic](v, nic)
		if state == v1.Enabled && model.Get[v1.VIP](v, vip).State == v1.Enabled && on != nil && runs[on.IP] {
			n++
		}
	}
	for e := range model.List[v1.EIP](v) {
		maps(e.State, e.VIPUUID, e.VMNicUUID)
	}
	for f := range model.List[v1.PortForwardingRule](v) {
		maps(f.State, f.VIPUUID, f.VMNicUUID)
	}
	return n
}

func TestInterfacesOfOneNetworkForManagementAndPublic(t *testing.T) {
	s := plantest.New()
	r := s.Row()
	r.Nics = slices.Delete(r.Nics, 1, 2)
	r.Nics[0].Roles = []string{model.RoleManagement, model.RolePublic}
	got := plan.Interfaces(s.View(), r)
	if len(got) != 2 || got[0].Gateway != netip.MustParseAddr("10.0.0.1") || got[1].Gateway.IsValid() || got[1].MTU != 1450 {
		t.Errorf("got %+v", got)
	}
}
