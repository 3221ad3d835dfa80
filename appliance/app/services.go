// Package app puts the appliance together: the only place that knows all of
// its parts. It runs as the agent of a router (config drive, orchestrator), or
// alone from a spec in a file.
package app

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/services/dhcp"
	"github.com/sluice-nfv/sluice/appliance/services/dns"
	"github.com/sluice-nfv/sluice/appliance/services/eip"
	"github.com/sluice-nfv/sluice/appliance/services/interfaces"
	"github.com/sluice-nfv/sluice/appliance/services/portforwarding"
	"github.com/sluice-nfv/sluice/appliance/services/snat"
)

// Planner is the pure half of a service: what it wants of the kernel. A wrong
// value in the content is a *dataplane.FieldError.
type Planner interface {
	// Name is the service's name in status, metrics and logs.
	Name() string
	Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error)
}

// Server is a service that also handles packets itself.
type Server interface {
	Planner
	// Apply serves as c wants it, and what can be served also with an error
	// about the rest. Applying the same twice disturbs nothing.
	Apply(ctx context.Context, c agentv1.Content, links dataplane.Links) error
	Status() agentv1.ServiceStatus
	Close() error
}

// Changer is a Server for which a change costs what it changes, and not what
// there is. A Server that is none has the whole content applied instead.
type Changer interface {
	Server
	// CheckChange refuses what makes a content of before that Want would refuse.
	// It is pure. The error is a *dataplane.FieldError with a pointer into the
	// agentv1.SpecChange, such as /change/dhcp/0/bindings/add/2/ip.
	CheckChange(before agentv1.Content, ch agentv1.Change) error
	// Change does what Apply of next would. It is only asked for what ch makes of
	// the content that was applied last, without an error and with the same links;
	// after an error Apply follows.
	Change(ctx context.Context, next agentv1.Content, ch agentv1.Change, links dataplane.Links) error
}

var (
	_ Changer = (*dhcp.Server)(nil)
	_ Changer = (*dns.Server)(nil)
)

// Editor is a Planner whose Want has more with each entry of a content's long
// lists, and which knows what of it a change removes and adds. What others want
// does not depend on these lists.
type Editor interface {
	Planner
	// Edit is of a change that is known to lead to a good content, next.
	Edit(next agentv1.Content, ch agentv1.Change, links dataplane.Links) dataplane.Edit
}

// Claims are what a service's entries take of what there is once only.
type Claims interface {
	// Check refuses what Want would of the content that the change leads to; the
	// error is a *dataplane.FieldError with a pointer into the SpecChange.
	Check(next agentv1.Content, ch agentv1.Change) error
	// Take takes along a change that was checked.
	Take(ch agentv1.Change)
	// Nic is the MAC of the nic that has to carry an address; empty: none.
	Nic(vip netip.Addr) string
}

// Services are a router's, in the order in which they are asked and started.
type Services struct {
	// Planners has all services; Servers those that serve, too.
	Planners []Planner
	Servers  []Server
	// Claims are made of a content that all Planners find good.
	Claims []func(agentv1.Content) Claims
	// Leases are the DHCP server's facts; may be nil.
	Leases func() []agentv1.LeaseStatus
	// Events are what the servers notice.
	Events []<-chan agentv1.Event
	// Warnings are what people should look into though all is as wanted.
	Warnings []func() []string
}

// NewServices is the list. A new service is one line in it.
func NewServices(log *slog.Logger) Services {
	leases := dhcp.New(log)
	names := dns.New(log)
	return Services{
		Planners: []Planner{
			interfaces.New(),     // the nics that all others name
			leases,               // guests get their addresses first,
			names,                // then the resolver that they were told,
			snat.New(),           // then a way out,
			eip.New(),            // and ways in, the one that takes a whole
			portforwarding.New(), // address before the one that takes ports
		},
		// DHCP first: a guest without a lease asks no names.
		Servers: []Server{leases, names},
		Claims: []func(agentv1.Content) Claims{
			func(c agentv1.Content) Claims { return dhcp.NewClaims(c) },
			func(c agentv1.Content) Claims { return dns.NewClaims(c) },
			func(c agentv1.Content) Claims { return eip.NewClaims(c) },
			func(c agentv1.Content) Claims { return portforwarding.NewClaims(c) },
		},
		Leases:   leases.Leases,
		Events:   []<-chan agentv1.Event{leases.Events(), names.Events()},
		Warnings: []func() []string{names.Warnings},
	}
}
