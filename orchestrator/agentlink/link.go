// Package agentlink is the orchestrator's side of the southbound contract: it
// enrols routers, pushes specs, reads status and sends commands, over mutual
// TLS 1.3, with one kept connection a router. Every call has a deadline, and
// every failure is one of a few kinds: IsUnreachable, IsNotEnrolled,
// IsWrongPeer, and refusals by code (Refused).
package agentlink

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// Target is one router's agent.
type Target struct {
	RouterUUID string
	// Addr is the agent's management address and port.
	Addr netip.AddrPort
	// JoinToken is only used by Enrol.
	JoinToken string
}

// The deadlines of calls, where the caller's context has no earlier one.
const (
	// pushTimeout covers an apply of ten thousand mappings under emulation.
	pushTimeout    = 150 * time.Second
	callTimeout    = 10 * time.Second
	commandTimeout = 60 * time.Second
)

const (
	// dialTimeout: an agent on the management network answers in a
	// millisecond or is not there.
	dialTimeout = 2 * time.Second
	// handshakeTimeout allows for a router under emulation on a busy host.
	handshakeTimeout = 5 * time.Second
	// userTimeout is how long sent data may stay unacknowledged: a router that
	// vanished without a word must not hold a call to its full deadline.
	userTimeout = 5 * time.Second
	// idleTimeout is below the agent's own, so that the agent never closes a
	// connection on which a request is just going out.
	idleTimeout = 90 * time.Second
)

// Link speaks to any number of agents. It is safe for concurrent use.
type Link struct {
	authority pki.Authority
	client    *pki.Renewing
	now       func() time.Time
	dial      Dial
	renewals  singleflight.Group // by router

	mu    sync.Mutex
	peers map[peerKey]*http.Client
}

// peerKey is what a connection is kept for: a router that moved to another
// address, or another router at the same one, never gets it.
type peerKey struct {
	router string
	addr   netip.AddrPort
}

// Dial makes a TCP connection to an agent within timeout.
type Dial func(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error)

// New makes a link that acts with the authority's orchestrator certificate.
func New(a pki.Authority) *Link { return NewOver(a, DialTCP) }

// NewOver is New over another way to reach agents: a test's, or a tunnel.
func NewOver(a pki.Authority, dial Dial) *Link {
	return &Link{
		authority: a, client: pki.NewRenewing(a.ClientCertificate), now: time.Now, dial: dial,
		peers: map[peerKey]*http.Client{},
	}
}

// Close drops all kept connections; the link can still be used.
func (l *Link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.peers {
		c.CloseIdleConnections()
		delete(l.peers, key)
	}
}

// Forget drops what is kept for a router, at any address: after it was
// destroyed, and before it is rebuilt.
func (l *Link) Forget(router string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.peers {
		if key.router == router {
			c.CloseIdleConnections()
			delete(l.peers, key)
		}
	}
}

// peer returns the client whose sessions are verified to end at this router.
func (l *Link) peer(t Target) *http.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := peerKey{t.RouterUUID, t.Addr}
	c, ok := l.peers[key]
	if !ok {
		c = l.httpClient(t, l.verifyRouter(t.RouterUUID), 2)
		l.peers[key] = c
	}
	return c
}

// tls is the session's configuration; verify stands in for the verification
// by host name, because a router's identity is its URI and not its address.
func (l *Link) tls(verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it, at every handshake
		VerifyConnection:   verify,
		NextProtos:         []string{"http/1.1"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return l.client.Certificate()
		},
	}
}

// httpClient speaks to one target only, whatever a URL says, and keeps at most
// idle connections.
func (l *Link) httpClient(t Target, verify func(tls.ConnectionState) error, idle int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return l.dial(ctx, t.Addr, dialTimeout)
			},
			TLSClientConfig:     l.tls(verify),
			TLSHandshakeTimeout: handshakeTimeout,
			MaxIdleConnsPerHost: idle,
			IdleConnTimeout:     idleTimeout,
			DisableCompression:  true, // specs are compressed by hand, answers are small
		},
		// An agent never redirects; a peer that does is not one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// DialTCP is the Dial of New: short keep-alives, and TCP_USER_TIMEOUT.
func DialTCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	return d.DialContext(ctx, "tcp", to.String())
}

func setUserTimeout(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
