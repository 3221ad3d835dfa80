package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
)

// issuer is a CA with its certificate as PEM.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newIssuer(t *testing.T, made time.Time) issuer {
	t.Helper()
	i := issuer{key: key(t)}
	i.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: made, NotAfter: made.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := i.sign(t, i.cert, i.key)
	i.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return i
}

func (i issuer) sign(t *testing.T, c *x509.Certificate, of *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, i.cert, &of.PublicKey, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// client is a certificate for a URI that is good for 24 hours from then on.
func (i issuer) client(t *testing.T, uri string, use x509.ExtKeyUsage, from time.Time) *tls.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	k := key(t)
	der := i.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use}, URIs: []*url.URL{u}}, k)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// TestWhoIsLetIn: orchestrators of the CA and nobody else, also when this
// machine's clock is far behind, as that of one that booted with a wrong RTC.
func TestWhoIsLetIn(t *testing.T) {
	now := time.Now()
	ours, foreign, later := newIssuer(t, now.Add(-time.Hour)), newIssuer(t, now.Add(-time.Hour)), newIssuer(t, now.Add(300*24*time.Hour))
	id, err := bootstrap.OpenIdentity(t.TempDir(), self, "token")
	if err != nil {
		t.Fatal(err)
	}
	config, err := ServerTLS(id, ours.pem+later.pem)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cert *tls.Certificate
		want bool
	}{
		"orchestrator":          {ours.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(-time.Hour)), true},
		"our clock is behind":   {ours.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(20*24*time.Hour)), true},
		"behind the CA's, too":  {later.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(301*24*time.Hour)), true},
		"expired":               {ours.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(-25*time.Hour)), false},
		"another CA":            {foreign.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(-time.Hour)), false},
		"another CA, ahead":     {foreign.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(time.Hour)), false},
		"another name":          {ours.client(t, agentv1.RouterURI(self), x509.ExtKeyUsageClientAuth, now.Add(-time.Hour)), false},
		"for servers":           {ours.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageServerAuth, now.Add(-time.Hour)), false},
		"outlives its CA":       {ours.client(t, agentv1.OrchestratorURI, x509.ExtKeyUsageClientAuth, now.Add(1001*time.Hour)), false},
		"no certificate at all": {&tls.Certificate{}, false},
	} {
		if err := handshake(t, config, c.cert); (err == nil) != c.want {
			t.Errorf("%s: %v, let in should be %t", name, err, c.want)
		}
	}
}

// handshake is what the server says of a client's certificate.
func handshake(t *testing.T, config *tls.Config, cert *tls.Certificate) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		c := tls.Client(b, &tls.Config{InsecureSkipVerify: true, NextProtos: config.NextProtos,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }})
		_, _ = c.Read(make([]byte, 1)) // also takes in the refusal
	}()
	return tls.Server(a, config).HandshakeContext(t.Context())
}
