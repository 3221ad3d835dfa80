package dns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// authority signs servers' certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, own, own, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{own, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue writes a key and a certificate for a name, valid until then, to dir.
func (a authority) issue(t *testing.T, dir, name string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tlsServer is a server program that speaks DNS over TLS only, with the key and
// the certificate in its directory, and knows www.secret.test.
type tlsServer struct {
	files   map[string]string // in its directory, which %[1]s is; %[2]s is its address
	command string            // runs in the foreground, in its directory
}

var tlsServers = map[string]tlsServer{
	"unbound": {command: "unbound -d -c server.conf", files: map[string]string{"server.conf": `server:
	directory: %[1]q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	do-daemonize: no
	interface: %[2]s@853
	tls-port: 853
	tls-service-key: key.pem
	tls-service-pem: cert.pem
	access-control: 0.0.0.0/0 allow
	module-config: "iterator"
	local-zone: "secret.test." static
	local-data: "www.secret.test. 1 A 203.0.113.99"
remote-control:
	control-enable: no
`}},
	"named": {command: "named -g -c server.conf", files: map[string]string{
		"server.conf": `tls own { cert-file "%[1]s/cert.pem"; key-file "%[1]s/key.pem"; };
options {
	directory %[1]q;
	listen-on port 853 tls own { %[2]s; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
};
controls { };
zone "secret.test" { type primary; file "secret.zone"; };
`, "secret.zone": `$TTL 1
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A %[2]s
www A 203.0.113.99
`}},
}

// startTLS runs one of tlsServers in dir, where its certificate is.
func (w *world) startTLS(server tlsServer, dir string) (end func()) {
	w.t.Helper()
	for file, text := range server.files {
		text = strings.NewReplacer("%[1]q", strconv.Quote(dir), "%[1]s", dir, "%[2]s", upstreamIP).Replace(text)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	c := exec.Command("ip", append([]string{"netns", "exec", upstreamNS}, strings.Fields(server.command)...)...)
	c.Dir = dir
	var log strings.Builder
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			c.Process.Kill() // `ip netns exec` has become the server itself
			c.Wait()
		}
	}
	w.t.Cleanup(func() {
		end()
		if w.t.Failed() {
			w.t.Logf("%s: %s", server.command, log.String())
		}
	})
	waitFor(w.t, server.command+" answers over TLS", func() bool {
		return strings.Contains(w.in(upstreamNS, "kdig +tls +timeout=1 +retry=0 @"+upstreamIP+" www.secret.test"), "203.0.113.99")
	})
	return end
}

// TestOverTLS: resolvers that nobody here wrote are asked over TLS and nothing
// else, if their certificate is the one that was named, and not otherwise.
func TestOverTLS(t *testing.T) {
	for name, server := range tlsServers {
		t.Run(name, func(t *testing.T) { overTLS(t, name, server) })
	}
}

func overTLS(t *testing.T, name string, server tlsServer) {
	for _, tool := range []string{name, "kdig"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: hack/setup.sh installs it", tool)
		}
	}
	w := newWorld(t)
	ours, other := newAuthority(t), newAuthority(t)
	w.content.DNS[0].Upstreams = []netip.AddrPort{netip.MustParseAddrPort(upstreamIP + ":853")}
	for _, c := range []struct {
		what, name string
		by         authority
		until      time.Time
		trusted    bool
	}{
		{"the certificate that was named", "dns.secret.test", ours, time.Now().Add(time.Hour), true},
		{"another name's", "evil.secret.test", ours, time.Now().Add(time.Hour), false},
		{"one that has expired", "dns.secret.test", ours, time.Now().Add(-time.Hour), false},
		{"another authority's", "dns.secret.test", other, time.Now().Add(time.Hour), false},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			c.by.issue(t, dir, c.name, c.until)
			end := w.startTLS(server, dir)
			defer end()
			w.content.DNS[0].TLS = &agentv1.DNSTLS{ServerName: "dns.secret.test", CA: ours.pem}
			w.content.DNS[0].Domain = "lan.test"
			w.apply()
			got := w.in(guestNS, "dig +time=5 +tries=1 @"+routerIP+" www.secret.test")
			if answered := strings.Contains(got, "203.0.113.99"); answered != c.trusted {
				t.Errorf("answered: %v, want %v\n%s", answered, c.trusted, got)
			}
			if !c.trusted && !strings.Contains(got, "SERVFAIL") {
				t.Errorf("a guest is not told that it failed: %s", got)
			}
		})
		// What was learnt over one certificate is no answer for the next.
		w.content.DNS[0].TLS = nil
		w.content.DNS[0].Upstreams = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
		w.apply()
		w.content.DNS[0].Upstreams = []netip.AddrPort{netip.MustParseAddrPort(upstreamIP + ":853")}
	}
	if leaked := w.leaked(); strings.Contains(leaked, "secret") { // the world's own upstream, which listens on port 53 there
		t.Errorf("asked without TLS: %s", leaked)
	}
}
