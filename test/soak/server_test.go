package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/reconcile"
	"github.com/sluice-nfv/sluice/orchestrator/store"
	"github.com/sluice-nfv/sluice/test/site"
)

// health is what a server tells of itself, beside its API.
type health struct {
	Breaches   []string // of the model's invariants
	Behind     []string // routers that do not serve what is wanted of them, and why
	Goroutines int
	Files      int
	Memory     int // bytes, after a collection
}

// serve is the orchestrator with a machine of its own, until it is killed.
func serve(ctx context.Context, p place) error {
	p.clear()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := store.Open(ctx, store.Config{Dir: filepath.Join(p.dir, "etcd"), Log: log,
		Catalog: site.Catalog})
	if err != nil {
		return err
	}
	defer s.Close()
	authority, err := loadAuthority(ctx, s)
	if err != nil {
		return err
	}
	m := &machine{Fake: hypervisor.NewFake(), place: p, stops: map[string]func(){}}
	m.SetBridges("br_eth0", "br_eth1", "br_eth2", "br_eth3", "br_eth4")
	link := agentlink.NewOver(authority, p.dial)
	defer link.Close()
	r := reconcile.New(reconcile.Config{
		Store: s, Agents: link, L2s: site.Wires{}, Services: site.Services, OrchestratorCA: authority.OrchestratorTrust(), Log: log,
		Open:        func(context.Context, string, string) (hypervisor.Hypervisor, error) { return m, nil },
		BootTimeout: 30 * time.Second, ObserveEvery: time.Second, LostAfter: 10 * time.Second,
	})
	r.Start()
	defer r.Close()
	if err := tellHealth(ctx, p, s, r); err != nil {
		return err
	}
	api := httpapi.New(httpapi.Config{
		Store: s, Effects: r, Planners: site.Services, Version: "soak", Log: log, Rate: httpapi.Rate{PerSecond: -1},
		Services: site.Routes,
	})
	return api.Serve(ctx, httpapi.Listen{Socket: filepath.Join(p.dir, "s")})
}

func loadAuthority(ctx context.Context, s *store.Store) (a pki.Authority, err error) {
	if a, err = pki.New(time.Now()); err != nil {
		return a, err
	}
	b, err := json.Marshal(a)
	if err != nil {
		return a, err
	}
	if b, err = s.Private().PutOnce(ctx, "pki/authority", b); err != nil {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

// tellHealth answers on a socket of its own.
func tellHealth(ctx context.Context, p place, s *store.Store, r *reconcile.Reconciler) error {
	file := filepath.Join(p.dir, "h")
	_ = os.Remove(file)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", file)
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(healthOf(ctx, s, r))
	}))
	return nil
}

func healthOf(ctx context.Context, s *store.Store, r *reconcile.Reconciler) (h health) {
	for router := range model.List[v1.VirtualRouter](s.View()) {
		if why := behind(ctx, s, r, router.UUID); why != "" {
			h.Behind = append(h.Behind, router.Name+": "+why)
		}
	}
	for _, err := range model.Check(s.View()) {
		h.Breaches = append(h.Breaches, err.Error())
	}
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	h.Memory, h.Goroutines = int(mem.HeapAlloc), runtime.NumGoroutine()
	files, _ := os.ReadDir("/proc/self/fd")
	h.Files = len(files)
	return h
}

// behind is why a router does not serve what is wanted of it. A server that has
// just started waits until it has seen the router: the row tells of its last life.
func behind(ctx context.Context, s *store.Store, r *reconcile.Reconciler, uuid string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	waited := r.WaitRouter(ctx, uuid)
	v := s.View()
	row := model.Get[v1.VirtualRouter](v, uuid)
	if row == nil || row.WantedState != v1.StateRunning {
		return "is not to run"
	}
	c, err := plan.Content(v, row, site.Services)
	switch {
	case err != nil:
		return err.Error()
	case waited != nil || row.AppliedHash != c.Hash() || row.State != v1.StateRunning || row.Status != v1.Connected:
		return fmt.Sprintf("%s, %s, applied generation %d of %d: %+v (%v)", row.State, row.Status, row.AppliedGeneration, row.DesiredGeneration, row.Conditions, waited)
	}
	return ""
}
