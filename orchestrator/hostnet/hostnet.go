// Package hostnet makes L2 networks real on a host. Each type of L2 network is
// one realizer in a folder of its own; a new type is one folder and one line
// in For.
package hostnet

import (
	"context"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
)

// Realizer makes one type of L2 network real on the machine that it runs on.
// All calls are idempotent.
type Realizer interface {
	// Realize makes the network's bridge, with everything that it needs, and
	// returns its name. When it fails it has undone what it did.
	Realize(ctx context.Context, l2 *v1.L2Network) (bridge string, err error)
	// Check reports what of a realized network is missing or different; nil if
	// nothing.
	Check(ctx context.Context, l2 *v1.L2Network) error
	// Unrealize removes what Realize made and leaves the physical interface as
	// it was found, addresses and routes included. A missing bridge is nil.
	Unrealize(ctx context.Context, l2 *v1.L2Network) error
}

// Local is the network of the orchestrator's own machine.
type Local struct{}

// Realize implements Realizer.
func (Local) Realize(ctx context.Context, l2 *v1.L2Network) (string, error) {
	r, err := forType(l2)
	if err != nil {
		return "", err
	}
	return r.Realize(ctx, l2)
}

// Check implements Realizer.
func (Local) Check(ctx context.Context, l2 *v1.L2Network) error {
	r, err := forType(l2)
	if err != nil {
		return err
	}
	return r.Check(ctx, l2)
}

// Unrealize implements Realizer.
func (Local) Unrealize(ctx context.Context, l2 *v1.L2Network) error {
	r, err := forType(l2)
	if err != nil {
		return err
	}
	return r.Unrealize(ctx, l2)
}

func forType(l2 *v1.L2Network) (Realizer, error) {
	if l2.Type == v1.L2NoVlan {
		return novlan.Realizer{}, nil
	}
	return nil, v1.Refused("l2-type-unsupported", "L2 network type %q cannot be realized on this host; use %s", l2.Type, v1.L2NoVlan).On(l2.UUID)
}
