package agentlinktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Agent is one fake router's agent.
type Agent struct {
	boot agentv1.Bootstrap

	mu       sync.Mutex
	server   *http.Server
	addr     netip.AddrPort
	bootID   string
	started  time.Time
	key      *ecdsa.PrivateKey
	pending  *ecdsa.PrivateKey
	cert     *tls.Certificate
	enrolled bool
	accepted agentv1.RouterSpec
	applied  agentv1.RouterSpec
	fence    int64
	pushes   int
	patches  int
	faults   map[string]string
	leases   []agentv1.LeaseStatus
	onReboot func()
}

// Reboots is what ends the agent's domain. Without it the agent cannot reboot.
func (a *Agent) Reboots(end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onReboot = end
}

func newAgent(b agentv1.Bootstrap) *Agent {
	a := &Agent{boot: b, faults: map[string]string{}}
	a.forget()
	return a
}

// Addr is where the agent really listens, on loopback; invalid when killed.
func (a *Agent) Addr() netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addr
}

// Kill ends the agent and its connections at once; its state stays.
func (a *Agent) Kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
	}
	a.server, a.addr = nil, netip.AddrPort{}
}

// Restart starts the agent with the state it has, as after a crash.
func (a *Agent) Restart() error {
	a.Kill()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(a.boot.OrchestratorCA)) {
		return fmt.Errorf("bootstrap has no orchestrator CA")
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		SessionTicketsDisabled: true, VerifyConnection: onlyOrchestrators,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.cert, nil
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server, a.started = server, time.Now().UTC()
	a.addr = ln.Addr().(*net.TCPAddr).AddrPort()
	go func() { _ = server.Serve(tls.NewListener(ln, config)) }() // ends with Kill
	return nil
}

// Reboot restarts the agent without identity and spec: it has what its config
// drive holds, and no more.
func (a *Agent) Reboot() error {
	a.Kill()
	a.forget()
	return a.Restart()
}

func (a *Agent) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	a.bootID = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.cert, a.enrolled, a.pending = selfSigned(a.key), false, nil
	a.accepted, a.applied, a.fence, a.leases = agentv1.RouterSpec{}, agentv1.RouterSpec{}, 0, nil
}

// Break makes a service fail with a message, so that specs are accepted but
// not reached; an empty message mends it, and what was accepted is reached.
func (a *Agent) Break(service, message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if message == "" {
		delete(a.faults, service)
	} else {
		a.faults[service] = message
	}
	a.apply()
}

// SetLeases sets the lease facts that the status reports.
func (a *Agent) SetLeases(leases []agentv1.LeaseStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leases = leases
}

// Spec is the last accepted spec; Generation 0: none.
func (a *Agent) Spec() agentv1.RouterSpec {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted
}

// Enrolled reports whether a certificate was issued.
func (a *Agent) Enrolled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enrolled
}

// Pushes counts the specs that came in, refused ones too.
func (a *Agent) Pushes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pushes
}

// Patches counts those that came in as changes.
func (a *Agent) Patches() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.patches
}

// String is the agent's state in a line.
func (a *Agent) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("router=%s up=%v enrolled=%v accepted=%d applied=%d fence=%d pushes=%d faults=%v",
		a.boot.RouterUUID, a.server != nil, a.enrolled, a.accepted.Generation, a.applied.Generation, a.fence, a.pushes, a.faults)
}

// apply is called with mu held.
func (a *Agent) apply() {
	if len(a.faults) == 0 {
		a.applied = a.accepted
	}
}

// status is called with mu held.
func (a *Agent) status() agentv1.RouterStatus {
	s := agentv1.RouterStatus{
		RouterUUID: a.boot.RouterUUID, AgentVersion: "fake", BootID: a.bootID, StartedAt: a.started,
		AcceptedGeneration: a.accepted.Generation, AcceptedHash: a.accepted.Hash,
		AppliedGeneration: a.applied.Generation, AppliedHash: a.applied.Hash,
		Services: map[string]agentv1.ServiceStatus{}, Leases: a.leases,
	}
	for _, name := range []string{"interfaces", "dhcp", "dns", "snat", "eip", "port-forwarding"} {
		s.Services[name] = agentv1.ServiceStatus{Ready: a.applied.Generation > 0}
	}
	for name, message := range maps.All(a.faults) {
		s.Services[name] = agentv1.ServiceStatus{Error: message}
	}
	for _, nic := range a.accepted.Content.Interfaces {
		found := agentv1.InterfaceStatus{MAC: nic.MAC, Name: nic.Name, Up: true, MTU: nic.MTU}
		for _, p := range nic.Addresses {
			found.Addresses = append(found.Addresses, p.String())
		}
		s.Interfaces = append(s.Interfaces, found)
	}
	return s
}

func selfSigned(key *ecdsa.PrivateKey) *tls.Certificate {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err) // a constant template
	}
	leaf, _ := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
