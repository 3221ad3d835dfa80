package reconcile

import (
	"context"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// guestsAgain is the pause before all guests are looked at once more.
const guestsAgain = 3 * time.Second

// migrated is the hypervisor's reason for the end of a domain that went to
// another host, where it may be seen before or after.
const migrated = "migrated"

// guest takes up what happened to a tenant's domain: one with a VM's MAC is
// that VM. It reports false if all domains have to be looked at again later:
// one moved away, and where to is for another host to say, or one cannot be
// served yet.
func (l *hostLink) guest(ctx context.Context, d hypervisor.DomainStatus) bool {
	if d.Reason == migrated && !runs(d) {
		return false
	}
	return l.observeGuests(ctx, func(tx *model.Tx) error { return model.ObserveGuest(tx, l.guestOf(d)) })
}

// relistGuests takes up all domains of the host: what happened while it could
// not be seen. It reports false if that has to be done again.
func (l *hostLink) relistGuests(ctx context.Context, hv hypervisor.Hypervisor) bool {
	listing, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	domains, err := hv.ListGuests(listing)
	if err != nil {
		l.log.Warn("list guests", "err", err)
		return false
	}
	all := make([]model.Guest, len(domains))
	for i, d := range domains {
		all[i] = l.guestOf(d)
	}
	return l.observeGuests(ctx, func(tx *model.Tx) error { return model.ObserveGuests(tx, l.uuid, all) })
}

func (l *hostLink) observeGuests(ctx context.Context, observe func(*model.Tx) error) bool {
	var refused error
	_, err := l.r.Store.Update(ctx, func(tx *model.Tx) error {
		refused = observe(tx)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		l.log.Warn("observe guests", "err", err)
	}
	if refused != nil { // the VM's condition tells it too
		l.log.Debug("serve guests", "err", refused)
	}
	return err == nil && refused == nil
}

func (l *hostLink) guestOf(d hypervisor.DomainStatus) model.Guest {
	return model.Guest{HostUUID: l.uuid, DomainUUID: d.UUID, Name: d.Name, MACs: d.MACs, Runs: runs(d)}
}

// runs: one that is paused goes on with the addresses that it has.
func runs(d hypervisor.DomainStatus) bool {
	return d.State == hypervisor.Running || d.State == hypervisor.Paused
}
