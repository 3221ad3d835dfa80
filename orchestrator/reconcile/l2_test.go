package reconcile

import (
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

func (s *site) l2(uuid string) *v1.L2Network { return model.Get[v1.L2Network](s.store.View(), uuid) }

func TestAttachFailsOnTheSecondHost(t *testing.T) {
	s := newSite(t, 2, 0)
	l2 := s.addL2("extra", "eth7")
	s.l2s.failAt = s.l2s.realized + 2
	err := s.r.AttachL2(t.Context(), l2, s.cluster)
	if v1.Code(err) != "l2-realize-failed" || !strings.Contains(err.Error(), "on host host") || !strings.Contains(err.Error(), "eth7") {
		t.Fatalf("got %v", err)
	}
	if s.l2s.has("br_eth7") {
		t.Error("the first host's bridge is left")
	}
	if got := s.l2(l2); len(got.AttachedClusterUUIDs)+len(got.Realizations) != 0 {
		t.Errorf("stored %+v", got)
	}
	must(t, 0, s.r.AttachL2(t.Context(), l2, s.cluster))
	must(t, 0, s.r.AttachL2(t.Context(), l2, s.cluster)) // again is fine
	if got := s.l2(l2); len(got.Realizations) != 2 || !s.l2s.has("br_eth7") {
		t.Errorf("stored %+v", got)
	}
}

func TestDetachAndDeleteRemoveTheBridge(t *testing.T) {
	s := newSite(t, 1, 0)
	for name, remove := range map[string]func(l2 string) error{
		"detach": func(l2 string) error { return s.r.DetachL2(s.t.Context(), l2, s.cluster) },
		"delete": func(l2 string) error { return s.r.DeleteL2(s.t.Context(), l2) },
	} {
		l2 := s.addL2(name, "eth7")
		must(t, 0, s.r.AttachL2(t.Context(), l2, s.cluster))
		for range 2 {
			if err := remove(l2); err != nil || s.l2s.has("br_eth7") {
				t.Errorf("%s: %v, bridge %t", name, err, s.l2s.has("br_eth7"))
			}
		}
	}
}

// Two clusters on one machine share a bridge: the last one out removes it.
func TestDetachFromOneOfTwoClustersKeepsTheBridge(t *testing.T) {
	s := newSite(t, 1, 0)
	second := s.addCluster("second")
	must(t, 0, s.r.WaitHost(t.Context(), s.addHost("host1", second)))
	l2, twin := s.addL2("shared", "eth7"), s.addL2("twin", "eth8")
	for _, cluster := range []string{s.cluster, second} {
		must(t, 0, s.r.AttachL2(t.Context(), l2, cluster))
	}
	must(t, 0, s.r.DetachL2(t.Context(), l2, s.cluster))
	if !s.l2s.has("br_eth7") || len(s.l2(l2).Realizations) != 1 {
		t.Fatalf("bridge %t, %+v", s.l2s.has("br_eth7"), s.l2(l2))
	}
	// Another network on the same interface, in the other cluster, has the same bridge.
	other := s.addL2("other", "eth7")
	must(t, 0, s.r.AttachL2(t.Context(), other, s.cluster))
	must(t, 0, s.r.DetachL2(t.Context(), l2, second))
	if !s.l2s.has("br_eth7") {
		t.Error("the other network's bridge was removed")
	}
	must(t, 0, s.r.DeleteL2(t.Context(), other))
	if s.l2s.has("br_eth7") {
		t.Error("nobody's bridge is left")
	}
	must(t, 0, s.r.DeleteL2(t.Context(), twin)) // attached nowhere
}

func TestDetachMovesOrDestroysRouters(t *testing.T) {
	s := newSite(t, 1, 1)
	s.serve(s.vms[0])
	second := s.addCluster("second")
	must(t, 0, s.r.WaitHost(t.Context(), s.addHost("host1", second)))
	for _, l2 := range []string{s.mgmtL2, s.publicL2, s.guestL2} {
		must(t, 0, s.r.AttachL2(t.Context(), l2, second))
	}
	must(t, 0, s.r.DetachL2(t.Context(), s.guestL2, s.cluster))
	s.eventually("router moved", func() bool { return s.router().HostUUID == s.hosts[1] })
	s.served()
	s.tidy()
	must(t, 0, s.r.DetachL2(t.Context(), s.guestL2, second))
	s.gone()
}

func TestHostThatConnectsLaterIsBroughtUpToDate(t *testing.T) {
	s := newSite(t, 1, 0)
	must(t, 0, s.r.WaitHost(t.Context(), s.addHost("late", s.cluster)))
	for _, l2 := range []string{s.mgmtL2, s.publicL2, s.guestL2} {
		if got := s.l2(l2).Realizations; len(got) != 2 {
			t.Errorf("realizations %+v", got)
		}
	}
}
