package app

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// table is what is asked about connections.
type table interface {
	Table() (dataplane.Table, error)
	Meters() (dataplane.Meters, error)
	Hold(guests []netip.Addr) error
}

// census finds who fills the table; *dataplane.Plane is one.
type census interface {
	Greedy(ctx context.Context, t dataplane.Table) ([]dataplane.Holder, error)
}

// pressure keeps the table of connections from being one guest's. What a
// packet costs does not depend on it: the kernel only paces new connections,
// and looks up who is held.
type pressure struct {
	table  table
	census census
	last   dataplane.Table
	// portsOut is when ports were last found to have run out.
	portsOut time.Time
}

// pressureEvery: at the pace that a guest is given, half of the smallest
// router's table takes several times as long to fill.
const pressureEvery = time.Second

// quiet is how long a warning stands after its cause.
const quiet = time.Minute

// look returns the warnings there are now.
func (p *pressure) look(ctx context.Context, now time.Time) ([]string, error) {
	t, err := p.table.Table()
	if err != nil {
		return nil, err
	}
	if t.NoPort > p.last.NoPort && p.last.Max > 0 {
		p.portsOut = now
	}
	p.last = t
	var warnings []string
	if !p.portsOut.IsZero() && now.Sub(p.portsOut) < quiet {
		warnings = append(warnings, fmt.Sprintf("source NAT: public ports ran out, %d connections in all were refused; "+
			"spread guests over more public addresses, or give busy ones an elastic IP", t.NoPort))
	}
	if !t.Pressed() {
		return warnings, nil
	}
	greedy, err := p.census.Greedy(ctx, t)
	if err != nil {
		return warnings, err
	}
	var hold []netip.Addr
	for _, h := range greedy {
		hold = append(hold, h.Guest)
		warnings = append(warnings, fmt.Sprintf("guest %s: held back from new connections, it has %d of the router's %d; "+
			"look for a flood, or give the router more memory", h.Guest, h.Connections, t.Max))
	}
	if len(hold) == 0 {
		return warnings, nil
	}
	return warnings, p.table.Hold(hold)
}

// watchPressure looks until ctx ends, and tells what is new.
func (a *App) watchPressure(ctx context.Context) {
	p := pressure{table: a.kernel, census: a.plane}
	tick := time.NewTicker(pressureEvery)
	defer tick.Stop()
	var before []string // what the warnings were about: their numbers change
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			warnings, err := p.look(ctx, now)
			if err != nil && !failed {
				a.log.Warn("connections cannot be watched", "err", err)
			}
			failed = err != nil
			var about []string
			for _, w := range warnings {
				subject, _, _ := strings.Cut(w, ":")
				if about = append(about, subject); !slices.Contains(before, subject) {
					a.log.Warn("connections", "warning", w)
					a.agent.Tell(agentv1.Event{Type: "warning", Detail: w})
				}
			}
			before = about
			a.router.watched(p.last, warnings)
		}
	}
}
