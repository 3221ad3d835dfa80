// Package app is the only place where all parts of the orchestrator meet. Its
// Run starts them in order and stops them in reverse; tests start it as main
// does.
package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/libvirt"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/reconcile"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// services plan their parts of a router's spec. The order is without meaning
// to routers: each writes its own field.
var services = []plan.Service{
	dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{},
}

// routes are what services add to the API.
var routes = []func(*httpapi.API){dhcp.Routes, dns.Routes, eip.Routes, portforwarding.Routes}

// l2Types are the types of L2 network that can be made real on this machine.
var l2Types = hostnet.Local{novlan.Type{}, vlan.Type{}}

// catalog is what the rules of the model may offer.
func catalog() model.Catalog {
	c := model.Catalog{Services: plan.Offers(services)}
	for _, t := range l2Types {
		c.L2Types = append(c.L2Types, t)
	}
	return c
}

// Config is what an administrator can choose.
type Config struct {
	// DataDir holds the embedded etcd, the audit log, the admin token and the CA.
	DataDir string
	// Etcd are endpoints of an existing cluster; empty: embedded.
	Etcd []string
	// EtcdTLS is how its members and this server prove who they are.
	EtcdTLS EtcdTLS
	// EtcdQuota is how large the embedded etcd's database may be, in bytes.
	EtcdQuota int64
	// AuditDir is where the audit chain is written; empty: in DataDir. Several
	// servers may have the same one: each writes a chain of its own there, and each
	// shows all of them.
	AuditDir string
	// AuditSize is how much of the chain is kept, in bytes; 0: audit.DefaultSize.
	AuditSize int64
	// Socket is the unix socket for root on this machine.
	Socket string
	// Listen is the HTTPS address.
	Listen string
	// Instance keeps several servers on one libvirt apart.
	Instance string
	// BootTimeout is how long a router may take to answer first.
	BootTimeout time.Duration
	// RequestsPerSecond is how many a token may make; 0: any number.
	RequestsPerSecond float64
	Version           string
	Log               *slog.Logger
}

// Run serves until the context ends.
func Run(ctx context.Context, c Config) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	s, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Close(); err != nil {
			c.Log.Error("close store", "err", err)
		}
	}()
	authority, err := loadAuthority(ctx, s)
	if err != nil {
		return err
	}
	if err := httpapi.EnsureAdminToken(ctx, s.Private(), filepath.Join(c.DataDir, "admin-token")); err != nil {
		return err
	}
	link := agentlink.New(authority)
	defer link.Close()
	log, err := openAudit(c)
	if err != nil {
		return err
	}
	defer func() {
		if err := log.Close(); err != nil {
			c.Log.Error("close audit log", "err", err)
		}
	}()
	r := reconcile.New(reconcile.Config{
		Store: s, Agents: link, L2s: l2Types, Services: services, Open: opener(c),
		OrchestratorCA: authority.OrchestratorTrust(), Log: c.Log, BootTimeout: c.BootTimeout,
	})
	r.Start()
	defer r.Close()
	api := httpapi.New(httpapi.Config{Store: s, Effects: r, Services: routes, Planners: services, Audit: log, AuditServer: auditServer(c), Version: c.Version, Rate: rate(c), Log: c.Log})
	where, err := listen(c, authority)
	if err != nil {
		return err
	}
	c.Log.Info("serving", "socket", c.Socket, "listen", c.Listen, "dir", c.DataDir)
	return api.Serve(ctx, where)
}

// openAudit goes on with this server's chain of audit records.
func openAudit(c Config) (*audit.Log, error) {
	host, _ := os.Hostname() // without one, chains have a name all the same
	return audit.Open(audit.Config{Dir: auditDir(c), Host: host, Size: c.AuditSize, Log: c.Log})
}

func auditDir(c Config) string { return cmp.Or(c.AuditDir, filepath.Join(c.DataDir, "audit")) }

// auditServer is where people find this server's records.
func auditServer(c Config) string {
	host, _ := os.Hostname()
	dir, err := filepath.Abs(auditDir(c))
	if err != nil {
		dir = auditDir(c)
	}
	return host + ":" + dir
}

func rate(c Config) httpapi.Rate {
	if c.RequestsPerSecond == 0 {
		return httpapi.Rate{PerSecond: -1}
	}
	return httpapi.Rate{PerSecond: c.RequestsPerSecond}
}

func open(ctx context.Context, c Config) (*store.Store, error) {
	sc, err := storeConfig(c)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, sc)
}

func storeConfig(c Config) (sc store.Config, err error) {
	if err := checkEndpoints(c.Etcd); err != nil {
		return sc, err
	}
	secure, err := c.EtcdTLS.config()
	if err != nil {
		return sc, err
	}
	sc = store.Config{Endpoints: c.Etcd, TLS: secure, Quota: c.EtcdQuota, Catalog: catalog(), Log: c.Log}
	if len(c.Etcd) == 0 {
		sc.Dir = storeDir(c)
	}
	return sc, nil
}

// loadAuthority reads the certificate authorities; the first orchestrator on
// a store makes them.
func loadAuthority(ctx context.Context, s *store.Store) (pki.Authority, error) {
	fresh, err := pki.New(time.Now())
	if err != nil {
		return pki.Authority{}, err
	}
	b, err := json.Marshal(fresh)
	if err != nil {
		return pki.Authority{}, err
	}
	if b, err = s.Private().PutOnce(ctx, "pki/authority", b); err != nil {
		return pki.Authority{}, fmt.Errorf("load certificate authorities: %w", err)
	}
	var a pki.Authority
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("load certificate authorities: %w", err)
	}
	return a, nil
}

// listen makes the server's certificate and writes its CA where clients find it.
func listen(c Config, a pki.Authority) (httpapi.Listen, error) {
	where := httpapi.Listen{Socket: c.Socket, Addr: c.Listen}
	if c.Listen == "" {
		return where, nil
	}
	ca := filepath.Join(c.DataDir, "ca.pem")
	if err := os.WriteFile(ca, []byte(a.OrchestratorTrust()), 0o644); err != nil {
		return where, fmt.Errorf("write CA: %w", err)
	}
	hosts := names(c.Listen)
	cert := pki.NewRenewing(func(now time.Time) (*tls.Certificate, error) { return a.ServerCertificate(now, hosts) })
	where.TLS = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Certificate() },
	}
	return where, nil
}

// names are what clients may call this server.
func names(listen string) []string {
	out := []string{"localhost", "127.0.0.1"}
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		return append(out, host)
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		host, _, _ := strings.Cut(a.String(), "/")
		out = append(out, host)
	}
	return out
}

// opener connects to a host's libvirt.
func opener(c Config) func(ctx context.Context, uri, virtType string) (hypervisor.Hypervisor, error) {
	return func(ctx context.Context, uri, virtType string) (hypervisor.Hypervisor, error) {
		return libvirt.Open(ctx, libvirt.Config{URI: uri, Instance: c.Instance, VirtType: virtType, Log: c.Log})
	}
}
