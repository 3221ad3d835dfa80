package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
)

// serve runs the site's API until the test ends or stop is called, which then
// gives Serve's error.
func (s *site) serve(where httpapi.Listen) (stop func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.api.Serve(ctx, where) }()
	var once error
	stopped := false
	stop = func() error {
		cancel()
		if !stopped {
			once, stopped = <-done, true
		}
		return once
	}
	s.t.Cleanup(func() { _ = stop() })
	return stop
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var c net.Conn
		var err error
		for range 200 { // until it listens
			if c, err = new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		return c, err
	}}}
}

func get(t *testing.T, c *http.Client, url, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestUnixSocket: root is the admin without a token; another user is nobody,
// even if the socket lets him in.
func TestUnixSocket(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: to be admin, and to become nobody")
	}
	s := newSite(t)
	dir, err := os.MkdirTemp("", "sl-api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "run", "sluice.sock")
	s.serve(httpapi.Listen{Socket: path})
	if status, body := get(t, unixClient(path), "http://sluice/v1/zones", ""); status != http.StatusOK {
		t.Errorf("root: %d %s", status, body)
	}
	if status, _ := get(t, unixClient(path), "http://sluice/v1/zones", "sluice_wrong"); status != http.StatusUnauthorized {
		t.Errorf("root with a wrong token: %d; a token given counts", status)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info.Mode(), err)
	}
	for _, p := range []string{dir, path} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", path, "http://sluice/v1/zones").CombinedOutput()
	if err != nil || string(out) != "401" {
		t.Errorf("nobody: %s %v", out, err)
	}
	if err := s.api.Serve(t.Context(), httpapi.Listen{Socket: path}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server on the socket: %v", err)
	}
}

// TestStaleSocket: what a killed process left is replaced.
func TestStaleSocket(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	stop := s.serve(httpapi.Listen{Socket: path})
	if status, body := get(t, unixClient(path), "http://sluice/healthz", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve ends with %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

func selfSigned(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// serveTLS serves HTTPS on an address, with a certificate that the pool knows.
func (s *site) serveTLS() (addr string, pool *x509.CertPool) {
	s.t.Helper()
	server, pool := selfSigned(s.t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	s.serve(httpapi.Listen{Addr: addr, TLS: server})
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return addr, pool
}

func TestHTTPS(t *testing.T) {
	s := newSite(t)
	addr, pool := s.serveTLS()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if status, body := get(t, c, "https://"+addr+"/v1/zones", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := get(t, c, "https://"+addr+"/v1/zones", s.token); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
	if err := s.api.Serve(t.Context(), httpapi.Listen{Addr: "127.0.0.1:0"}); err == nil {
		t.Error("plain HTTP over TCP is served")
	}
	if err := s.api.Serve(t.Context(), httpapi.Listen{}); err == nil {
		t.Error("serving nowhere is no error")
	}
}

// TestShutdownEndsWaits: a call that waits for a router does not hold up the
// end of the process.
func TestShutdownEndsWaits(t *testing.T) {
	s := newSite(t)
	m := s.build()
	s.world.hold = make(chan struct{})
	path := filepath.Join(t.TempDir(), "s")
	stop := s.serve(httpapi.Listen{Socket: path})
	answered := make(chan string, 1)
	go func() {
		r, _ := http.NewRequest(http.MethodPost, "http://sluice/v1/vm-instances/"+m["vm"]+"/actions?wait=5m", strings.NewReader(`{"action":"start"}`))
		r.Header.Set("Authorization", "Bearer "+s.token)
		resp, err := unixClient(path).Do(r)
		if err != nil {
			answered <- err.Error()
			return
		}
		resp.Body.Close()
		answered <- fmt.Sprint(resp.StatusCode)
	}()
	for s.world.waits.Load() < 2 { // one was the host's
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if err := stop(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("Serve ended after %s with %v", time.Since(began), err)
	}
	if got := <-answered; got != "503" {
		t.Errorf("the waiting call got %s", got)
	}
}

func TestAdminToken(t *testing.T) {
	s := newSite(t)
	ctx, p := t.Context(), s.store.Private()
	one, other := filepath.Join(t.TempDir(), "admin-token"), filepath.Join(t.TempDir(), "admin-token")
	if err := httpapi.EnsureAdminToken(ctx, p, one); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(one)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	first, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(first))
	s.ok("POST", "/v1/zones", object{"name": "z"})
	for _, path := range []string{one, other} { // the next starts, here and elsewhere
		if err := httpapi.EnsureAdminToken(ctx, p, path); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := os.ReadFile(one); err != nil || string(again) != string(first) {
		t.Errorf("the token changed: %v", err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a second admin token was made")
	}
	if err := httpapi.EnsureAdminToken(ctx, newSite(t).store.Private(), "/nowhere/admin-token"); err == nil {
		t.Error("a folder that is not there is no error")
	}
}
