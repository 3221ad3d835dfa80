package pki

import (
	"crypto/tls"
	"sync"
	"time"
)

// Renewing hands out one certificate and replaces it when it is due. It is
// safe for concurrent use.
type Renewing struct {
	issue func(now time.Time) (*tls.Certificate, error)
	now   func() time.Time

	mu   sync.Mutex
	cert *tls.Certificate
}

// NewRenewing issues the first certificate when it is first asked for.
func NewRenewing(issue func(now time.Time) (*tls.Certificate, error)) *Renewing {
	return &Renewing{issue: issue, now: time.Now}
}

// Certificate returns the current one, or a new one when two thirds of its
// life are over. Should issuing fail, the old one goes on while it is valid.
func (r *Renewing) Certificate() (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	// Not valid yet: it was made by a clock that was ahead and is not any more.
	if r.cert != nil && !now.Before(r.cert.Leaf.NotBefore) && now.Before(RenewAt(r.cert.Leaf)) {
		return r.cert, nil
	}
	next, err := r.issue(now)
	if err != nil {
		if r.cert != nil && now.Before(r.cert.Leaf.NotAfter) {
			return r.cert, nil
		}
		return nil, err
	}
	r.cert = next
	return next, nil
}
