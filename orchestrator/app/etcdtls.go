package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
)

// EtcdTLS are PEM files for an etcd cluster; each may be left out.
type EtcdTLS struct {
	// CA vouches for the cluster; without it those do that the machine trusts.
	CA string
	// Cert and Key are what the server shows. They are read at each connection,
	// so that they can be renewed.
	Cert, Key string
}

// config is nil without files.
func (t EtcdTLS) config() (*tls.Config, error) {
	if t == (EtcdTLS{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		b, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA of etcd (--etcd-ca): %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("read CA of etcd (--etcd-ca): %s has no certificate in PEM form", t.CA)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read certificate for etcd (--etcd-cert, --etcd-key): %w", err)
		}
		return &cert, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return c, nil
}

// checkEndpoints refuses to send the keys of all routers over a network in plain
// text.
func checkEndpoints(endpoints []string) error {
	var errs []error
	for _, e := range endpoints {
		if u, err := url.Parse(e); err == nil && (u.Scheme == "https" || u.Scheme == "unix" || u.Scheme == "unixs") {
			continue
		} else if err == nil && u.Scheme == "http" {
			e = u.Host
		}
		host, _, err := net.SplitHostPort(e)
		if err != nil {
			host = e
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			errs = append(errs, fmt.Errorf("etcd at %s is reached in plain text, and what is stored has the keys of all routers: name it with https://, and see --etcd-ca", e))
		}
	}
	return errors.Join(errs...)
}
