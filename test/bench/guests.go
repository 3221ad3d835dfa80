package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/boot"
	"github.com/sluice-nfv/sluice/test/lab"
	"github.com/sluice-nfv/sluice/test/world"
)

// furtherGuests are started one after the other by second-guest.
const furtherGuests = 10

// Goals; the first guest's are above a bare boot of the same kernel.
const (
	goalNotBoot = 1.5 // seconds
	goalSecond  = 0.3 // seconds
	coldFactor  = boot.GoalRatio
	coldExtra   = 2.0 // seconds
)

// guest is a VM that was created and plugged in, and is not started.
type guest struct {
	vm  v1.VMInstance
	nic *lab.Guest
}

func newGuest(ctx context.Context, w *world.World, name string) (guest, error) {
	networks, err := client.List[v1.L3Network](ctx, w.API, "/v1/l3-networks", url.Values{"name": {"guest"}})
	if err != nil {
		return guest{}, err
	}
	if len(networks) != 1 {
		return guest{}, fmt.Errorf("find guest network: %d have its name", len(networks))
	}
	var g guest
	body := v1.CreateVMInstance{CreateMeta: v1.CreateMeta{Name: name}, Hostname: name, Nics: []v1.CreateVMNic{{L3NetworkUUID: networks[0].UUID}}}
	if err := w.API.Do(ctx, http.MethodPost, "/v1/vm-instances", body, &g.vm); err != nil {
		return g, err
	}
	bridge, err := w.Bridge(ctx, "tenant")
	if err != nil {
		return g, err
	}
	g.nic, err = w.Lab.AddGuest(ctx, name, g.vm.Nics[0].MAC, bridge)
	return g, err
}

// start makes the call, and then runs a DHCP client until it has its lease.
func (g guest) start(ctx context.Context, w *world.World) (call, dhcp time.Duration, err error) {
	began := time.Now()
	if err := w.API.Do(ctx, http.MethodPost, "/v1/vm-instances/"+g.vm.UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil); err != nil {
		return 0, 0, fmt.Errorf("start guest %s: %w", g.vm.Name, err)
	}
	call = time.Since(began)
	lease, err := g.nic.Lease(ctx)
	if err != nil {
		return 0, 0, err
	}
	dhcp = time.Since(began) - call
	if want := g.vm.Nics[0].IP.String(); lease["ip_address"] != want {
		return 0, 0, fmt.Errorf("guest %s was leased %q, its nic has %s", g.vm.Name, lease["ip_address"], want)
	}
	return call, dhcp, nil
}

// firstGuest times cold starts. One that does not count comes first: it puts
// the template's files on the host, where they stay.
func firstGuest(ctx context.Context, b *bench) ([]result, error) {
	w, err := b.site(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := coldStart(ctx, w); err != nil {
		return nil, err
	}
	var bare, total, notBoot []time.Duration
	for i := range b.runs {
		peer, err := b.bootBoth(ctx)
		if err != nil {
			return nil, err
		}
		c, err := coldStart(ctx, w)
		if err != nil {
			return nil, err
		}
		remark("first-guest-cold run %d: %s; bare boot=%.2fs load=%s", i+1, c, peer.Seconds(), load())
		bare, total, notBoot = append(bare, peer), append(total, c.total()), append(notBoot, c.notBoot())
	}
	allowed := coldFactor*median(bare).Seconds() + coldExtra
	first := against("first-guest-cold", "s", median(total).Seconds(), "bare-boot", median(bare).Seconds(), 1)
	first.ratio = first.ours / allowed
	remark("first-guest-cold: ratio is ours / (%g x bare boot + %g s = %.2f s)", coldFactor, coldExtra, allowed)
	return []result{first, bound("first-guest-not-boot", "s", median(notBoot).Seconds(), goalNotBoot)}, nil
}

// coldStart starts the first guest of the network. The router it makes stays
// until the next cold start.
func coldStart(ctx context.Context, w *world.World) (cold, error) {
	if err := noGuests(ctx, w); err != nil {
		return cold{}, err
	}
	g, err := newGuest(ctx, w, "first")
	if err != nil {
		return cold{}, err
	}
	call, dhcp, err := g.start(ctx, w)
	if err != nil {
		return cold{}, fmt.Errorf("%w\nserver: %s", err, w.Log())
	}
	r, err := router(ctx, w)
	if err != nil {
		return cold{}, err
	}
	return split(r, call, dhcp)
}

// noGuests deletes all guests and routers.
func noGuests(ctx context.Context, w *world.World) error {
	if err := w.Delete(ctx, "/v1/vm-instances", "/v1/virtual-routers"); err != nil {
		return err
	}
	return w.NoRouters(ctx, time.Minute)
}

// router is the one that there is.
func router(ctx context.Context, w *world.World) (v1.VirtualRouter, error) {
	all, err := w.Routers(ctx)
	if err != nil {
		return v1.VirtualRouter{}, err
	}
	if len(all) != 1 {
		return v1.VirtualRouter{}, fmt.Errorf("want one router, there are %d", len(all))
	}
	return all[0], nil
}

// busySite is the site with a router that serves a first guest.
func (b *bench) busySite(ctx context.Context) (*world.World, error) {
	w, err := b.site(ctx)
	if err != nil {
		return nil, err
	}
	if all, err := w.Routers(ctx); err != nil || len(all) > 0 {
		return w, err
	}
	progress("a first guest, and its router")
	_, err = coldStart(ctx, w)
	return w, err
}

// secondGuest starts guests behind a router that runs.
func secondGuest(ctx context.Context, b *bench) ([]result, error) {
	w, err := b.busySite(ctx)
	if err != nil {
		return nil, err
	}
	var calls, leases, both []time.Duration
	for i := range furtherGuests {
		g, err := newGuest(ctx, w, fmt.Sprintf("further%d", i))
		if err != nil {
			return nil, err
		}
		call, dhcp, err := g.start(ctx, w)
		if err != nil {
			return nil, err
		}
		calls, leases, both = append(calls, call), append(leases, dhcp), append(both, call+dhcp)
	}
	remark("second-guest: %d guests, call and lease together %.3fs, load=%s", furtherGuests, median(both).Seconds(), load())
	return []result{
		bound("second-guest", "s", median(calls).Seconds(), goalSecond),
		bound("second-guest-lease", "s", median(leases).Seconds(), goalSecond),
	}, nil
}
