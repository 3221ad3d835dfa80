package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/api/client"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
	"github.com/sluice-nfv/sluice/orchestrator/reconcile"
	"github.com/sluice-nfv/sluice/orchestrator/store"
	"github.com/sluice-nfv/sluice/test/site"
)

// north is an orchestrator in this process, its store on the disk, with one host
// whose only domain is a router's agent in the rack.
type north struct {
	*managed
	api   *client.Client
	store *store.Store
	ends  []func() error
}

// newNorth has an API that answers, and no objects yet.
func (b *bench) newNorth(ctx context.Context, s *rack, dir string) (n *north, err error) {
	n = &north{managed: &managed{rack: s, b: b, name: s.routers[0], k: 1}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := s.joinManagement(ctx, n.name); err != nil {
		return n, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	n.store, err = store.Open(ctx, store.Config{Dir: filepath.Join(dir, "etcd"), Log: log,
		Catalog: site.Catalog})
	if err != nil {
		return n, err
	}
	n.ends = append(n.ends, n.store.Close)
	authority, err := pki.New(time.Now())
	if err != nil {
		return n, err
	}
	link := agentlink.NewOver(authority, func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
		return dialIn(ctx, s.Namespace(outsideNS), to, timeout)
	})
	m := &northHost{Fake: hypervisor.NewFake(), north: n}
	m.SetBridges("br_eth0", "br_eth1", "br_eth2")
	r := reconcile.New(reconcile.Config{
		Store: n.store, Agents: link, L2s: site.Wires{}, Services: site.Services, OrchestratorCA: authority.OrchestratorTrust(), Log: log,
		Open:        func(context.Context, string, string) (hypervisor.Hypervisor, error) { return m, nil },
		BootTimeout: 30 * time.Second,
	})
	r.Start()
	n.ends = append(n.ends, func() error { r.Close(); link.Close(); return nil })
	return n, n.serve(ctx, filepath.Join(dir, "s"), httpapi.Config{
		Store: n.store, Effects: r, Planners: site.Services, Version: "bench", Log: log, Rate: httpapi.Rate{PerSecond: -1},
		Services: site.Routes,
	})
}

func (n *north) serve(ctx context.Context, socket string, config httpapi.Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- httpapi.New(config).Serve(ctx, httpapi.Listen{Socket: socket}) }()
	n.ends = append(n.ends, func() error { cancel(); return <-served })
	n.api, err = client.New(client.Config{Server: "unix://" + socket})
	if err != nil {
		return err
	}
	for range 200 {
		if err = n.do(ctx, "GET", "/readyz", nil, nil); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the server does not answer: %w", err)
}

func (n *north) do(ctx context.Context, method, path string, body, out any) error {
	return n.api.Do(ctx, method, path, body, out)
}

// close ends everything, the last first.
func (n *north) close() (err error) {
	for _, end := range slices.Backward(n.ends) {
		err = errors.Join(err, end())
	}
	n.ends = nil
	return err
}

// northHost is a host whose domain is the rack's router: its nics get the
// domain's MACs, and its agent is started.
type northHost struct {
	*hypervisor.Fake
	north *north
}

// EnsureDomain boots the agent with what is on the domain's config drive.
func (m *northHost) EnsureDomain(ctx context.Context, d hypervisor.Domain) error {
	boots := m.Boots(d.UUID)
	if err := m.Fake.EnsureDomain(ctx, d); err != nil || m.Boots(d.UUID) == boots {
		return err
	}
	n := m.north
	var err error
	if n.boot, err = site.Bootstrap(m.VolumeContent(d.ConfigVolume)); err != nil {
		return fmt.Errorf("%s: %w", d.ConfigVolume, err)
	}
	for i, link := range []string{"mgmt", "public", "guest"} { // the order of a router's nics
		if _, err := n.rack.Host(ctx, "ip", "-n", n.rack.Namespace(n.name), "link", "set", link, "address", d.Nics[i].MAC); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(n.boot)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(n.dir("drive"), 0o700), os.WriteFile(filepath.Join(n.dir("drive"), agentv1.BootstrapFile), raw, 0o600)); err != nil {
		return err
	}
	return n.start(ctx)
}
