package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// ClientCertificate issues a certificate with which an orchestrator shows
// itself to routers: client use only, URI SAN agentv1.OrchestratorURI.
func (a Authority) ClientCertificate(now time.Time) (*tls.Certificate, error) {
	tmpl := leaf("sluice orchestrator", now, x509.ExtKeyUsageClientAuth)
	tmpl.URIs = []*url.URL{mustURI(agentv1.OrchestratorURI)}
	return a.Orchestrator.pair(tmpl)
}

// ServerCertificate issues a certificate for an orchestrator's own HTTPS API:
// server use only and without the orchestrator URI, so that it opens no router.
// hosts are DNS names and IP addresses.
func (a Authority) ServerCertificate(now time.Time, hosts []string) (*tls.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("issue server certificate: no host names")
	}
	tmpl := leaf(hosts[0], now, x509.ExtKeyUsageServerAuth)
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	return a.Orchestrator.pair(tmpl)
}

// SignRouter issues the certificate of the router named uuid for the key of a
// PKCS #10 request (DER) and returns the chain as PEM, leaf first. Of the
// request only the key is used: the names in it are the requester's claim, the
// uuid is the caller's knowledge.
func (a Authority) SignRouter(csr []byte, uuid string, now time.Time) (string, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", fmt.Errorf("sign router %s: %w", uuid, err)
	}
	if err := req.CheckSignature(); err != nil {
		return "", fmt.Errorf("sign router %s: request: %w", uuid, err)
	}
	key, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return "", fmt.Errorf("sign router %s: request has a key other than ECDSA P-256", uuid)
	}
	uri, err := url.Parse(agentv1.RouterURI(uuid))
	if err != nil || uuid == "" {
		return "", fmt.Errorf("sign router %q: not a router uuid", uuid)
	}
	tmpl := leaf("sluice router", now, x509.ExtKeyUsageServerAuth)
	tmpl.URIs = []*url.URL{uri}
	der, err := a.Router.sign(tmpl, key)
	if err != nil {
		return "", fmt.Errorf("sign router %s: %w", uuid, err)
	}
	return encode("CERTIFICATE", der), nil
}

// RenewAt is when a certificate should be replaced: at two thirds of its life.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

func leaf(name string, now time.Time, use x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(LeafLife),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{use},
	}
}

func (c CA) pair(tmpl *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", tmpl.Subject.CommonName, err)
	}
	der, err := c.sign(tmpl, key.Public())
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", tmpl.Subject.CommonName, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", tmpl.Subject.CommonName, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

func (c CA) sign(tmpl *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	issuer, signer, err := c.open()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, tmpl, issuer, key, signer)
}

func mustURI(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil { // a constant
		panic(err)
	}
	return u
}
