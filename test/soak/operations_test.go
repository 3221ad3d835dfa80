package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// operation is one random call. What the rules refuse is counted; any other
// trouble ends the test.
func (s *soak) operation() {
	s.Helper()
	all := []func() error{
		s.makeVM, s.makeVM, s.act, s.act, s.deleteVM, s.makeEIP, s.makeEIP, s.makeRule, s.makeRule,
		func() error { return s.delete("eips") }, func() error { return s.delete("port-forwarding-rules") }, func() error { return s.delete("vips") },
		s.changeNetwork,
	}
	err := all[rand.IntN(len(all))]()
	if err == nil {
		s.done++
		return
	}
	refusal, ok := errors.AsType[*v1.Error](err)
	if !ok || refusal.Status >= 500 {
		s.Fatal(err)
	}
	s.refused[refusal.Code]++
}

func (s *soak) post(path string, body object) error {
	return s.api.Do(s.Context(), http.MethodPost, path, body, nil)
}

// some is the UUID of any object of a kind; empty if there is none.
func (s *soak) some(path string) string {
	s.Helper()
	all, err := client.List[struct {
		UUID   string `json:"uuid"`
		System bool   `json:"system"`
	}](s.Context(), s.api, "/v1/"+path, nil)
	s.ok(err)
	if len(all) == 0 {
		return ""
	}
	return all[rand.IntN(len(all))].UUID
}

func (s *soak) makeVM() error {
	return s.post("/v1/vm-instances", s.newVM(s.guests[rand.IntN(len(s.guests))]))
}

func (s *soak) act() error {
	action := []string{"start", "start", "stop"}[rand.IntN(3)]
	return s.post("/v1/vm-instances/"+s.some("vm-instances")+"/actions?wait=0s", object{"action": action})
}

func (s *soak) deleteVM() error { return s.delete("vm-instances") }

func (s *soak) delete(path string) error {
	uuid := s.some(path)
	if uuid == "" {
		return nil
	}
	return s.api.Do(s.Context(), http.MethodDelete, "/v1/"+path+"/"+uuid, nil, nil)
}

// vip makes another one; its UUID is empty if there is no address left.
func (s *soak) vip() (string, error) {
	s.number++
	var vip v1.VIP
	err := s.api.Do(s.Context(), http.MethodPost, "/v1/vips", object{"name": fmt.Sprint("vip", s.number), "l3NetworkUuid": s.public}, &vip)
	return vip.UUID, err
}

func (s *soak) makeEIP() error {
	vip, err := s.vip()
	if err != nil {
		return err
	}
	return s.post("/v1/eips", object{"name": "eip", "vipUuid": vip, "vmNicUuid": s.some("vm-nics")})
}

func (s *soak) makeRule() error {
	vip, err := s.vip()
	if err != nil {
		return err
	}
	protocol, port := []string{"TCP", "UDP"}[rand.IntN(2)], 1+rand.IntN(60_000)
	return s.post("/v1/port-forwarding-rules", object{
		"name": "rule", "vipUuid": vip, "vipPortStart": port, "vipPortEnd": port + rand.IntN(20), "protocolType": protocol, "vmNicUuid": s.some("vm-nics"),
	})
}

func (s *soak) changeNetwork() error {
	patch := []object{{"mtu": 1400 + rand.IntN(100)}, {"dns": []string{"192.0.2.1", "192.0.2.2"}}, {"dns": nil}, {"dnsDomain": fmt.Sprintf("d%d.test", rand.IntN(9))}}
	return s.api.Do(s.Context(), http.MethodPatch, "/v1/l3-networks/"+s.guests[rand.IntN(len(s.guests))], patch[rand.IntN(len(patch))], nil)
}

// kernel holds the addresses of a router's public nic against those that its
// guests' EIPs and rules want.
func (s *soak) kernel(r v1.VirtualRouter) {
	s.Helper()
	want := s.publicAddresses(r)
	out, err := exec.CommandContext(s.Context(), "ip", "-n", s.router(r.UUID), "-4", "-o", "addr", "show").Output()
	s.ok(err)
	var have []string
	for line := range strings.Lines(string(out)) {
		address, _, _ := strings.Cut(strings.Fields(line)[3], "/")
		if strings.HasPrefix(address, "203.0.113.") {
			have = append(have, address)
		}
	}
	slices.Sort(have)
	if !slices.Equal(have, want) {
		s.Errorf("router %s has the public addresses %v, want %v", r.Name, have, want)
	}
	s.seen += len(have)
}

func (s *soak) publicAddresses(r v1.VirtualRouter) []string {
	nic, _ := r.NicWithRole("public")
	want := []string{nic.IP.String()}
	vms, err := client.List[v1.VMInstance](s.Context(), s.api, "/v1/vm-instances", nil)
	s.ok(err)
	runs := map[string]bool{} // by nic, on the router's network
	for _, vm := range vms {
		for _, n := range vm.Nics {
			runs[n.UUID] = vm.State == v1.StateRunning && n.L3NetworkUUID == r.L3NetworkUUID
		}
	}
	eips, err := client.List[v1.EIP](s.Context(), s.api, "/v1/eips", nil)
	s.ok(err)
	rules, err := client.List[v1.PortForwardingRule](s.Context(), s.api, "/v1/port-forwarding-rules", nil)
	s.ok(err)
	for _, e := range eips {
		if runs[e.VMNicUUID] {
			want = append(want, e.VIPIP.String())
		}
	}
	for _, rule := range rules {
		if runs[rule.VMNicUUID] {
			want = append(want, rule.VIPIP.String())
		}
	}
	slices.Sort(want)
	return slices.Compact(want)
}
