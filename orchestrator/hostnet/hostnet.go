// Package hostnet makes L2 networks real on a host. Each type of L2 network is
// a folder of its own; a new type is one folder and one line in the app.
package hostnet

import (
	"context"
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/arp"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/bridge"
)

// Type is one type of L2 network: what its networks are like, and how they are
// made real on the machine that this runs on. What makes or removes is
// idempotent.
type Type interface {
	// Name is the type's name, such as L2VlanNetwork.
	Name() string
	// Validate refuses values that the type has no use for, or lacks.
	Validate(req v1.CreateL2Network) error
	// Segment names what a network takes of its physical interface.
	Segment(l2 *v1.L2Network) string
	// MaxMTU is the largest MTU, in bytes, that frames may have.
	MaxMTU() int
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

// Local is the network of the orchestrator's own machine, with the types that
// it can make real.
type Local []Type

// Realize is the type's.
func (l Local) Realize(ctx context.Context, l2 *v1.L2Network) (string, error) {
	t, err := l.of(l2)
	if err != nil {
		return "", err
	}
	return t.Realize(ctx, l2)
}

// Check is the type's.
func (l Local) Check(ctx context.Context, l2 *v1.L2Network) error {
	t, err := l.of(l2)
	if err != nil {
		return err
	}
	return t.Check(ctx, l2)
}

// Unrealize is the type's.
func (l Local) Unrealize(ctx context.Context, l2 *v1.L2Network) error {
	t, err := l.of(l2)
	if err != nil {
		return err
	}
	return t.Unrealize(ctx, l2)
}

// WhoHas asks on the network's bridge who has the addresses: see arp.WhoHas.
func (l Local) WhoHas(ctx context.Context, l2 *v1.L2Network, ips []netip.Addr) (map[netip.Addr]string, error) {
	return arp.WhoHas(ctx, bridge.Name(l2), ips)
}

// of finds the network's type. The rules refuse networks of others, so that
// one can only come from another version.
func (l Local) of(l2 *v1.L2Network) (Type, error) {
	for _, t := range l {
		if t.Name() == l2.Type {
			return t, nil
		}
	}
	return nil, v1.Refused("l2-type-unsupported", "L2 network %q is of type %s, which this version cannot make real; use the version that made it", l2.Name, l2.Type).On(l2.UUID)
}
