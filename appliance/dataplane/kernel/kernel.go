// Package kernel is the real dataplane.Kernel: the doors netfilter, nl and
// sysctl together. It works in the network namespace of the calling thread.
package kernel

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/netfilter"
	"github.com/sluice-nfv/sluice/appliance/dataplane/nl"
	"github.com/sluice-nfv/sluice/appliance/dataplane/sysctl"
)

// Kernel is the running kernel. It is not for concurrent use; a
// dataplane.Plane sees to that.
type Kernel struct {
	// NoFlowtables leaves the kernel's fast path alone, also where it has one.
	NoFlowtables bool

	filter      *netfilter.Door
	net         *nl.Door
	connections *nl.Connections
	// version is of the last Observe, without what filter adds.
	version uint64
}

var _ dataplane.Kernel = (*Kernel)(nil)

// Open finds the tools that are needed (iptables and its save and restore); it
// changes nothing.
func Open() (*Kernel, error) {
	d, err := netfilter.Open()
	if err != nil {
		return nil, err
	}
	return &Kernel{filter: d, net: &nl.Door{}, connections: nl.NewConnections()}, nil
}

// Observe implements dataplane.Kernel.
func (k *Kernel) Observe(ctx context.Context, sysctls []string) (dataplane.State, error) {
	var s dataplane.State
	var err error
	if s.Sysctls, err = sysctl.Observe(ctx, sysctls); err != nil {
		return s, err
	}
	if err := k.net.Observe(ctx, &s); err != nil {
		return s, err
	}
	if s.Version != k.version { // a nic that goes takes itself out of the flowtable
		k.filter.ForgetFlowtable()
		k.version = s.Version
	}
	return s, k.filter.Observe(ctx, &s)
}

// Do implements dataplane.Kernel.
func (k *Kernel) Do(ctx context.Context, s dataplane.Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch s := s.(type) {
	case dataplane.SetLink:
		return nl.SetLink(s.Link, s.MTU)
	case dataplane.AddAddress:
		return k.net.AddAddress(s.LinkAddress)
	case dataplane.DelAddress:
		return k.net.DelAddress(s.LinkAddress)
	case dataplane.AddRoute:
		return nl.AddRoute(s.Route, s.Source)
	case dataplane.DelRoute:
		return nl.DelRoute(s.Route)
	case dataplane.AddRule:
		return nl.AddRule(s.Rule)
	case dataplane.DelRule:
		return nl.DelRule(s.Rule)
	case dataplane.SetSysctl:
		return sysctl.Set(s.Key, s.Value)
	case dataplane.SetPolicy:
		return k.filter.SetPolicy(ctx, s)
	case dataplane.SetMappings:
		return k.filter.SetMappings(ctx, s)
	}
	return fmt.Errorf("unknown step %T", s)
}

// Sweep implements dataplane.Kernel.
func (k *Kernel) Sweep(ctx context.Context, stale func(dataplane.Flow) bool) (int, error) {
	return k.connections.Sweep(ctx, stale)
}

// End implements dataplane.Kernel.
func (k *Kernel) End(ctx context.Context, ends []dataplane.End) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.connections.End(ctx, ends)
}

// Announce implements dataplane.Kernel.
func (k *Kernel) Announce(ctx context.Context, at []dataplane.LinkAddress) error {
	return k.net.Announce(ctx, at)
}

// Forget implements dataplane.Kernel.
func (k *Kernel) Forget() {
	k.filter.Forget()
	k.net.Forget()
}

// Flowtables implements dataplane.Kernel.
func (k *Kernel) Flowtables() bool { return !k.NoFlowtables && k.filter.Flowtables() }

// Links implements dataplane.Kernel.
func (k *Kernel) Links(context.Context) (dataplane.Links, error) { return nl.Links() }

// Rename implements dataplane.Kernel.
func (k *Kernel) Rename(_ context.Context, names map[string]string) error { return nl.Rename(names) }

// Watch tells of changes of the rules by anybody; nil where the kernel cannot.
func (k *Kernel) Watch() (*netfilter.Watch, error) { return k.filter.Watch() }

// Meters reads the counts of the mappings; beside anything else.
func (k *Kernel) Meters() (dataplane.Meters, error) { return k.filter.Meters() }

// Table reads how full the table of connections is; beside anything else.
func (k *Kernel) Table() (dataplane.Table, error) { return k.connections.Table() }

// Hold keeps guests from new connections for some seconds.
func (k *Kernel) Hold(guests []netip.Addr) error { return k.filter.Hold(guests) }
