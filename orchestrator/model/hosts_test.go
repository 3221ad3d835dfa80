package model

import (
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// put gives a host a status, as its link does.
func (w *world) put(host, status string) {
	h := Copy(Get[v1.Host](w.tx.View, host))
	h.Status = status
	w.tx.Save(h)
	w.clean()
}

// placed is a router on the world's host.
func (w *world) placed() *v1.VirtualRouter {
	r := w.start(w.addVM("vm", w.guest).UUID)
	r, err := PlaceRouter(w.tx, r.UUID, w.host)
	must(w, r, err)
	w.clean()
	return r
}

// What each step in a host's life does, by the status it has.
func TestHostTransitions(t *testing.T) {
	for _, c := range []struct {
		name, status, code string
		routers, fenced    bool
		rule               func(tx *Tx, uuid string) error
		state              string
		isFenced           bool
	}{
		{name: "drained", status: v1.Connected, routers: true, rule: DrainHost, state: v1.Maintenance},
		{name: "drained, unreachable and empty", status: v1.Disconnected, rule: DrainHost, state: v1.Maintenance},
		{name: "drained, unreachable with routers", status: v1.Disconnected, routers: true, rule: DrainHost, code: "host-unreachable"},
		{name: "drained, not reached yet", status: v1.Connecting, routers: true, rule: DrainHost, code: "host-unreachable"},
		{name: "drained, fenced", status: v1.Disconnected, routers: true, fenced: true, rule: DrainHost, state: v1.Maintenance, isFenced: true},
		{name: "fenced", status: v1.Disconnected, routers: true, rule: fence, state: v1.Enabled, isFenced: true},
		{name: "fenced twice", status: v1.Disconnected, fenced: true, rule: fence, state: v1.Enabled, isFenced: true},
		{name: "fenced, connected", status: v1.Connected, routers: true, rule: fence, code: "host-not-disconnected"},
		{name: "fenced, not reached yet", status: v1.Connecting, rule: fence, code: "host-not-disconnected"},
		{name: "another action", status: v1.Disconnected, rule: func(tx *Tx, uuid string) error { _, err := HostAction(tx, uuid, "shoot"); return err }, code: "unknown-action"},
		{name: "left behind without a fence", status: v1.Connected, rule: func(tx *Tx, uuid string) error { return LeaveBehind(tx, uuid, "r") }, code: "host-not-fenced"},
		{name: "back", status: v1.Disconnected, fenced: true, rule: func(tx *Tx, uuid string) error { return ReturnHost(tx, uuid, nil) }, state: v1.Enabled},
		{name: "deleted with routers", status: v1.Connected, routers: true, rule: DeleteHost, code: "host-in-use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.routers {
				w.placed()
			}
			if c.fenced {
				w.put(w.host, v1.Disconnected)
				w.ok(fence(w.tx, w.host))
			}
			w.put(w.host, c.status)
			err := c.rule(w.tx, w.host)
			if c.code != "" {
				w.refused(c.code, err)
				return
			}
			w.ok(err)
			if h := Get[v1.Host](w.tx.View, w.host); h.State != c.state || h.Fenced != c.isFenced {
				t.Errorf("host is %+v", h)
			}
			w.clean()
		})
	}
}

func fence(tx *Tx, uuid string) error { _, err := HostAction(tx, uuid, "fence"); return err }

// A drained host's routers are destroyed only where no other host takes them.
func TestDrainDestroysWhatCannotMove(t *testing.T) {
	for _, second := range []bool{false, true} {
		w := newWorld(t)
		if second {
			w.addHost("second", w.cluster)
		}
		r := w.placed()
		w.ok(DrainHost(w.tx, w.host))
		if got := Get[v1.VirtualRouter](w.tx.View, r.UUID).WantedState; (got == v1.StateRunning) != second {
			t.Errorf("another host %t: router is wanted %s", second, got)
		}
		w.clean()
	}
}

// A fence holds until all that was left behind is removed.
func TestFenceEndsWhenAllIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.put(w.host, v1.Disconnected)
	w.ok(fence(w.tx, w.host))
	for _, r := range []string{"a", "b", "a"} {
		w.ok(LeaveBehind(w.tx, w.host, r))
	}
	w.ok(ReturnHost(w.tx, w.host, []string{"a"}))
	if h := Get[v1.Host](w.tx.View, w.host); !h.Fenced || !slices.Equal(h.LeftBehind, []string{"b"}) {
		t.Fatalf("host is %+v", h)
	}
	w.ok(ReturnHost(w.tx, w.host, []string{"b"}))
	if h := Get[v1.Host](w.tx.View, w.host); h.Fenced || len(h.LeftBehind) != 0 {
		t.Fatalf("host is %+v", h)
	}
	w.clean()
}
