package app

import (
	"context"
	"time"
)

// lateEvery: a packet that was on its way when a mapping changed has made its
// connection long before.
const lateEvery = time.Second

// sweepLate ends connections that were made while mappings changed, until ctx
// ends.
func (a *App) sweepLate(ctx context.Context) {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n, err := a.plane.SweepLate(ctx)
			if err != nil && !failed && ctx.Err() == nil {
				a.log.Warn("connections made during a change are not looked for", "err", err)
			}
			if failed = err != nil; n > 0 {
				a.log.Info("connections ended that were made during a change", "connections", n)
			}
		}
	}
}
