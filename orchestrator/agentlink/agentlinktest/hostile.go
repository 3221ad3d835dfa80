package agentlinktest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// testForeigners: nobody but an orchestrator of this authority gets an answer.
func testForeigners(t *testing.T, a pki.Authority, m Machine) {
	enrolled(t, a, m)
	stranger, err := pki.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	link := agentlink.NewOver(stranger, m.Dial)
	defer link.Close()
	if err := link.Enrol(deadline(t), m.Target); !agentlink.IsUntrusted(err) {
		t.Errorf("another installation's orchestrator enrols: %v", err)
	}
	server, err := a.ServerCertificate(time.Now(), []string{"api.example"})
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]*tls.Certificate{
		"no certificate":          nil,
		"the API's certificate":   server,
		"a router's certificate":  routerCertificate(t, a, m.Target.RouterUUID),
		"a self-made certificate": selfMade(t),
	} {
		if code, err := ask(t, m, cert); err == nil {
			t.Errorf("%s: answered with HTTP %d", name, code)
		}
	}
	good, err := a.ClientCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if code, err := ask(t, m, good); err != nil || code != http.StatusOK {
		t.Errorf("an orchestrator's certificate: HTTP %d, %v", code, err)
	}
}

// testInBetween: somebody on the wire with a key of his own, who even got an
// orchestrator's certificate, relays the agent's identity. The proof does not
// fit his session.
func testInBetween(t *testing.T, a pki.Authority, m Machine) {
	if err := agentlink.NewOver(a, m.Dial).WaitReachable(deadline(t), m.Target); err != nil {
		t.Fatal(err)
	}
	between := relay(t, a, m)
	link := agentlink.NewOver(a, func(ctx context.Context, _ netip.AddrPort, timeout time.Duration) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout}
		return d.DialContext(ctx, "tcp", between)
	})
	defer link.Close()
	err := link.Enrol(deadline(t), m.Target)
	if !agentlink.IsWrongPeer(err) || agentlink.IsUnreachable(err) {
		t.Fatalf("enrolled through somebody in between: %v", err)
	}
	enrolled(t, a, m) // and the router is none the worse for it
}

// relay listens with its own certificate and passes requests on to m.
func relay(t *testing.T, a pki.Authority, m Machine) string {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*selfMade(t)}})
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := a.ClientCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := session(t, m, stolen)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer conn.Close()
		_ = r.Write(conn)
		resp, err := http.ReadResponse(bufio.NewReader(conn), r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = bufio.NewReader(resp.Body).WriteTo(w)
	})}
	go func() { _ = srv.Serve(ln) }() // ends with the cleanup
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

func session(t *testing.T, m Machine, cert *tls.Certificate) (*tls.Conn, error) {
	raw, err := m.Dial(t.Context(), m.Target.Addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
	if cert != nil {
		// Not Certificates: the client would keep back what the server's list
		// of CAs does not name, and nothing would be tested.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return tls.Client(raw, config), nil
}

// ask makes one request with a client certificate. In TLS 1.3 the server's
// refusal arrives with the first read.
func ask(t *testing.T, m Machine, cert *tls.Certificate) (int, error) {
	conn, err := session(t, m, cert)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", agentv1.PathStatus); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// peerKey is the key that the machine serves with at this moment.
func peerKey(t *testing.T, a pki.Authority, m Machine) string {
	t.Helper()
	cert, err := a.ClientCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := session(t, m, cert)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return string(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
}

func routerCertificate(t *testing.T, a pki.Authority, uuid string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.SignRouter(csr, uuid, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(chain))
	return &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
}

func selfMade(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return selfSigned(key)
}
