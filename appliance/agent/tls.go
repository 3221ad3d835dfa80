package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
)

// ServerTLS lets in whoever has a client certificate of the orchestrator's CA
// (PEM, more than one during a roll-over) with the orchestrator's URI SAN. The
// certificate served is the identity's at that moment.
func ServerTLS(id *bootstrap.Identity, orchestratorCA string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(orchestratorCA)) {
		return nil, errors.New("set up TLS: orchestrator CA holds no PEM certificate")
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: id.Certificate,
		ClientAuth:     tls.RequireAnyClientCert, // VerifyConnection does it, at every handshake
		ClientCAs:      pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyOrchestrator(s.PeerCertificates, pool, time.Now())
		},
		// A resumed session would go on with the identity it was made with.
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"},
	}, nil
}

// verifyOrchestrator checks a peer's chain, leaf first. One that is not valid
// yet tells that our clock is behind, for the CA signs nothing for later: a
// router that booted with a wrong clock is not lost when its host's is set right.
func verifyOrchestrator(chain []*x509.Certificate, trusted *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("no client certificate")
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	if now.Before(leaf.NotBefore) {
		now = leaf.NotBefore
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: trusted, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	// A CA may sign more than orchestrators (their API's own certificate).
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != agentv1.OrchestratorURI {
		return fmt.Errorf("client certificate names %v, want %s", leaf.URIs, agentv1.OrchestratorURI)
	}
	return nil
}
