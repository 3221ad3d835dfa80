// Package story is the main job told from outside: a topology is applied, a
// guest starts, its router comes up, and everything that was promised is tried
// with the tools of others. The demonstration shows it, the tests demand it.
package story

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// Addresses of the stage's internet.
const (
	internet       = "internet" // namespace
	publicGateway  = "203.0.113.1/24"
	outsideAddress = "198.51.100.10"
	outsideName    = "outside.example"
	nameServer     = "198.51.100.53"
)

// Story is one telling.
type Story struct {
	Lab *lab.Lab
	API *client.Client
	// ManagementCIDR is the server's own address on the management network.
	ManagementCIDR string

	guests map[string]*lab.Guest
	vms    map[string]v1.VMInstance
}

// Step is one thing that is tried. Detail is shown beside its tick.
type Step struct {
	Name string
	Run  func(ctx context.Context) (detail string, err error)
}

// Stage builds what the administrator has before Sluice: three interfaces, and
// an internet behind them with a web server and names. It is made anew unless
// it stands.
func (s *Story) Stage(ctx context.Context) error {
	if s.Lab.Running("peer-" + internet) {
		return nil
	}
	if err := s.Lab.AddNamespace(ctx, internet); err != nil {
		return err
	}
	for link, inside := range map[string]string{"mgmt": "mgmt", "public": "public", "tenant": "tenant"} {
		if err := s.Lab.Veth(ctx, link, internet, inside, ""); err != nil {
			return err
		}
	}
	if _, err := s.Lab.Host(ctx, "ip", "addr", "add", s.ManagementCIDR, "dev", s.Lab.Link("mgmt")); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"addr", "add", publicGateway, "dev", "public"},
		{"addr", "add", outsideAddress + "/32", "dev", "lo"},
		{"addr", "add", nameServer + "/32", "dev", "lo"},
	} {
		if _, err := s.Lab.In(ctx, internet, append([]string{"ip"}, args...)...); err != nil {
			return err
		}
	}
	return s.Lab.Serve(ctx, internet, "internet", "-http", outsideAddress+":80", "-dns", nameServer+":53", "-zone", outsideName+"="+outsideAddress)
}

// Steps are the whole story after the topology was applied.
func (s *Story) Steps() []Step {
	return []Step{
		{"first guest starts, its router comes up, it has a lease", func(ctx context.Context) (string, error) { return s.start(ctx, "web") }},
		{"second guest on the same network", func(ctx context.Context) (string, error) { return s.start(ctx, "app") }},
		{"third guest on the same network", func(ctx context.Context) (string, error) { return s.start(ctx, "db") }},
		{"lease carries every option", s.leaseOptions},
		{"a peer's name resolves, short and full, and back", s.peerNames},
		{"an outside name resolves", s.outsideName},
		{"HTTP out, with the router's public address as source", s.out},
		{"elastic IP in", s.eipIn},
		{"elastic IP out", s.eipOut},
		{"forwarded TCP port", s.forwardedTCP},
		{"forwarded UDP port, same number", s.forwardedUDP},
		{"hairpin: a guest reaches its own elastic IP", s.hairpin},
		{"elastic IP moved to another guest and back, true as soon as the call returns", s.moved},
		{"a forwarded range of ports, for allowed sources only", s.ranged},
		{"a datagram in fragments comes through", s.fragmented},
		{"source NAT is switched off and on again, live", s.unshared},
		{"traceroute through the router", s.traced},
		{"nobody on the public network reaches a guest past NAT", s.closed},
		{"a port scan from outside finds what was forwarded", s.scanned},
		{"an elastic IP's traffic is counted", s.counted},
		{"router destroyed behind our back: service is back by itself", s.destroyed},
	}
}

// start starts a VM and leases its address with a real client.
func (s *Story) start(ctx context.Context, name string) (string, error) {
	began := time.Now()
	vm, err := s.vm(ctx, name)
	if err != nil {
		return "", err
	}
	if err := s.API.Do(ctx, http.MethodPost, "/v1/vm-instances/"+vm.UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil); err != nil {
		return "", err
	}
	started := time.Since(began)
	bridge, err := s.bridge(ctx, "tenant")
	if err != nil {
		return "", err
	}
	guest, err := s.Lab.AddGuest(ctx, name, vm.Nics[0].MAC, bridge)
	if err != nil {
		return "", err
	}
	asked := time.Now()
	lease, err := guest.Lease(ctx)
	if err != nil {
		return "", err
	}
	if lease["ip_address"] != vm.Nics[0].IP.String() {
		return "", fmt.Errorf("guest %s was leased %s, its nic has %s", name, lease["ip_address"], vm.Nics[0].IP)
	}
	if s.guests == nil {
		s.guests, s.vms = map[string]*lab.Guest{}, map[string]v1.VMInstance{}
	}
	s.guests[name], s.vms[name] = guest, vm
	if err := s.Lab.Serve(ctx, name, name, "-http", "0.0.0.0:80", "-udp", "0.0.0.0:9000"); err != nil {
		return "", err
	}
	return fmt.Sprintf("start %.2fs, lease %.2fs, %s", started.Seconds(), time.Since(asked).Seconds(), lease["ip_address"]), nil
}

func (s *Story) leaseOptions(ctx context.Context) (string, error) {
	lease, err := s.guests["web"].Lease(ctx)
	if err != nil {
		return "", err
	}
	want := map[string]string{
		"subnet_mask": "255.255.255.0", "routers": "192.168.10.1", "domain_name_servers": "192.168.10.1",
		"domain_name": "demo.internal", "host_name": "web", "interface_mtu": "1500", "broadcast_address": "192.168.10.255",
		"dhcp_server_identifier": "192.168.10.1", "dhcp_lease_time": "86400",
	}
	for key, value := range want {
		if strings.TrimSuffix(lease[key], ".") != value {
			return "", fmt.Errorf("option %s is %q, want %q; all: %v", key, lease[key], value, lease)
		}
	}
	return fmt.Sprintf("%d options as wanted", len(want)), nil
}

func (s *Story) peerNames(ctx context.Context) (string, error) {
	app := s.vms["app"].Nics[0].IP.String()
	for _, name := range []string{"app", "app.demo.internal"} {
		out, err := s.guests["web"].Exec(ctx, "getent", "ahostsv4", name)
		if err != nil || !strings.HasPrefix(out, app+" ") {
			return "", fmt.Errorf("%s resolves to %q, want %s: %w", name, out, app, err)
		}
	}
	out, err := s.guests["web"].Exec(ctx, "dig", "+short", "+tries=2", "-x", app)
	if err != nil || strings.TrimSpace(out) != "app.demo.internal." {
		return "", fmt.Errorf("%s resolves back to %q: %w", app, out, err)
	}
	return "app is " + app, nil
}

func (s *Story) outsideName(ctx context.Context) (string, error) {
	out, err := s.guests["web"].Exec(ctx, "getent", "ahostsv4", outsideName)
	if err != nil || !strings.HasPrefix(out, outsideAddress+" ") {
		return "", fmt.Errorf("%s resolves to %q, want %s: %w", outsideName, out, outsideAddress, err)
	}
	return outsideName + " is " + outsideAddress, nil
}

func (s *Story) out(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	public, ok := router.NicWithRole("public")
	if !ok {
		return "", fmt.Errorf("router %s has no public nic", router.Name)
	}
	return s.web(ctx, "web", outsideName, "internet sees "+public.IP.String())
}

func (s *Story) eipIn(ctx context.Context) (string, error) {
	eip, err := s.eip(ctx)
	if err != nil {
		return "", err
	}
	return s.webFrom(ctx, internet, eip.VIPIP.String(), "app sees 203.0.113.1")
}

func (s *Story) eipOut(ctx context.Context) (string, error) {
	eip, err := s.eip(ctx)
	if err != nil {
		return "", err
	}
	return s.web(ctx, "app", outsideName, "internet sees "+eip.VIPIP.String())
}

func (s *Story) forwardedTCP(ctx context.Context) (string, error) {
	rule, err := get[v1.PortForwardingRule](ctx, s.API, "port-forwarding-rules", "web-http")
	if err != nil {
		return "", err
	}
	return s.webFrom(ctx, internet, fmt.Sprintf("%s:%d", rule.VIPIP, rule.VIPPortStart), "web sees 203.0.113.1")
}

func (s *Story) forwardedUDP(ctx context.Context) (string, error) {
	rule, err := get[v1.PortForwardingRule](ctx, s.API, "port-forwarding-rules", "web-echo")
	if err != nil {
		return "", err
	}
	out, err := s.Lab.In(ctx, internet, "sh", "-c", fmt.Sprintf("echo hello | nc -u -w 2 %s %d", rule.VIPIP, rule.VIPPortStart))
	if err != nil || strings.TrimSpace(out) != "web sees 203.0.113.1" {
		return "", fmt.Errorf("UDP %s:%d answered %q: %w", rule.VIPIP, rule.VIPPortStart, out, err)
	}
	return strings.TrimSpace(out), nil
}

func (s *Story) hairpin(ctx context.Context) (string, error) {
	eip, err := s.eip(ctx)
	if err != nil {
		return "", err
	}
	return s.web(ctx, "app", eip.VIPIP.String(), "app sees ")
}

// moved points the elastic IP at another guest and back. The first packet
// after each answer has to go to the right one.
func (s *Story) moved(ctx context.Context) (string, error) {
	eip, err := s.eip(ctx)
	if err != nil {
		return "", err
	}
	path := "/v1/eips/" + eip.UUID + "/vm-nics"
	for _, guest := range []string{"db", "app"} {
		if err := s.API.Do(ctx, http.MethodDelete, path+"?wait=10s", nil, nil); err != nil {
			return "", err
		}
		if out, err := s.Lab.In(ctx, internet, "curl", "-sS", "--max-time", "1", "http://"+eip.VIPIP.String()+"/"); err == nil {
			return "", fmt.Errorf("detached, and it still answers %q", out)
		}
		if err := s.API.Do(ctx, http.MethodPost, path+"/"+s.vms[guest].Nics[0].UUID+"?wait=10s", nil, nil); err != nil {
			return "", err
		}
		if _, err := s.webFrom(ctx, internet, eip.VIPIP.String(), guest+" sees "); err != nil {
			return "", err
		}
	}
	return "app, db, app", nil
}

// closed routes guests' addresses at the router from the public side.
func (s *Story) closed(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	public, _ := router.NicWithRole("public")
	if _, err := s.Lab.In(ctx, internet, "ip", "route", "replace", "192.168.10.0/24", "via", public.IP.String()); err != nil {
		return "", err
	}
	defer func() { _, _ = s.Lab.In(ctx, internet, "ip", "route", "delete", "192.168.10.0/24") }()
	guest := s.vms["db"].Nics[0].IP.String()
	if out, err := s.Lab.In(ctx, internet, "curl", "-sS", "--max-time", "2", "http://"+guest+"/"); err == nil {
		return "", fmt.Errorf("the public side reached %s: %q", guest, out)
	}
	return "no answer from " + guest, nil
}

// destroyed kills the router's domain and waits for what guests need.
func (s *Story) destroyed(ctx context.Context) (string, error) {
	before, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	if _, err := s.Lab.Host(ctx, "virsh", "-c", "qemu:///system", "destroy", before.UUID); err != nil {
		return "", err
	}
	began := time.Now()
	for {
		out, err := s.guests["web"].Exec(ctx, "curl", "-sS", "--max-time", "2", "http://"+outsideName+"/")
		if err == nil && strings.HasPrefix(out, "internet sees ") {
			break
		}
		if time.Since(began) > 3*time.Minute {
			return "", fmt.Errorf("no service %s after the router was destroyed: %q %w", time.Since(began).Round(time.Second), out, err)
		}
	}
	back := time.Since(began)
	after, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	for i := range before.Nics {
		if before.Nics[i].MAC != after.Nics[i].MAC || before.Nics[i].IP != after.Nics[i].IP {
			return "", fmt.Errorf("nic %s changed: %v, was %v", before.Nics[i].Name, after.Nics[i], before.Nics[i])
		}
	}
	if _, err := s.guests["db"].Lease(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("back after %.1fs, same addresses and MACs", back.Seconds()), nil
}

func (s *Story) web(ctx context.Context, guest, host, want string) (string, error) {
	return s.webFrom(ctx, guest, host, want)
}

func (s *Story) webFrom(ctx context.Context, ns, host, want string) (string, error) {
	out, err := s.Lab.In(ctx, ns, "curl", "-sS", "--max-time", "10", "http://"+host+"/")
	if err != nil || !strings.HasPrefix(out, want) {
		return "", fmt.Errorf("http://%s/ from %s answered %q, want %q: %w", host, ns, out, want, err)
	}
	return strings.TrimSpace(out), nil
}

func (s *Story) vm(ctx context.Context, name string) (v1.VMInstance, error) {
	return get[v1.VMInstance](ctx, s.API, "vm-instances", name)
}

func (s *Story) eip(ctx context.Context) (v1.EIP, error) {
	return get[v1.EIP](ctx, s.API, "eips", "app")
}

func (s *Story) bridge(ctx context.Context, l2 string) (string, error) {
	got, err := get[v1.L2Network](ctx, s.API, "l2-networks", l2)
	if err != nil {
		return "", err
	}
	if len(got.Realizations) == 0 {
		return "", fmt.Errorf("L2 network %s has no bridge", l2)
	}
	return got.Realizations[0].Bridge, nil
}

func (s *Story) router(ctx context.Context) (v1.VirtualRouter, error) {
	all, err := client.List[v1.VirtualRouter](ctx, s.API, "/v1/virtual-routers", nil)
	if err != nil {
		return v1.VirtualRouter{}, err
	}
	if len(all) != 1 {
		return v1.VirtualRouter{}, fmt.Errorf("there are %d routers, want exactly one", len(all))
	}
	return all[0], nil
}

// get is the object with a name.
func get[T any](ctx context.Context, api *client.Client, path, name string) (T, error) {
	var none T
	all, err := client.List[T](ctx, api, "/v1/"+path, url.Values{"name": {name}})
	if err != nil {
		return none, err
	}
	if len(all) != 1 {
		return none, fmt.Errorf("%s named %s: found %d, want one", path, name, len(all))
	}
	return all[0], nil
}
