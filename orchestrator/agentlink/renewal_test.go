package agentlink_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/agentlink"
	"github.com/sluice-nfv/sluice/orchestrator/pki"
)

// TestCertificatesAreRenewedOnTheWay: calls are made whatever became of the
// router's certificate since the last one, also by many at once, and leave one
// that is good.
func TestCertificatesAreRenewedOnTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		enrolled time.Duration // ahead of the calls
		dials    int32         // at least: the call, and the renewal
	}{
		"fresh":               {0, 1},
		"two thirds are over": {-17 * time.Hour, 2},
		"expired":             {-72 * time.Hour, 2},
		"the clock was ahead": {30 * 24 * time.Hour, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := pki.New(time.Now().Add(-1000 * time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			_, m := boot(t, a)
			first := agentlink.NewOver(a, m.Dial)
			t.Cleanup(first.Close)
			first.SetNow(func() time.Time { return time.Now().Add(c.enrolled) })
			if err := first.Enrol(t.Context(), m.Target); err != nil {
				t.Fatal(err)
			}
			var dials atomic.Int32
			link := agentlink.NewOver(a, func(ctx context.Context, to netip.AddrPort, d time.Duration) (net.Conn, error) {
				dials.Add(1)
				return m.Dial(ctx, to, d)
			})
			t.Cleanup(link.Close)
			if err := atOnce(8, func() error { _, err := link.Status(t.Context(), m.Target); return err }); err != nil {
				t.Fatal(err)
			}
			if n := dials.Load(); n < c.dials {
				t.Errorf("%d connections, so that nothing was renewed", n)
			}
			link.Close()
			dials.Store(0)
			if _, err := link.Status(t.Context(), m.Target); err != nil || dials.Load() != 1 {
				t.Errorf("afterwards: %v, with %d connections", err, dials.Load())
			}
		})
	}
}

func atOnce(n int, call func() error) error {
	failed := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failed[i] = call() })
	}
	all.Wait()
	return errors.Join(failed...)
}
