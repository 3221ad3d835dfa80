package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// crasher ends a Reconciler, like a killed server, at the n-th time that an
// action begins or is done.
type crasher struct {
	slog.Handler
	left  *atomic.Int32
	crash func()
	at    func(what string)
}

func (c crasher) Enabled(context.Context, slog.Level) bool { return true }
func (c crasher) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c crasher) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "begin" || r.Message == "done" {
		if c.left.Add(-1) == 0 {
			r.Attrs(func(a slog.Attr) bool {
				c.at(r.Message + " " + a.Value.String())
				return false
			})
			c.crash()
		}
	}
	return nil
}

// crashAt lets a new Reconciler work until it dies at the n-th boundary, and
// reports which that was.
func (s *site) crashAt(n int, work func(r *Reconciler)) (where string) {
	left := &atomic.Int32{}
	left.Store(int32(n))
	s.r.Close()
	var r *Reconciler
	s.log = crasher{Handler: slog.DiscardHandler, left: left, crash: func() { r.cancel() }, at: func(what string) { where = what }}
	r = s.reconciler()
	s.r = r
	r.Start()
	work(r)
	s.eventually("crash", func() bool { return r.ctx.Err() != nil })
	r.Close()
	s.log = slog.DiscardHandler
	return where
}

// Whatever it was doing when it died: the next one ends it, with one domain,
// one set of volumes, no token left, and what was chosen kept.
func TestCrashAtEachBoundary(t *testing.T) {
	build := 2 * (2 + 8) // place, begin and the build; begin and done of each
	for name, c := range map[string]struct {
		boundaries int
		first      bool // there is no router before
		hosts      int
		cause      func(s *site, r *v1.VirtualRouter)
		gone       bool
	}{
		"first":   {boundaries: build, first: true, hosts: 1, cause: func(s *site, _ *v1.VirtualRouter) { s.startVM(s.vms[0]) }},
		"rebuild": {boundaries: 2 * 8, hosts: 1, cause: func(s *site, _ *v1.VirtualRouter) { s.act("rebuild") }},
		"lost":    {boundaries: 2 * 9, hosts: 1, cause: func(s *site, r *v1.VirtualRouter) { s.machines[0].kill(r.UUID) }},
		"move": {boundaries: 2 * 11, hosts: 2, cause: func(s *site, r *v1.VirtualRouter) {
			stored(s, func(tx *model.Tx) (*v1.Host, error) { return model.SetHostState(tx, r.HostUUID, v1.Maintenance) })
		}},
		"destroy": {boundaries: 2 * 2, hosts: 1, gone: true, cause: func(s *site, r *v1.VirtualRouter) {
			must(s.t, 0, errOf(s.store.Update(s.t.Context(), func(tx *model.Tx) error { return model.DeleteRouter(tx, r.UUID) })))
		}},
	} {
		for n := 1; n <= c.boundaries; n++ {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				s := newSite(t, c.hosts, 1)
				var before *v1.VirtualRouter
				if !c.first {
					before = s.serve(s.vms[0])
				}
				where := s.crashAt(n, func(*Reconciler) { c.cause(s, before) })
				t.Log("died at", where)
				crashed := s.router()
				s.start()
				if c.gone {
					s.gone()
					return
				}
				after := s.served()
				s.tidy()
				if before == nil {
					before = crashed
				}
				if after.UUID != before.UUID || !reflect.DeepEqual(chosen(after), chosen(before)) {
					t.Errorf("what was chosen changed: %+v, now %+v", before, after)
				}
			})
		}
	}
}
