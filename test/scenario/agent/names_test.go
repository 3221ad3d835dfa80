package agent_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/agentlink/agentlinktest"
)

// visible is how long after the call that says so a name may take to be answered.
const visible = 100 * time.Millisecond

// with is the world's content with more names.
func (w *world) with(records ...agentv1.DNSRecord) agentv1.Content {
	c := w.content(1)
	c.DNS[0].Records = append(c.DNS[0].Records, records...)
	c.Sort()
	return c
}

func (w *world) dig(name string) []string {
	w.t.Helper()
	got := strings.Fields(in(w.t, w.client, "dig +short +time=2 @10.77.0.1 "+name))
	slices.Sort(got)
	return got
}

// TestNamesFollowChanges: the guest's first question after the call is answered
// by what the call said, and the fastest of ten, question and all, is there in
// time: what else the machine does is in the others. Names that clash are both
// answered, and the status says so as long as they do.
func TestNamesFollowChanges(t *testing.T) {
	w, link, at := enrolled(t)
	was := agentlinktest.Spec(at.RouterUUID, 1, 1, w.with())
	push(t, link, at, 1, was.Content)
	w.guestIsServed()
	change := func(c agentv1.Content) agentv1.RouterStatus {
		t.Helper()
		is := agentlinktest.Spec(at.RouterUUID, was.Generation+1, 1, c)
		s, err := link.PushChange(deadline(t), at, agentlinktest.Change(t, was, is))
		if err != nil || s.AppliedGeneration != is.Generation {
			t.Fatalf("%v, %+v", err, s.Services)
		}
		was = is
		return s
	}
	least := time.Hour
	for i := range 10 {
		ip := netip.AddrFrom4([4]byte{10, 77, 0, byte(100 + i)})
		began := time.Now()
		change(w.with(agentv1.DNSRecord{Name: "new", IP: ip}))
		if got := w.dig("new.guest.test"); !slices.Equal(got, []string{ip.String()}) {
			t.Fatalf("new.guest.test is %v, want %v", got, ip)
		}
		least = min(least, time.Since(began))
	}
	if t.Logf("visible after %v", least); least > visible {
		t.Errorf("a name was visible after %v at best", least)
	}
	if got := w.dig("-x 10.77.0.108"); len(got) > 0 {
		t.Errorf("an address that was given up is still %v", got)
	}
	s := change(w.with(agentv1.DNSRecord{Name: "web", IP: netip.MustParseAddr("10.77.0.99")}))
	if got := w.dig("web.guest.test"); !slices.Equal(got, []string{clientIP, "10.77.0.99"}) {
		t.Errorf("names that clash: %v", got)
	}
	if !slices.ContainsFunc(s.Warnings, func(s string) bool { return strings.Contains(s, `name "web"`) && strings.Contains(s, "10.77.0.99") }) {
		t.Errorf("warnings %q", s.Warnings)
	}
	if s = change(w.with()); len(s.Warnings) > 0 {
		t.Errorf("the clash has ended: %q", s.Warnings)
	}
}

// TestClashIsAnEvent: in the stream of a router that runs from a file.
func TestClashIsAnEvent(t *testing.T) {
	w := newWorld(t)
	spec := filepath.Join(t.TempDir(), "spec.json")
	w.writeSpec(spec, w.with(agentv1.DNSRecord{Name: "WEB", IP: netip.MustParseAddr("10.77.0.99")}))
	p := startIn(t, w.router, binary, "run", "--spec", spec, "--listen", "127.0.0.1:7080")
	p.await("sluice-agent: ready router=r-file", 1)
	events := startIn(t, w.router, "curl", "-sSN", "-H", "Last-Event-ID: 0", "http://127.0.0.1:7080/v1/events")
	events.await(`"type":"name-clash",`, 1)
	w.writeSpec(spec, w.with())
	events.await(`"type":"name-clash-ended",`, 1)
}
