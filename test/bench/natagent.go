package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
	"github.com/sluice-nfv/sluice/test/site"
)

// managed is one of our routers as an orchestrator has it: enrolled, and told
// over mutual TLS, from the machine outside, what to be.
type managed struct {
	rack       *rack
	b          *bench
	name       string
	k          int
	boot       agentv1.Bootstrap
	client     *http.Client
	generation uint64
}

// manage starts an agent without a spec and enrols it.
func (s *rack) manage(ctx context.Context, b *bench, name string) (*managed, error) {
	k := s.number(name)
	if err := s.joinManagement(ctx, name); err != nil {
		return nil, err
	}
	authority, err := pki.New(time.Now())
	if err != nil {
		return nil, err
	}
	m := &managed{rack: s, b: b, name: name, k: k, boot: agentv1.Bootstrap{
		Version: 1, RouterUUID: fmt.Sprintf("0199b2a4-0000-7000-b000-%012d", k), Hostname: "bench",
		Interfaces: m0(k), Listen: netip.AddrPortFrom(m0(k)[0].Addresses[0].Addr(), agentv1.AgentPort),
		OrchestratorCA: authority.OrchestratorTrust(), JoinToken: "bm9ib2R5IGd1ZXNzZXMgdGhpcyB0b2tlbiBoZXJlISE",
	}}
	if err := os.MkdirAll(m.dir("drive"), 0o700); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(m.boot)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(m.dir("drive"), agentv1.BootstrapFile), raw, 0o600); err != nil {
		return nil, err
	}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	return m, m.enrol(ctx, authority)
}

// joinManagement puts a router's management nic on a network with the machine
// outside.
func (s *rack) joinManagement(ctx context.Context, name string) error {
	k, outside, router := s.number(name), s.Namespace(outsideNS), s.Namespace(name)
	for _, line := range []string{
		fmt.Sprintf("link add mgmt address %s netns %s type veth peer name m-%s netns %s", managementMAC(k), router, name, outside),
		fmt.Sprintf("-n %s addr add 10.98.%d.2/24 dev m-%s", outside, k, name),
		fmt.Sprintf("-n %s link set m-%s up", outside, name),
	} {
		if _, err := s.Host(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return nil
}

// m0 is a router's management nic.
func m0(k int) []agentv1.Interface {
	return []agentv1.Interface{{
		Name: "mgmt", Roles: []agentv1.Role{agentv1.RoleManagement}, MAC: managementMAC(k), MTU: 1500, L3NetworkUUID: "management",
		Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.98.%d.1/24", k))},
	}}
}

func managementMAC(k int) string { return fmt.Sprintf("02:97:00:00:%02x:03", k) }

func (m *managed) dir(name string) string { return filepath.Join(m.rack.Dir, m.name, name) }

// state is on a tmpfs, as it is in a router.
func (m *managed) state() string {
	return filepath.Join(stateDir, m.name)
}

// start starts the agent, also after it was killed.
func (m *managed) start(ctx context.Context) error {
	command := []string{filepath.Join(m.b.bin, "sluice-agent"), "run", "--config", m.dir("drive"), "--state", m.state()}
	if err := m.rack.Start(ctx, m.name, m.name, command...); err != nil {
		return err
	}
	return m.rack.await(ctx, m.name, "sluice-agent: ready")
}

// enrol makes the agent the authority's, and a client that it obeys.
func (m *managed) enrol(ctx context.Context, authority pki.Authority) error {
	link := agentlink.NewOver(authority, func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
		return dialIn(ctx, m.rack.Namespace(outsideNS), to, timeout)
	})
	defer link.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	to := agentlink.Target{RouterUUID: m.boot.RouterUUID, Addr: m.boot.Listen, JoinToken: m.boot.JoinToken}
	if err := link.WaitReachable(ctx, to); err != nil {
		return err
	}
	if err := link.Enrol(ctx, to); err != nil {
		return err
	}
	cert, err := authority.ClientCertificate(time.Now())
	if err != nil {
		return err
	}
	m.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialIn(ctx, m.rack.Namespace(outsideNS), m.boot.Listen, 5*time.Second)
		},
		// The peer was verified by agentlink a moment ago; this one measures.
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}},
		DisableCompression: true,
	}}
	return nil
}

// dialIn connects from a namespace.
func dialIn(ctx context.Context, ns string, to netip.AddrPort, timeout time.Duration) (conn net.Conn, err error) {
	err = site.Within(ns, func() (err error) {
		conn, err = agentlink.DialTCP(ctx, to, timeout)
		return err
	})
	return conn, err
}

// prepared is a spec as it goes over the wire, so that making it is not measured.
type prepared struct {
	method     string
	generation uint64
	body       []byte
}

// spec is the next generation, with this content and the management nic.
func (m *managed) spec(c agentv1.Content) (prepared, error) {
	c.Interfaces = append(m0(m.k), c.Interfaces...)
	m.generation++
	return prepare(http.MethodPut, m.generation, agentv1.RouterSpec{
		Version: agentv1.SpecVersion, RouterUUID: m.boot.RouterUUID, Generation: m.generation, Hash: c.Hash(), Fence: 1, Content: c,
	})
}

// change is the next generation as what differs from the one before, with a
// content that was is changed to.
func (m *managed) change(was, is agentv1.Content) (prepared, error) {
	difference, ok := was.Difference(is)
	if !ok {
		return prepared{}, errors.New("more differs than a change can say")
	}
	p, _, err := m.step(m.digest(was), difference)
	return p, err
}

// digest is that of a content with the management nic.
func (m *managed) digest(c agentv1.Content) agentv1.Digest {
	c.Interfaces = append(m0(m.k), c.Interfaces...)
	return c.Digest()
}

// step is the next generation as a change, and the digest that it leads to.
func (m *managed) step(base agentv1.Digest, ch agentv1.Change) (prepared, agentv1.Digest, error) {
	m.generation++
	next := base.Changed(ch)
	p, err := prepare(http.MethodPatch, m.generation, agentv1.SpecChange{
		Version: agentv1.SpecVersion, RouterUUID: m.boot.RouterUUID, Generation: m.generation, Fence: 1,
		BaseHash: base.String(), Hash: next.String(), Change: ch,
	})
	return p, next, err
}

// prepare compresses what is large, as agentlink does.
func prepare(method string, generation uint64, body any) (prepared, error) {
	raw, err := json.Marshal(body)
	if err != nil || len(raw) < 8<<10 {
		return prepared{method, generation, raw}, err
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = z.Write(raw) // into memory
	err = z.Close()
	return prepared{method, generation, b.Bytes()}, err
}

// put sends a spec and returns how long it took until all of it was reached.
func (m *managed) put(ctx context.Context, p prepared) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, p.method, "https://"+m.boot.Listen.String()+agentv1.PathSpec, bytes.NewReader(p.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if bytes.HasPrefix(p.body, []byte{0x1f, 0x8b}) { // RFC 1952 section 2.3.1
		req.Header.Set("Content-Encoding", "gzip")
	}
	began := time.Now()
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, err
	}
	raw, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	_ = resp.Body.Close()
	if err != nil {
		return 0, err
	}
	var status agentv1.RouterStatus
	if err := json.Unmarshal(raw, &status); err != nil || resp.StatusCode != http.StatusOK || status.AppliedGeneration != p.generation {
		return 0, fmt.Errorf("generation %d not reached: HTTP %d: %.400s", p.generation, resp.StatusCode, raw)
	}
	return took, nil
}

// memory is the agent's resident set now and at its largest, 10^6 bytes.
func (m *managed) memory() (now, most float64, err error) {
	pid := m.rack.PID(m.name)
	rss, err := resident(pid)
	if err != nil {
		return 0, 0, err
	}
	hwm, err := processStatus(pid, "VmHWM")
	return float64(rss) / 1e6, float64(hwm) / 1e6, err
}
