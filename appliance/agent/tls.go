package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

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
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      pool,
		// A CA may sign more than orchestrators (their API's own certificate).
		VerifyConnection: onlyOrchestrators,
		// A resumed session would go on with the identity it was made with.
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"},
	}, nil
}

func onlyOrchestrators(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no client certificate")
	}
	uris := s.PeerCertificates[0].URIs
	if len(uris) != 1 || uris[0].String() != agentv1.OrchestratorURI {
		return fmt.Errorf("client certificate names %v, want %s", uris, agentv1.OrchestratorURI)
	}
	return nil
}
