package agentlink

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// errProof: the peer does not hold the join token, or sits in between.
var errProof = errors.New("enrolment proof does not fit this session")

// Enrol gives a freshly booted router its certificate. The proof shows that
// who answers holds the join token and is the end of this very TLS session; the
// names in its request are not believed. Enrolling a router that has its
// certificate already is nil, once it has shown it. The caller sees to it that
// a token is used once and in time.
func (l *Link) Enrol(ctx context.Context, t Target) error {
	if t.JoinToken == "" {
		return fmt.Errorf("enrol router %s: no join token", t.RouterUUID)
	}
	if err := l.enrol(ctx, t); err != nil {
		return fmt.Errorf("enrol router %s at %s: %w", t.RouterUUID, t.Addr, err)
	}
	return nil
}

func (l *Link) enrol(ctx context.Context, t Target) error {
	l.Forget(t.RouterUUID) // sessions with the router's former life
	peer := &onePeer{}
	client := l.httpClient(t, peer.verify, 1)
	defer client.CloseIdleConnections()

	var id agentv1.Identity
	session, err := call(ctx, client, t, request{method: http.MethodGet, path: agentv1.PathIdentity, timeout: callTimeout}, &id)
	if err != nil {
		return err
	}
	if id.Enrolled {
		return l.verifyRouter(t.RouterUUID)(*session)
	}
	csr, err := provenCSR(t, id, session)
	if err != nil {
		return err
	}
	return l.issue(ctx, client, t, csr)
}

// provenCSR returns the request (DER), after the proof was checked.
func provenCSR(t Target, id agentv1.Identity, s *tls.ConnectionState) ([]byte, error) {
	if id.RouterUUID != t.RouterUUID {
		return nil, fmt.Errorf("%w: it calls itself %q", errWrongPeer, id.RouterUUID)
	}
	csr, err := decodeCSR(id.CSR)
	if err != nil {
		return nil, err
	}
	want := agentv1.EnrolmentProof(t.JoinToken, t.RouterUUID, s.PeerCertificates[0].RawSubjectPublicKeyInfo, csr)
	if !hmac.Equal([]byte(want), []byte(id.Proof)) {
		return nil, errProof
	}
	return csr, nil
}

// Renew replaces the router's certificate, and its key with it. It works with
// an expired certificate too. Of several at once one does it for all: a second
// request would make the router forget the key of the first.
func (l *Link) Renew(ctx context.Context, t Target) error {
	over := l.renewals.DoChan(t.RouterUUID, func() (any, error) {
		return nil, l.renew(context.WithoutCancel(ctx), t) // each of its calls has a deadline
	})
	var err error
	select {
	case done := <-over:
		err = done.Err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("renew certificate of router %s: %w", t.RouterUUID, err)
	}
	return nil
}

func (l *Link) renew(ctx context.Context, t Target) error {
	client := l.httpClient(t, l.verifyRouterAnyAge(t.RouterUUID), 1)
	defer client.CloseIdleConnections()
	r := request{method: http.MethodPost, path: agentv1.PathCommands + agentv1.CommandRotateCertificate, timeout: callTimeout}
	var asked agentv1.CertificateRequest
	if _, err := call(ctx, client, t, r, &asked); err != nil {
		return err
	}
	csr, err := decodeCSR(asked.CSR)
	if err != nil {
		return err
	}
	if err := l.issue(ctx, client, t, csr); err != nil {
		return err
	}
	l.Forget(t.RouterUUID) // kept sessions are still made with the old one
	return nil
}

func (l *Link) issue(ctx context.Context, c *http.Client, t Target, csr []byte) error {
	chain, err := l.authority.SignRouter(csr, t.RouterUUID, l.now())
	if err != nil {
		return err
	}
	r := request{method: http.MethodPut, path: agentv1.PathIdentity, body: agentv1.Certificate{Chain: chain}, timeout: callTimeout}
	_, err = call(ctx, c, t, r, nil)
	return err
}

func decodeCSR(s string) ([]byte, error) {
	block, _ := pem.Decode([]byte(s))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("answer holds no certificate request")
	}
	return block.Bytes, nil
}

// onePeer takes any certificate at first and then insists on its key: should
// the client dial a second time, it is the one that has proven itself.
type onePeer struct {
	spki []byte
}

func (p *onePeer) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errNotEnrolled
	}
	spki := s.PeerCertificates[0].RawSubjectPublicKeyInfo
	if p.spki == nil {
		p.spki = spki
	}
	if !hmac.Equal(p.spki, spki) {
		return fmt.Errorf("%w: it changed its key", errWrongPeer)
	}
	return nil
}
