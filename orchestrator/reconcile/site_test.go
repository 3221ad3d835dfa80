package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// machine is a host whose domains boot fake agents: what they know is what is
// on their config drive.
type machine struct {
	*hypervisor.Fake
	net *agentlinktest.Network

	mu     sync.Mutex
	agents map[string]netip.AddrPort // by domain, of those that run
	mortal bool                      // domains die as soon as they have started
	mute   bool                      // no agent comes up
	ended  int                       // domains that their guests ended
}

func (m *machine) EnsureDomain(ctx context.Context, d hypervisor.Domain) error {
	boots := m.Boots(d.UUID)
	if err := m.Fake.EnsureDomain(ctx, d); err != nil || m.Boots(d.UUID) == boots {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var b agentv1.Bootstrap
	drive := m.VolumeContent(d.ConfigVolume)
	at := bytes.Index(drive, []byte(`{"version":1`))
	if at < 0 {
		return fmt.Errorf("no bootstrap on %s", d.ConfigVolume)
	}
	if err := json.NewDecoder(bytes.NewReader(drive[at:])).Decode(&b); err != nil {
		return err
	}
	switch {
	case m.mortal:
		m.Fake.Crash(d.UUID)
	case m.mute:
		m.net.Remove(b.Listen)
	default:
		agent, err := m.net.Boot(b)
		if err != nil {
			return err
		}
		agent.Reboots(func() { m.ends(d.UUID) })
		m.agents[d.UUID] = b.Listen
	}
	return nil
}

func (m *machine) set(mortal, mute bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mortal, m.mute = mortal, mute
}

// off takes the agent with its domain.
func (m *machine) off(uuid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.agents[uuid]; ok {
		m.net.Remove(at)
		delete(m.agents, uuid)
	}
}

func (m *machine) StopDomain(ctx context.Context, uuid string) error {
	err := m.Fake.StopDomain(ctx, uuid)
	if err == nil {
		m.off(uuid)
	}
	return err
}

func (m *machine) DeleteDomain(ctx context.Context, uuid string) error {
	err := m.Fake.DeleteDomain(ctx, uuid)
	if err == nil {
		m.off(uuid)
	}
	return err
}

// ends is a domain that ends by its guest's reboot.
func (m *machine) ends(uuid string) {
	m.off(uuid)
	m.mu.Lock()
	m.ended++
	m.mu.Unlock()
	m.Shutdown(uuid)
}

func (m *machine) crash(uuid string) { m.off(uuid); m.Crash(uuid) }
func (m *machine) kill(uuid string)  { m.off(uuid); m.Kill(uuid) }

// flaky is the real link with failures that are asked for.
type flaky struct {
	*agentlink.Link
	mu    sync.Mutex
	fails map[string]error
	calls map[string]int
	hang  atomic.Bool // pushes never end by themselves
}

func (f *flaky) enter(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	err := f.fails[method]
	delete(f.fails, method)
	return err
}

func (f *flaky) failNext(method string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails[method] = err
}

func (f *flaky) WaitReachable(ctx context.Context, t agentlink.Target) error {
	if err := f.enter("WaitReachable"); err != nil {
		return err
	}
	return f.Link.WaitReachable(ctx, t)
}

func (f *flaky) Command(ctx context.Context, t agentlink.Target, name, key string, args, result any) error {
	if err := f.enter("Command"); err != nil {
		return err
	}
	return f.Link.Command(ctx, t, name, key, args, result)
}

func (f *flaky) Enrol(ctx context.Context, t agentlink.Target) error {
	if err := f.enter("Enrol"); err != nil {
		return err
	}
	return f.Link.Enrol(ctx, t)
}

func (f *flaky) PushSpec(ctx context.Context, t agentlink.Target, s agentv1.RouterSpec) (agentv1.RouterStatus, error) {
	if err := f.enter("PushSpec"); err != nil {
		return agentv1.RouterStatus{}, err
	}
	if f.hang.Load() {
		<-ctx.Done()
		return agentv1.RouterStatus{}, ctx.Err()
	}
	return f.Link.PushSpec(ctx, t, s)
}

func (f *flaky) PushChange(ctx context.Context, t agentlink.Target, c agentv1.SpecChange) (agentv1.RouterStatus, error) {
	if err := f.enter("PushSpec"); err != nil {
		return agentv1.RouterStatus{}, err
	}
	if f.hang.Load() {
		<-ctx.Done()
		return agentv1.RouterStatus{}, ctx.Err()
	}
	return f.Link.PushChange(ctx, t, c)
}

// bridges are the L2 networks of the one machine that all hosts are on.
type bridges struct {
	mu       sync.Mutex
	have     map[string]bool
	realized int
	failAt   int    // the call of Realize, from 1, that fails
	broken   string // the bridge that cannot be made
	tell     func(names ...string)
	// strangers are on the wire, by address, wherever it is; asked is what was
	// asked about.
	strangers map[netip.Addr]string
	asked     []netip.Addr
}

func (b *bridges) Realize(_ context.Context, l2 *v1.L2Network) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.realized++; b.realized == b.failAt || b.broken == "br_"+l2.PhysicalInterface {
		return "", fmt.Errorf("interface %s: no such device", l2.PhysicalInterface)
	}
	b.have["br_"+l2.PhysicalInterface] = true
	b.tell(slices.Collect(maps.Keys(b.have))...)
	return "br_" + l2.PhysicalInterface, nil
}

func (b *bridges) Check(_ context.Context, l2 *v1.L2Network) error {
	if !b.has("br_" + l2.PhysicalInterface) {
		return fmt.Errorf("bridge of %s is missing", l2.PhysicalInterface)
	}
	return nil
}

func (b *bridges) Unrealize(ctx context.Context, l2 *v1.L2Network) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.remove("br_" + l2.PhysicalInterface)
	return nil
}

// WhoHas: strangers answer at once.
func (b *bridges) WhoHas(_ context.Context, _ *v1.L2Network, ips []netip.Addr) (map[netip.Addr]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, ips...)
	heard := map[netip.Addr]string{}
	for _, ip := range ips {
		if mac := b.strangers[ip]; mac != "" {
			heard[ip] = mac
		}
	}
	return heard, nil
}

func (b *bridges) stranger(ip, mac string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strangers[netip.MustParseAddr(ip)] = mac
}

// breaks takes a bridge away for good; with no name they can all be made again.
func (b *bridges) breaks(name string) {
	b.mu.Lock()
	b.broken = name
	b.mu.Unlock()
	b.remove(name)
}

func (b *bridges) has(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.have[name]
}

func (b *bridges) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.have, name)
	b.tell(slices.Collect(maps.Keys(b.have))...)
}

var services = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}

var catalog = model.Catalog{L2Types: []model.L2Type{novlan.Type{}, vlan.Type{}}, Services: plan.Offers(services)}

// site is everything around a Reconciler, which can be closed and made anew.
type site struct {
	t        *testing.T
	store    *store.Store
	machines []*machine // one a host, the first host's first
	net      *agentlinktest.Network
	agents   *flaky
	l2s      *bridges
	pki      pki.Authority
	log      slog.Handler
	r        *Reconciler

	zone, cluster, image       string
	hosts                      []string
	mgmtL2, publicL2, guestL2  string
	mgmt, public, guest, offer string
	vms                        []string
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// stored runs a rule on the store.
func stored[T any](s *site, rule func(*model.Tx) (T, error)) T {
	s.t.Helper()
	var out T
	_, err := s.store.Update(s.t.Context(), func(tx *model.Tx) (err error) {
		out, err = rule(tx)
		return err
	})
	return must(s.t, out, err)
}

func named(name string) v1.CreateMeta { return v1.CreateMeta{Name: name} }

// newSite has hosts of one cluster, three networks and stopped guests.
func newSite(t *testing.T, hosts, guests int) *site {
	t.Helper()
	t.Parallel()
	a, err := pki.New(time.Now())
	must(t, a, err)
	net := agentlinktest.NewNetwork()
	s := &site{t: t, store: store.NewMemory(catalog), net: net, pki: a, log: slog.DiscardHandler,
		agents: &flaky{Link: agentlink.NewOver(a, net.Dial), fails: map[string]error{}, calls: map[string]int{}},
		l2s:    &bridges{have: map[string]bool{}, strangers: map[netip.Addr]string{}},
	}
	s.l2s.tell = func(names ...string) {
		for _, m := range s.machines {
			m.SetBridges(names...)
		}
	}
	s.zone = stored(s, func(tx *model.Tx) (*v1.Zone, error) {
		return model.CreateZone(tx, v1.CreateZone{CreateMeta: named("zone")})
	}).UUID
	s.cluster = s.addCluster("cluster")
	for i := range hosts {
		s.addHost(fmt.Sprintf("host%d", i), s.cluster)
	}
	s.start()
	t.Cleanup(func() {
		s.r.Close()
		s.agents.Close()
		net.Close()
		_ = s.store.Close()
	})
	for _, h := range s.hosts {
		must(t, 0, s.r.WaitHost(t.Context(), h))
	}
	s.addNetworks()
	for i := range guests {
		s.vms = append(s.vms, s.addVM(fmt.Sprintf("vm%d", i)))
	}
	return s
}

func (s *site) addCluster(name string) string {
	return stored(s, func(tx *model.Tx) (*v1.Cluster, error) {
		return model.CreateCluster(tx, v1.CreateCluster{CreateMeta: named(name), ZoneUUID: s.zone})
	}).UUID
}

func (s *site) addHost(name, cluster string) string {
	m := &machine{Fake: hypervisor.NewFake(), net: s.net, agents: map[string]netip.AddrPort{}}
	s.machines = append(s.machines, m)
	s.l2s.mu.Lock()
	s.l2s.tell(slices.Collect(maps.Keys(s.l2s.have))...)
	s.l2s.mu.Unlock()
	uri := fmt.Sprintf("qemu+fake://%d/system", len(s.machines)-1)
	h := stored(s, func(tx *model.Tx) (*v1.Host, error) {
		return model.CreateHost(tx, v1.CreateHost{CreateMeta: named(name), ClusterUUID: cluster, LibvirtURI: uri})
	})
	s.hosts = append(s.hosts, h.UUID)
	return h.UUID
}

// start makes and starts a Reconciler over what is there.
func (s *site) start() {
	s.r = s.reconciler()
	s.r.Start()
}

func (s *site) reconciler() *Reconciler {
	return New(Config{
		Store: s.store, Agents: s.agents, L2s: s.l2s, OrchestratorCA: s.pki.OrchestratorTrust(), Log: slog.New(s.log),
		Services: services,
		Open: func(_ context.Context, uri, _ string) (hypervisor.Hypervisor, error) {
			for i, m := range s.machines {
				if uri == fmt.Sprintf("qemu+fake://%d/system", i) {
					return m, nil
				}
			}
			return nil, fmt.Errorf("no machine at %s", uri)
		},
		BootTimeout: 5 * time.Second, ObserveEvery: 50 * time.Millisecond, LostAfter: 300 * time.Millisecond,
	})
}

func (s *site) addNetworks() {
	s.mgmtL2, s.mgmt = s.addNetwork("management", "eth0", v1.System, "10.0.0.0/24")
	s.publicL2, s.public = s.addNetwork("public", "eth1", v1.Public, "203.0.113.0/24")
	s.guestL2, s.guest = s.addNetwork("guest", "eth2", v1.Private, "192.168.10.0/24")
	stored(s, func(tx *model.Tx) (*v1.L3Network, error) {
		return model.AttachNetworkServices(tx, s.guest, map[string][]string{v1.ProviderVirtualRouter: {v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding}})
	})
	img := must1(s, func() (*v1.Image, error) {
		return s.r.InspectImage(s.t.Context(), &v1.CreateImage{CreateMeta: named("router"), Source: template(s.t)})
	})
	s.image = stored(s, func(tx *model.Tx) (*v1.Image, error) { return model.CreateImage(tx, img) }).UUID
	s.offer = stored(s, func(tx *model.Tx) (*v1.VirtualRouterOffering, error) {
		return model.CreateOffering(tx, v1.CreateVirtualRouterOffering{CreateMeta: named("small"), ZoneUUID: s.zone,
			ManagementNetworkUUID: s.mgmt, PublicNetworkUUID: s.public, ImageUUID: s.image})
	}).UUID
}

func must1[T any](s *site, f func() (T, error)) T {
	s.t.Helper()
	v, err := f()
	return must(s.t, v, err)
}

func (s *site) addNetwork(name, nic, category, cidr string) (l2, l3 string) {
	s.t.Helper()
	l2 = s.addL2(name, nic)
	must(s.t, 0, s.r.AttachL2(s.t.Context(), l2, s.cluster))
	l3 = stored(s, func(tx *model.Tx) (*v1.L3Network, error) {
		return model.CreateL3Network(tx, v1.CreateL3Network{CreateMeta: named(name), L2NetworkUUID: l2, Category: category})
	}).UUID
	stored(s, func(tx *model.Tx) ([]*v1.IPRange, error) {
		return model.AddIPRange(tx, l3, v1.AddIPRange{CreateMeta: named(name), NetworkCIDR: cidr})
	})
	return l2, l3
}

func (s *site) addL2(name, nic string) string {
	return stored(s, func(tx *model.Tx) (*v1.L2Network, error) {
		return model.CreateL2Network(tx, v1.CreateL2Network{CreateMeta: named(name), ZoneUUID: s.zone, PhysicalInterface: nic})
	}).UUID
}

func (s *site) addVM(name string) string {
	return stored(s, func(tx *model.Tx) (*v1.VMInstance, error) {
		return model.CreateVM(tx, v1.CreateVMInstance{CreateMeta: named(name), Hostname: name, Nics: []v1.CreateVMNic{{L3NetworkUUID: s.guest}}})
	}).UUID
}

// startVM stores that a VM runs, as the API does, and does not wait.
func (s *site) startVM(vm string) {
	s.t.Helper()
	stored(s, func(tx *model.Tx) (*v1.VMInstance, error) { return model.StartVM(tx, vm) })
}

// serve starts a VM and waits until it is served.
func (s *site) serve(vm string) *v1.VirtualRouter {
	s.t.Helper()
	s.startVM(vm)
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Second)
	defer cancel()
	if err := s.r.WaitVM(ctx, vm); err != nil {
		s.t.Fatalf("%v\n%s", err, s.dump())
	}
	return s.router()
}

// router is the only one; nil if there is none.
func (s *site) router() *v1.VirtualRouter {
	s.t.Helper()
	all := slices.Collect(model.List[v1.VirtualRouter](s.store.View()))
	if len(all) > 1 {
		s.t.Fatalf("%d routers", len(all))
	}
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func (s *site) act(action string) {
	s.t.Helper()
	stored(s, func(tx *model.Tx) (*v1.VirtualRouter, error) { return model.RouterAction(tx, s.router().UUID, action) })
}

// served waits until the router is as wanted, over failures.
func (s *site) served() *v1.VirtualRouter {
	s.t.Helper()
	s.eventually("router is served", func() bool {
		r := s.router()
		if r == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		return s.r.WaitRouter(ctx, r.UUID) == nil
	})
	return s.router()
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not within 15 s\n%s", what, s.dump())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *site) agent() *agentlinktest.Agent {
	return s.net.Agent(must1(s, func() (netip.AddrPort, error) { return plan.AgentAddress(s.router()) }))
}

func (s *site) dump() string {
	var b strings.Builder
	for i, m := range s.machines {
		fmt.Fprintf(&b, "host %d:\n%s", i, m.Dump())
	}
	fmt.Fprintln(&b, s.net)
	for r := range model.List[v1.VirtualRouter](s.store.View()) {
		fmt.Fprintf(&b, "%+v\n", *r)
	}
	return b.String()
}

// tidy holds the site to one served router: one domain on its host, the volumes
// of its build and of its image, no token, an agent with the newest content.
func (s *site) tidy() {
	s.t.Helper()
	r := s.router()
	domains, volumes := 0, []string{}
	for i, m := range s.machines {
		for _, d := range must1(s, func() ([]hypervisor.DomainStatus, error) { return m.ListDomains(s.t.Context()) }) {
			domains++
			if d.UUID != r.UUID || s.hosts[i] != r.HostUUID || d.State != hypervisor.Running {
				s.t.Errorf("domain %+v on host %d", d, i)
			}
		}
		for _, v := range must1(s, func() ([]hypervisor.Volume, error) { return m.ListVolumes(s.t.Context()) }) {
			if strings.HasPrefix(v.Name, plan.RouterVolumePrefix(r.UUID)) {
				volumes = append(volumes, v.Name)
			}
		}
	}
	if domains != 1 || !slices.Equal(volumes, []string{plan.ConfigVolume(r)}) {
		s.t.Errorf("%d domains, volumes %v; want one, and %s", domains, volumes, plan.ConfigVolume(r))
	}
	if _, found, err := s.store.Private().Get(s.t.Context(), tokenKey(r.UUID)); found || err != nil {
		s.t.Errorf("a join token is left: %t, %v", found, err)
	}
	if s.agent() == nil {
		s.t.Fatalf("no agent\n%s", s.dump())
	}
	content := must1(s, func() (agentv1.Content, error) { return plan.Content(s.store.View(), r, s.r.Services) })
	if got := s.agent().Spec(); got.Hash != content.Hash() || got.Generation != r.AppliedGeneration {
		s.t.Errorf("agent has generation %d (%s), want %d (%s)", got.Generation, got.Hash, r.AppliedGeneration, content.Hash())
	}
	if c := v1.FindCondition(r.Conditions, v1.ReadyCondition); c.Status != v1.True {
		s.t.Errorf("ready is %+v", c)
	}
	for _, c := range r.Conditions {
		if c.Status != v1.True {
			s.t.Errorf("condition %+v", c)
		}
	}
	if s.t.Failed() {
		s.t.Log(s.dump())
	}
}

// template is a folder as the image build leaves it.
func template(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	m := manifest{Version: "1", Cmdline: "console=ttyS0", Files: map[string]v1.ImageFile{}}
	for _, name := range []string{plan.KernelFile, plan.InitrdFile} {
		sum := sha256.Sum256([]byte(name))
		m.Files[name] = v1.ImageFile{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(name))}
		must(t, 0, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	raw := must1(&site{t: t}, func() ([]byte, error) { return json.Marshal(m) })
	must(t, 0, os.WriteFile(filepath.Join(dir, "manifest.json"), raw, 0o600))
	return dir
}
