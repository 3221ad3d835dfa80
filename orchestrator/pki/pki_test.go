package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func authority(t *testing.T) Authority {
	t.Helper()
	a, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(t *testing.T, uri string) []byte {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	u, _ := url.Parse(uri)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "claimed"}, URIs: []*url.URL{u}, DNSNames: []string{"claimed.example"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func signed(t *testing.T, a Authority, uuid string) *x509.Certificate {
	t.Helper()
	chain, err := a.SignRouter(request(t, agentv1.OrchestratorURI), uuid, now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCertificate(chain)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestNamesOfTheRequestAreNotTaken(t *testing.T) {
	cert := signed(t, authority(t), "r1")
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://sluice/router/r1" {
		t.Fatalf("URIs %v", cert.URIs)
	}
	if len(cert.DNSNames) != 0 || cert.Subject.CommonName == "claimed" {
		t.Fatalf("taken from the request: %v %v", cert.DNSNames, cert.Subject)
	}
	if cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Fatal("a leaf that can sign")
	}
}

func TestVerifyRouter(t *testing.T) {
	a, other := authority(t), authority(t)
	cert := signed(t, a, "r1")
	client, err := a.ClientCertificate(now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.ServerCertificate(now, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		by   Authority
		cert *x509.Certificate
		uuid string
		at   time.Time
		want error
	}{
		"good":                   {a, cert, "r1", now, nil},
		"last second":            {a, cert, "r1", now.Add(LeafLife), nil},
		"clock behind":           {a, cert, "r1", now.Add(-skew), nil},
		"other router":           {a, cert, "r2", now, ErrOtherName},
		"expired":                {a, cert, "r1", now.Add(LeafLife + time.Second), ErrExpired},
		"too early":              {a, cert, "r1", now.Add(-2 * skew), ErrExpired},
		"other authority":        {other, cert, "r1", now, ErrForeign},
		"orchestrator as router": {a, client.Leaf, "r1", now, ErrForeign},
		"API server as router":   {a, server.Leaf, "r1", now, ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.by.VerifyRouter([]*x509.Certificate{tc.cert}, tc.uuid, tc.at)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
	if err := a.VerifyRouter(nil, "r1", now); !errors.Is(err, ErrForeign) {
		t.Fatalf("no certificate at all: %v", err)
	}
}

func TestVerifyOrchestrator(t *testing.T) {
	a, other := authority(t), authority(t)
	good, _ := a.ClientCertificate(now)
	foreign, _ := other.ClientCertificate(now)
	server, _ := a.ServerCertificate(now, []string{"api.example"})
	for name, tc := range map[string]struct {
		cert *x509.Certificate
		want error
	}{
		"good":                   {good.Leaf, nil},
		"other authority":        {foreign.Leaf, ErrForeign},
		"router as orchestrator": {signed(t, a, "r1"), ErrForeign},
		"API server as client":   {server.Leaf, ErrForeign}, // wrong use
	} {
		t.Run(name, func(t *testing.T) {
			if err := a.VerifyOrchestrator([]*x509.Certificate{tc.cert}, now); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestSignRouterRefuses(t *testing.T) {
	a := authority(t)
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	rsaCSR, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	broken := request(t, "spiffe://x/y")
	broken[len(broken)-1] ^= 1
	for name, tc := range map[string]struct {
		csr  []byte
		uuid string
	}{
		"no request":      {nil, "r1"},
		"RSA key":         {rsaCSR, "r1"},
		"wrong signature": {broken, "r1"},
		"no uuid":         {request(t, "spiffe://x/y"), ""},
	} {
		if chain, err := a.SignRouter(tc.csr, tc.uuid, now); err == nil {
			t.Errorf("%s: signed %s", name, chain)
		}
	}
}

func TestAuthoritySurvivesTheStore(t *testing.T) {
	a := authority(t)
	cert := signed(t, a, "r1")
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back Authority
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if err := back.VerifyRouter([]*x509.Certificate{cert}, "r1", now); err != nil {
		t.Fatal(err)
	}
	if err := a.VerifyRouter([]*x509.Certificate{signed(t, back, "r2")}, "r2", now); err != nil {
		t.Fatal(err)
	}
}

func TestRollOverTrustsBoth(t *testing.T) {
	a := authority(t)
	old := signed(t, a, "r1")
	rolled := a
	var err error
	if rolled.Router, err = a.Router.Rolled(now); err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]*x509.Certificate{"old": old, "new": signed(t, rolled, "r1")} {
		if err := rolled.VerifyRouter([]*x509.Certificate{cert}, "r1", now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := strings.Count(rolled.RouterTrust(), "BEGIN CERTIFICATE"); n != 2 {
		t.Fatalf("%d certificates trusted, want 2", n)
	}
}

func TestRenewalAtTwoThirds(t *testing.T) {
	cert := signed(t, authority(t), "r1")
	life := cert.NotAfter.Sub(cert.NotBefore)
	if got := RenewAt(cert).Sub(cert.NotBefore); got != life*2/3 {
		t.Fatalf("renewed after %s of %s", got, life)
	}
}

func TestRenewingReissues(t *testing.T) {
	at := now
	issued := 0
	a := authority(t)
	r := NewRenewing(func(n time.Time) (*tls.Certificate, error) { issued++; return a.ClientCertificate(n) })
	r.now = func() time.Time { return at }
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Hour, 1}, {17 * time.Hour, 2}, {17*time.Hour + time.Minute, 2}, {72 * time.Hour, 3}} {
		at = now.Add(step.after)
		cert, err := r.Certificate()
		if err != nil || issued != step.want {
			t.Fatalf("after %s: issued %d (%v), want %d", step.after, issued, err, step.want)
		}
		if err := a.VerifyOrchestrator([]*x509.Certificate{cert.Leaf}, at); err != nil {
			t.Fatal(err)
		}
	}
}

// A clock that was ahead and is set right again must not leave a certificate
// that nobody takes for as long as it was wrong.
func TestRenewingAfterAClockThatWasAhead(t *testing.T) {
	a := authority(t)
	at := now.Add(30 * 24 * time.Hour)
	r := NewRenewing(a.ClientCertificate)
	r.now = func() time.Time { return at }
	if _, err := r.Certificate(); err != nil {
		t.Fatal(err)
	}
	at = now
	cert, err := r.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.VerifyOrchestrator([]*x509.Certificate{cert.Leaf}, at); err != nil {
		t.Fatal(err)
	}
}
