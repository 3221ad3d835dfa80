// Package pki holds Sluice's two certificate authorities: one signs
// orchestrators, the other signs routers, so that a router's certificate never
// passes for an orchestrator's and the reverse. All keys are ECDSA P-256; leaf
// certificates live for LeafLife and are renewed at two thirds of it.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	// LeafLife is how long an issued certificate is good for.
	LeafLife = 24 * time.Hour
	// caLife outlives every installation; roll-over is by Previous, not expiry.
	caLife = 20 * 365 * 24 * time.Hour
	// skew is how far a peer's clock may be behind: a machine that has just
	// booted may have no better clock than its RTC.
	skew = time.Hour
)

// Authority is both CAs as a plain value that a store keeps (JSON, PEM
// inside). Whoever reads it can be any orchestrator: store it like a password.
type Authority struct {
	Orchestrator CA `json:"orchestrator"`
	Router       CA `json:"router"`
}

// CA is one certificate authority.
type CA struct {
	// Certificate and Key (PKCS #8) are PEM.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	// Previous are certificates (PEM) that are still trusted after a roll-over
	// but sign nothing any more.
	Previous []string `json:"previous,omitempty"`
}

// New makes two fresh CAs.
func New(now time.Time) (Authority, error) {
	orchestrator, err := newCA("Sluice orchestrator CA", now)
	if err != nil {
		return Authority{}, err
	}
	router, err := newCA("Sluice router CA", now)
	if err != nil {
		return Authority{}, err
	}
	return Authority{Orchestrator: orchestrator, Router: router}, nil
}

// OrchestratorTrust is the PEM that a router's bootstrap carries: all CAs that
// may sign an orchestrator, the current one first.
func (a Authority) OrchestratorTrust() string { return a.Orchestrator.trust() }

// RouterTrust is the PEM of all CAs that may sign a router.
func (a Authority) RouterTrust() string { return a.Router.trust() }

// Rolled returns the CA with a new key; the old certificate stays trusted.
func (c CA) Rolled(now time.Time) (CA, error) {
	old, err := parseCertificate(c.Certificate)
	if err != nil {
		return CA{}, fmt.Errorf("roll over CA: %w", err)
	}
	next, err := newCA(old.Subject.CommonName, now)
	if err != nil {
		return CA{}, err
	}
	next.Previous = append([]string{c.Certificate}, c.Previous...)
	return next, nil
}

func (c CA) trust() string {
	all := c.Certificate
	for _, p := range c.Previous {
		all += p
	}
	return all
}

func (c CA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.trust()))
	return pool
}

// open parses the signing half. It costs some 30 us, so nothing is cached.
func (c CA) open() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := parseCertificate(c.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("open CA: %w", err)
	}
	block, _ := pem.Decode([]byte(c.Key))
	if block == nil {
		return nil, nil, errors.New("open CA: key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("open CA: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("open CA: key is a %T, want ECDSA", parsed)
	}
	return cert, key, nil
}

func newCA(name string, now time.Time) (CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("make %s: %w", name, err)
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return CA{}, fmt.Errorf("make %s: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return CA{}, fmt.Errorf("make %s: %w", name, err)
	}
	return CA{Certificate: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", keyDER)}, nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	b[0] &= 0x7f        // RFC 5280 4.1.2.2: positive, at most 20 octets
	return new(big.Int).SetBytes(b)
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func parseCertificate(s string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(s))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certificate is no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
