package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

var (
	// ErrForeign: the certificate is not signed by the CA that was asked.
	ErrForeign = errors.New("certificate is not signed by this authority")
	// ErrOtherName: rightly signed, but for somebody else.
	ErrOtherName = errors.New("certificate is for another identity")
	// ErrExpired: rightly signed and named, but not valid at this time.
	ErrExpired = errors.New("certificate is not valid at this time")
)

// VerifyRouter checks a TLS peer's chain, leaf first: signed by the router CA,
// for server use, for this router, valid now. The errors are ErrForeign,
// ErrOtherName and ErrExpired, wrapped.
func (a Authority) VerifyRouter(chain []*x509.Certificate, uuid string, now time.Time) error {
	return a.Router.verify(chain, agentv1.RouterURI(uuid), x509.ExtKeyUsageServerAuth, now)
}

// VerifyOrchestrator is the same for orchestrators' client certificates.
func (a Authority) VerifyOrchestrator(chain []*x509.Certificate, now time.Time) error {
	return a.Orchestrator.verify(chain, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now)
}

func (c CA) verify(chain []*x509.Certificate, uri string, use x509.ExtKeyUsage, now time.Time) error {
	if len(chain) == 0 {
		return fmt.Errorf("verify %s: no certificate: %w", uri, ErrForeign)
	}
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	// The signature is checked at a moment of the leaf's own life, its life
	// after that: so that "expired" and "not ours" are told apart.
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.pool(), Intermediates: between, CurrentTime: leaf.NotAfter,
		KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return fmt.Errorf("verify %s: %w: %w", uri, ErrForeign, err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != uri {
		return fmt.Errorf("verify %s: certificate names %v: %w", uri, leaf.URIs, ErrOtherName)
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("verify %s: valid %s to %s: %w", uri,
			leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), ErrExpired)
	}
	return nil
}
