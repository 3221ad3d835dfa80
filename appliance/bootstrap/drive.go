// Package bootstrap is what a router knows and is before its first spec: the
// config drive's content, and the router's identity, from the key that the
// agent makes for itself to the certificate that an orchestrator issues.
package bootstrap

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Read returns the bootstrap in a config drive's directory, checked: what is
// missing or malformed is an error that names the field, because a router that
// starts half configured is unreachable and cannot say why.
func Read(dir string) (agentv1.Bootstrap, error) {
	path := filepath.Join(dir, agentv1.BootstrapFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return agentv1.Bootstrap{}, fmt.Errorf("read config drive: %w", err)
	}
	var b agentv1.Bootstrap
	if err := json.Unmarshal(bytes.TrimSpace(raw), &b); err != nil {
		return agentv1.Bootstrap{}, fmt.Errorf("read config drive: parse %s: %w", path, err)
	}
	if err := check(b); err != nil {
		return agentv1.Bootstrap{}, fmt.Errorf("read config drive: %s: %w", path, err)
	}
	return b, nil
}

func check(b agentv1.Bootstrap) error {
	if b.Version != 1 {
		return fmt.Errorf("version %d is not supported (this agent knows 1)", b.Version)
	}
	if b.RouterUUID == "" {
		return errors.New("routerUuid is empty")
	}
	if b.JoinToken == "" {
		return errors.New("joinToken is empty")
	}
	if !b.Listen.IsValid() || b.Listen.Addr().IsUnspecified() || b.Listen.Port() == 0 {
		return fmt.Errorf("listen %q is not a management address with a port", b.Listen)
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(b.OrchestratorCA)) {
		return errors.New("orchestratorCa holds no PEM certificate")
	}
	if _, err := Management(b); err != nil {
		return err
	}
	return checkRoutes(b.ManagementRoutes)
}

func checkRoutes(routes []agentv1.Route) error {
	for i, r := range routes {
		if !r.Prefix.IsValid() || !r.NextHop.IsValid() {
			return fmt.Errorf("managementRoutes/%d is incomplete", i)
		}
		if r.Prefix.Bits() == 0 {
			// It would capture guests' traffic where the spec's own default
			// route is not there yet.
			return fmt.Errorf("managementRoutes/%d is a default route; name the orchestrators' networks", i)
		}
	}
	return nil
}

// Management returns the nic that the agent listens on, with its routes: the one
// with role management that carries the address of b.Listen.
func Management(b agentv1.Bootstrap) (agentv1.Interface, error) {
	for _, nic := range b.Interfaces {
		if !nic.HasRole(agentv1.RoleManagement) {
			continue
		}
		if _, err := net.ParseMAC(nic.MAC); err != nil {
			return agentv1.Interface{}, fmt.Errorf("management interface: %w", err)
		}
		for _, a := range nic.Addresses {
			if a.Addr() == b.Listen.Addr() {
				nic.Routes = b.ManagementRoutes
				return nic, nil
			}
		}
	}
	return agentv1.Interface{}, fmt.Errorf("no interface with role management carries the listen address %s", b.Listen.Addr())
}
