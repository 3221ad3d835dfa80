package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kernel"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// Config says how to run. Exactly one of Drive and SpecFile is set.
type Config struct {
	// Drive is the config drive's directory.
	Drive string
	// SpecFile holds a RouterSpec; its changes are applied.
	SpecFile string
	// StateDir keeps ledger and identity; a tmpfs.
	StateDir string
	// Listen serves the read-only calls without TLS, on a loopback address
	// only; for SpecFile. Empty: nothing listens.
	Listen string
	// Version of the binary.
	Version string
	// Console gets one line when the router is ready. Log gets the log.
	Console, Log io.Writer
	// NoFlowtables leaves the kernel's fast path alone.
	NoFlowtables bool
	// Debug logs each change of the kernel.
	Debug bool
}

// App is a running appliance.
type App struct {
	cfg    Config
	log    *slog.Logger
	recent *recentLog
	plane  *dataplane.Plane
	kernel *kernel.Kernel
	router *Router
	agent  *agent.Agent

	boot     agentv1.Bootstrap   // with Drive
	identity *bootstrap.Identity // with Drive
}

// New reads what there is to read and changes nothing in the kernel.
func New(cfg Config) (*App, error) {
	if (cfg.Drive == "") == (cfg.SpecFile == "") {
		return nil, errors.New("start agent: either a config drive or a spec file is needed")
	}
	a := &App{cfg: cfg, recent: &recentLog{}}
	a.log = newLog(io.MultiWriter(cfg.Log, a.recent), cfg.Debug)
	k, err := kernel.Open()
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", err)
	}
	k.NoFlowtables = cfg.NoFlowtables
	a.kernel = k
	a.plane = dataplane.New(k, a.log)
	open := a.withFile
	if cfg.Drive != "" {
		open = a.withDrive
	}
	if err := open(); err != nil {
		return a, err
	}
	a.router.meters = k.Meters
	return a, nil
}

func (a *App) withDrive() error {
	boot, err := bootstrap.Read(a.cfg.Drive)
	if err != nil {
		return err
	}
	nic, err := bootstrap.Management(boot)
	if err != nil {
		return err
	}
	if a.identity, err = bootstrap.OpenIdentity(a.cfg.StateDir, boot.RouterUUID, boot.JoinToken); err != nil {
		return err
	}
	a.boot = boot
	a.router = NewRouter(a.plane, NewServices(a.log), true, &nic)
	return a.withAgent(boot.RouterUUID)
}

func (a *App) withAgent(router string) error {
	l, err := ledger.Open(a.cfg.StateDir)
	if err != nil {
		return err
	}
	a.agent = agent.New(agent.Config{
		RouterUUID: router, Version: a.cfg.Version, Router: a.router, Ledger: l, Log: a.log,
	})
	return nil
}

// Run works until ctx ends. The kernel is left as it is then: connections
// through the router outlive its agent.
func (a *App) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	loops := make(chan struct{})
	defer func() { cancel(); <-loops }()
	if a.cfg.SpecFile != "" {
		a.offerFile()
	}
	if !a.agent.HasSpec() {
		if err := a.waitClosed(ctx); err != nil {
			close(loops)
			return err
		}
	}
	go func() {
		defer close(loops)
		a.agent.Run(ctx)
	}()
	for _, events := range a.router.services.Events {
		go a.passEvents(ctx, events)
	}
	go a.watchPressure(ctx)
	go a.sweepLate(ctx)
	if err := a.guard(ctx); err != nil {
		a.log.Warn(deaf, "err", err)
	}
	if a.cfg.SpecFile != "" {
		return a.runFile(ctx)
	}
	return a.serve(ctx)
}

// Close stops the servers and the listener's sockets.
func (a *App) Close() error { return a.router.Close() }

// retryEvery is the pause where the machine is not ready yet.
const retryEvery = 50 * time.Millisecond

// waitClosed closes the router and brings the management nic up. A nic may
// appear late: the driver's module was loaded a moment ago. A router that can
// be reached goes on whatever else failed: then it can say what it was.
func (a *App) waitClosed(ctx context.Context) error {
	return a.retry(ctx, func() error {
		err := a.router.Closed(ctx)
		if err != nil && a.identity != nil && canListen(a.boot.Listen) {
			a.log.Error("router not closed as it should be", "err", err)
			return nil
		}
		return err
	})
}

func canListen(at netip.AddrPort) bool {
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// retry repeats f until it succeeds, and says so when that takes long.
func (a *App) retry(ctx context.Context, f func() error) error {
	for n := 0; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if n%100 == 0 {
			a.log.Warn("not ready yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryEvery):
		}
	}
}

func (a *App) serve(ctx context.Context) error {
	config, err := agent.ServerTLS(a.identity, a.boot.OrchestratorCA)
	if err != nil {
		return err
	}
	a.settle(ctx)
	var ln net.Listener
	err = a.retry(ctx, func() (err error) {
		ln, err = net.Listen("tcp", a.boot.Listen.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("listen for the orchestrator: %w", err)
	}
	a.ready("listen", a.boot.Listen.String())
	return agent.Serve(ctx, ln, config, a.agent.Handler(a.identity, a.tools()), a.log)
}

// settle gives a restarted agent's first apply a moment, so that the first
// status that anybody reads is of a router that works. Should the kernel hang,
// being reachable is worth more.
func (a *App) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := a.agent.Settled(ctx); err != nil {
		a.log.Warn("spec from the ledger still not applied", "err", err)
	}
}

// ready prints the line that people and tests wait for on the console.
func (a *App) ready(what, where string) {
	fmt.Fprintf(a.cfg.Console, "sluice-agent: ready router=%s %s=%s version=%s\n", a.agent.Router(), what, where, a.cfg.Version)
}

func (a *App) passEvents(ctx context.Context, events <-chan agentv1.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-events:
			a.agent.Tell(ev)
		}
	}
}

// loopbackOnly parses a listen address that needs no TLS.
func loopbackOnly(s string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return at, fmt.Errorf("listen address: %w", err)
	}
	if !at.Addr().IsLoopback() {
		return at, fmt.Errorf("listen address %s is not on loopback: without an orchestrator's CA nobody else is let in", at)
	}
	return at, nil
}
