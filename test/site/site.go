// Package site is what an orchestrator in a test's own process has whose
// routers are agents in namespaces: all services, L2 networks that need nothing,
// a template that nobody boots.
package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
)

// Services are all, Routes those of their calls, and Catalog what they offer.
var (
	Services = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}
	Routes   = []func(*httpapi.API){dhcp.Routes, dns.Routes, eip.Routes, portforwarding.Routes}
	Catalog  = model.Catalog{L2Types: []model.L2Type{novlan.Type{}}, Services: plan.Offers(Services)}
)

// Wires are L2 networks that are always there, and on which nobody has an
// address already.
type Wires struct{}

// Realize names the bridge.
func (Wires) Realize(_ context.Context, l2 *v1.L2Network) (string, error) {
	return "br_" + l2.PhysicalInterface, nil
}

// Check finds nothing wrong.
func (Wires) Check(context.Context, *v1.L2Network) error { return nil }

// Unrealize has nothing to undo.
func (Wires) Unrealize(context.Context, *v1.L2Network) error { return nil }

// WhoHas hears nobody.
func (Wires) WhoHas(context.Context, *v1.L2Network, []netip.Addr) (map[netip.Addr]string, error) {
	return nil, nil
}

// Bootstrap is what is on a config drive.
func Bootstrap(drive []byte) (b agentv1.Bootstrap, err error) {
	at := max(0, bytes.Index(drive, []byte(`{"version":1`))) // a file is in one piece on ISO 9660
	if err := json.NewDecoder(bytes.NewReader(drive[at:])).Decode(&b); err != nil {
		return b, fmt.Errorf("read bootstrap: %w", err)
	}
	return b, nil
}

// Template makes the directory of a router template that nobody boots.
func Template(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	files := map[string]any{}
	for _, name := range []string{"vmlinuz", "initrd"} {
		sum := sha256.Sum256([]byte(name))
		files[name] = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(name)}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			return err
		}
	}
	manifest, err := json.Marshal(map[string]any{"version": "1", "cmdline": "console=ttyS0", "files": files})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600)
}

// Within does something in a network namespace: a socket belongs to that of the
// thread that makes it, for good.
func Within(ns string, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + ns)
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}
