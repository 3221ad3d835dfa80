package agentlink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// errNotEnrolled: the peer shows a certificate that no router CA of ours signed.
var errNotEnrolled = errors.New("peer has no certificate of the router CA")

// errWrongPeer: the peer is another router of ours.
var errWrongPeer = errors.New("peer is another router")

// errExpired: the peer's certificate ran out while nobody renewed it, or is not
// valid yet.
var errExpired = errors.New("peer's certificate is not valid now")

// verifyRouter accepts only the router named uuid with a valid certificate.
func (l *Link) verifyRouter(uuid string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		return kindOf(l.authority.VerifyRouter(s.PeerCertificates, uuid, l.now()))
	}
}

// verifyRouterAnyAge is the same, but lets a certificate pass that has expired, or
// that our own clock made when it was ahead: for renewal only. The peer has
// proven in the handshake that it holds the key, which never leaves the router's
// memory; refusing it would mean to reboot a router that works, whenever all
// orchestrators were down for a day.
func (l *Link) verifyRouterAnyAge(uuid string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		err := l.authority.VerifyRouter(s.PeerCertificates, uuid, l.now())
		if errors.Is(err, pki.ErrExpired) {
			return nil
		}
		return kindOf(err)
	}
}

func kindOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pki.ErrExpired):
		return fmt.Errorf("%w: %w", errExpired, err)
	case errors.Is(err, pki.ErrOtherName):
		return fmt.Errorf("%w: %w", errWrongPeer, err)
	default:
		return fmt.Errorf("%w: %w", errNotEnrolled, err)
	}
}

// renewalDue reports whether the peer's certificate has lived two thirds.
func renewalDue(s *tls.ConnectionState, now time.Time) bool {
	return s != nil && len(s.PeerCertificates) > 0 && now.After(pki.RenewAt(s.PeerCertificates[0]))
}
