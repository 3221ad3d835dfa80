package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

func TestEndpointsInPlainTextAreRefused(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://a:2379": true, "unix:///run/etcd.sock": true, "http://127.0.0.1:2379": true, "http://[::1]:2379": true, "localhost:2379": true, "127.0.0.1:2379": true,
		"http://10.0.0.1:2379": false, "10.0.0.1:2379": false, "etcd.example:2379": false, "http://localhost.example:2379": false, "http://[fd00::1]:2379": false,
	} {
		if err := checkEndpoints([]string{"https://b:2379", endpoint}); (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestEtcdOverTLS: a cluster that wants certificates is reached with them, and
// not without, nor by those who trust another CA.
func TestEtcdOverTLS(t *testing.T) {
	now := time.Now()
	a, err := pki.New(now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := func(name string, cert *tls.Certificate, err error) (string, string) {
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		return write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))),
			write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	}
	serving, err := a.ServerCertificate(now, []string{"127.0.0.1"})
	serverCert, serverKey := pair("server", serving, err)
	shown, err := a.ClientCertificate(now)
	clientCert, clientKey := pair("client", shown, err)
	ca, other := write("ca.pem", a.OrchestratorTrust()), write("other.pem", a.RouterTrust())

	c := embed.NewConfig()
	c.Dir, c.LogLevel = filepath.Join(dir, "etcd"), "fatal"
	at := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{at}, []url.URL{at}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs = 10, 100
	c.ClientTLSInfo = transport.TLSInfo{CertFile: serverCert, KeyFile: serverKey, TrustedCAFile: ca, ClientCertAuth: true}
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	endpoint := "https://" + etcd.Clients[0].Addr().String()
	for name, try := range map[string]struct {
		files EtcdTLS
		ok    bool
	}{
		"right":          {EtcdTLS{ca, clientCert, clientKey}, true},
		"no certificate": {EtcdTLS{CA: ca}, false},
		"another CA":     {EtcdTLS{other, clientCert, clientKey}, false},
		"machine's CAs":  {EtcdTLS{Cert: clientCert, Key: clientKey}, false},
		"no such file":   {EtcdTLS{CA: ca + "x"}, false},
		"no PEM":         {EtcdTLS{CA: clientKey}, false},
		"half a pair":    {EtcdTLS{CA: ca, Cert: clientCert}, false},
	} {
		patience := time.Second // one that is refused is tried again until then
		if try.ok {
			patience = 20 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := open(ctx, Config{Etcd: []string{endpoint}, EtcdTLS: try.files, Log: slog.New(slog.DiscardHandler)})
		cancel()
		if (err == nil) != try.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = s.Close()
		} else if strings.Contains(name, "file") && !strings.Contains(err.Error(), "--etcd-ca") {
			t.Errorf("%s: %v does not say what to do", name, err)
		}
	}
}
