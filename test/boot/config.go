package boot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/imagebuild/tryboot"
)

// hostname is the measured router's.
const hostname = "r-bench"

// writeConfig writes a config drive that is complete for the VM of tryboot: its
// only nic is management. Nobody holds the CA's key, so nobody ever calls.
func writeConfig(file string) error {
	ca, err := throwAwayCA()
	if err != nil {
		return err
	}
	address := netip.MustParsePrefix("10.0.2.15/24")
	doc, err := json.Marshal(agentv1.Bootstrap{
		Version: 1, RouterUUID: "0190f3d2-0000-7000-8000-000000000001", Hostname: hostname,
		Interfaces: []agentv1.Interface{{
			// The address that QEMU gives its first nic.
			Name: "eth0", MAC: "52:54:00:12:34:56", MTU: 1500, Addresses: []netip.Prefix{address},
			Roles: []agentv1.Role{agentv1.RoleManagement},
		}},
		Listen:         netip.AddrPortFrom(address.Addr(), 8443),
		OrchestratorCA: ca,
		JoinToken:      base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
	})
	if err != nil {
		return fmt.Errorf("print bootstrap: %w", err)
	}
	return tryboot.WriteConfigDrive(file, map[string][]byte{agentv1.BootstrapFile: doc})
}

func throwAwayCA() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make CA key: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("make CA: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}
