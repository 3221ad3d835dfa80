package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

const (
	// strangersEvery is how often strangers are asked whether they are still there.
	strangersEvery = time.Minute
	// askAtOnce is how many addresses are asked about in one round of probes.
	askAtOnce = 64
	// claimPatience bounds what a router waits for answers; those that come
	// later are missed.
	claimPatience = 300 * time.Millisecond
)

// claims asks the wire about VIPs before a router takes them, and about
// strangers again.
type claims struct {
	*Reconciler
	mu sync.Mutex
	// pending wait to be asked about, asking are those asked about now: by VIP,
	// closed when that is over.
	pending, asking map[string]chan struct{}
	kick            chan struct{}
	// offered are addresses of VIPs that are not stored yet, by what stands for
	// each meanwhile.
	offered map[string]model.Place
}

func newClaims(r *Reconciler) *claims {
	return &claims{Reconciler: r, pending: map[string]chan struct{}{}, asking: map[string]chan struct{}{}, kick: make(chan struct{}, 1), offered: map[string]model.Place{}}
}

// note takes up VIPs that are new, and those that have another address. After a
// gap these are all that were never asked about.
func (c *claims) note(step store.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if step.Gap {
		for vip := range model.List[v1.VIP](step.View) {
			if !vip.System && len(vip.Conditions) == 0 {
				c.add(vip.UUID)
			}
		}
	}
	for _, change := range step.Changes {
		vip, is := change.After.(*v1.VIP)
		if !is || vip.System || len(vip.Conditions) > 0 {
			continue
		}
		if before, had := change.Before.(*v1.VIP); !had || before.IP != vip.IP {
			c.add(vip.UUID)
		}
	}
}

// add is called with the lock held.
func (c *claims) add(vip string) {
	if c.pending[vip] == nil {
		c.pending[vip] = make(chan struct{})
	}
	signal(c.kick)
}

func (c *claims) run() {
	tick := time.NewTicker(strangersEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.kick:
			c.claim(c.take(askAtOnce))
		case <-tick.C:
			c.askAgain()
		}
	}
}

// take are some of the VIPs that are pending; they are asked about from now on.
func (c *claims) take(most int) (vips []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for vip, asked := range c.pending {
		delete(c.pending, vip)
		c.asking[vip] = asked
		if vips = append(vips, vip); len(vips) == most {
			signal(c.kick) // for the rest
			break
		}
	}
	return vips
}

// claim asks about VIPs and stores what was heard.
func (c *claims) claim(vips []string) {
	asked := map[string]netip.Addr{}
	places := []model.Place{}
	view := c.Store.View()
	for _, uuid := range vips {
		if vip := model.Get[v1.VIP](view, uuid); vip != nil {
			asked[uuid] = vip.IP
			places = append(places, model.Place{L3: vip.L3NetworkUUID, IP: vip.IP})
		}
	}
	heard, reached := c.askWire(c.ctx, view, places)
	maps.DeleteFunc(asked, func(uuid string, _ netip.Addr) bool { return !reached[model.Get[v1.VIP](view, uuid).L3NetworkUUID] })
	if len(asked) > 0 {
		if _, err := c.Store.Update(c.ctx, func(tx *model.Tx) error { return model.ClaimVIPs(tx, asked, heard) }); err != nil && c.ctx.Err() == nil {
			c.Log.Warn("record who has VIPs", "err", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uuid := range vips {
		close(c.asking[uuid])
		delete(c.asking, uuid)
	}
}

// settled waits, with patience, until no VIP has to be asked about: of all, or of
// those that something uses.
func (c *claims) settled(ctx context.Context, used bool) {
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	for {
		view := c.Store.View()
		if c.wants.caughtUp(ctx, view.Revision) != nil {
			return
		}
		asked := c.next(view, used)
		if asked == nil {
			return
		}
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
	}
}

// AskFirst asks, with patience, who has the address that a new VIP would have.
// Until done is called others are offered other ones.
func (r *Reconciler) AskFirst(ctx context.Context, v *model.View, req v1.CreateVIP) (ip netip.Addr, heard model.Heard, done func()) {
	at, done := r.claims.offer(v, req)
	if !at.IP.IsValid() {
		return ip, nil, done
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	heard, reached := r.askWire(ctx, v, []model.Place{at})
	if !reached[at.L3] {
		return ip, nil, done
	}
	return at.IP, heard, done
}

// offer is the address that a VIP would have if those that are being made had
// theirs; none if it would be refused.
func (c *claims) offer(v *model.View, req v1.CreateVIP) (at model.Place, withdraw func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx := model.NewTx(v, time.Now())
	for uuid, place := range c.offered {
		if tx.AddressOwner(place.L3, place.IP) == "" {
			tx.Save(&v1.VIP{Meta: v1.Meta{UUID: uuid}, L3NetworkUUID: place.L3, IP: place.IP})
		}
	}
	vip, err := model.CreateVIP(tx, req)
	if err != nil {
		return at, func() {}
	}
	at, uuid := model.Place{L3: vip.L3NetworkUUID, IP: vip.IP}, model.NewUUID()
	c.offered[uuid] = at
	return at, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.offered, uuid)
	}
}

// WaitClaim waits, with patience, until the wire was asked who has a VIP, and
// about the address that it has instead if it had to be another.
func (r *Reconciler) WaitClaim(ctx context.Context, vip string) {
	ctx, cancel := context.WithTimeout(ctx, 3*claimPatience)
	defer cancel()
	for {
		if r.wants.caughtUp(ctx, r.Store.View().Revision) != nil {
			return
		}
		asked := r.claims.of(vip)
		if asked == nil {
			return
		}
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
	}
}

// of is closed when the VIP was asked about; nil: it was.
func (c *claims) of(vip string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked := c.asking[vip]; asked != nil {
		return asked
	}
	return c.pending[vip]
}

// next is closed when one of the VIPs was asked about; nil: all were.
func (c *claims) next(view *model.View, used bool) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, vips := range []map[string]chan struct{}{c.asking, c.pending} {
		for uuid, asked := range vips {
			if vip := model.Get[v1.VIP](view, uuid); !used || vip != nil && len(vip.UseFor) > 0 {
				return asked
			}
		}
	}
	return nil
}

// askAgain asks whether strangers are still there, and forgets those that are not.
func (c *claims) askAgain() {
	view := c.Store.View()
	var places []model.Place
	withheld := map[string]netip.Addr{}
	for l3 := range model.List[v1.L3Network](view) {
		for _, s := range l3.Strangers {
			places = append(places, model.Place{L3: l3.UUID, IP: s.IP})
			if vip := model.Get[v1.VIP](view, view.AddressOwner(l3.UUID, s.IP)); vip != nil && model.Withheld(vip) {
				withheld[vip.UUID] = vip.IP
			}
		}
	}
	for part := range slices.Chunk(places, askAtOnce) {
		heard, reached := c.askWire(c.ctx, view, part)
		_, err := c.Store.Update(c.ctx, func(tx *model.Tx) error { return forgetSilent(tx, part, heard, reached, withheld) })
		if err != nil && c.ctx.Err() == nil {
			c.Log.Warn("forget strangers", "err", err)
		}
	}
}

func forgetSilent(tx *model.Tx, asked []model.Place, heard model.Heard, reached map[string]bool, withheld map[string]netip.Addr) error {
	silent := map[string][]netip.Addr{}
	for _, p := range asked {
		if reached[p.L3] && heard[p] == "" {
			silent[p.L3] = append(silent[p.L3], p.IP)
		}
	}
	for l3, ips := range silent {
		if err := model.ForgetStrangers(tx, l3, ips); err != nil {
			return err
		}
	}
	free := maps.Clone(withheld)
	maps.DeleteFunc(free, func(uuid string, ip netip.Addr) bool {
		vip := model.Get[v1.VIP](tx.View, uuid)
		return vip == nil || !slices.Contains(silent[vip.L3NetworkUUID], ip)
	})
	return model.ClaimVIPs(tx, free, heard)
}

// askWire asks on all networks at once who has addresses. reached are the L3
// networks that could be asked: those with a bridge here.
func (r *Reconciler) askWire(ctx context.Context, view *model.View, places []model.Place) (model.Heard, map[string]bool) {
	byL3 := map[string][]netip.Addr{}
	for _, p := range places {
		byL3[p.L3] = append(byL3[p.L3], p.IP)
	}
	heard, reached := model.Heard{}, map[string]bool{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for uuid, ips := range byL3 {
		l3 := model.Get[v1.L3Network](view, uuid)
		if l3 == nil {
			continue
		}
		l2 := model.Get[v1.L2Network](view, l3.L2NetworkUUID)
		if l2 == nil || len(l2.Realizations) == 0 {
			continue
		}
		asking.Go(func() {
			answers, err := r.L2s.WhoHas(ctx, l2, ips)
			if err != nil {
				if ctx.Err() == nil {
					r.Log.Debug("ask who has addresses", "l2", l2.UUID, "err", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			reached[uuid] = true
			for ip, mac := range answers {
				heard[model.Place{L3: uuid, IP: ip}] = mac
			}
		})
	}
	asking.Wait()
	return heard, reached
}

// ask begins to ask about the addresses that are new to the router; claim hears
// the answers.
func (c *call) ask(context.Context) error {
	var places []model.Place
	for _, n := range c.row.Nics {
		if !n.Claimed {
			places = append(places, model.Place{L3: n.L3NetworkUUID, IP: n.IP})
		}
	}
	c.answers = make(chan model.Heard, 1)
	if len(places) == 0 {
		c.answers <- nil
		return nil
	}
	answers, view := c.answers, c.view
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, claimPatience)
		defer cancel()
		heard, _ := c.askWire(ctx, view, places)
		answers <- heard
	})
	return nil
}

// claim makes sure that nobody answered. A router that has to have other
// addresses is built anew with them.
func (c *call) claim(ctx context.Context) error {
	var heard model.Heard
	select {
	case heard = <-c.answers:
	case <-ctx.Done():
		return ctx.Err()
	}
	// A domain that a killed orchestrator has started is no stranger.
	maps.DeleteFunc(heard, func(_ model.Place, mac string) bool { return c.view.MACOwner(mac) == c.uuid })
	if len(heard) == 0 {
		return nil
	}
	var refused error
	_, err := c.Store.Update(ctx, func(tx *model.Tx) (err error) {
		refused, err = model.AnswersForRouter(tx, c.uuid, heard)
		return err
	})
	if err != nil {
		return err
	}
	for at, mac := range heard {
		c.log.Warn("a stranger has an address of the router", "ip", at.IP, "mac", mac)
	}
	if row := model.Get[v1.VirtualRouter](c.Store.View(), c.uuid); row == nil || wishOf(row) != wishOf(c.row) {
		return errSuperseded
	}
	return refused
}
