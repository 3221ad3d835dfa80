package bootstrap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func encodeKey(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return encodePEM("PRIVATE KEY", der), nil
}

func parseKey(s string) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(s))
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want ECDSA", parsed)
	}
	return key, nil
}

// selfSigned is what the agent serves with until it is enrolled. Its dates say
// nothing: the machine's clock may not be set yet, and nobody verifies it.
func selfSigned(key *ecdsa.PrivateKey, router string) (*tls.Certificate, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "sluice router, not enrolled", SerialNumber: router},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 4.1.2.5
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func request(key *ecdsa.PrivateKey, router string) ([]byte, error) {
	uri, err := url.Parse(agentv1.RouterURI(router))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "sluice router"}, URIs: []*url.URL{uri},
	}, key)
}

// parseChain checks what the agent can check: the leaf is for key and for this
// router. Who signed it is for the orchestrator to verify at each session.
func parseChain(chain string, key *ecdsa.PrivateKey, router string) (*tls.Certificate, error) {
	cert := &tls.Certificate{PrivateKey: key}
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			cert.Certificate = append(cert.Certificate, block.Bytes)
		}
	}
	if len(cert.Certificate) == 0 {
		return nil, errors.New("chain holds no PEM certificate")
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("leaf is for another key than the request's")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != agentv1.RouterURI(router) {
		return nil, fmt.Errorf("leaf names %v, want %s", leaf.URIs, agentv1.RouterURI(router))
	}
	cert.Leaf = leaf
	return cert, nil
}

func sameLeaf(chain string, serving *tls.Certificate) bool {
	block, _ := pem.Decode([]byte(chain))
	return block != nil && bytes.Equal(block.Bytes, serving.Certificate[0])
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
