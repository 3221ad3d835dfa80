package dataplane_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// chains of the sluice table.
var (
	fast    = dataplane.ChainID{Table: dataplane.TableName, Chain: "fast"}
	forward = dataplane.ChainID{Table: dataplane.TableName, Chain: "forward"}
)

// A flowtable follows the nics that general SNAT works between, in whatever
// order it comes and goes, and a rule fills it only where it is.
func TestAFlowtableFollowsTheNics(t *testing.T) {
	f := kerneltest.NewFake(map[string]string{"m0": kerneltest.MACs["m0"], "p0": kerneltest.MACs["p0"], "g0": kerneltest.MACs["g0"], "p1": kerneltest.MACs["p1"]})
	plane := dataplane.New(f, nil)
	one, two, none := kerneltest.WantAll(), kerneltest.WantWays(), kerneltest.WantAll()
	none.SNAT = nil
	for i, step := range []struct {
		w     dataplane.Want
		has   bool
		links string
	}{
		{one, false, ""}, {one, true, "g0, p0"}, {two, true, "g0, p0, p1"}, {none, true, ""}, {two, true, "g0, p0, p1"}, {one, true, "g0, p0"}, {one, false, ""},
	} {
		f.Offloading = step.has
		if _, err := plane.Apply(t.Context(), step.w); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		var want []string
		if step.links != "" {
			want = []string{"devices = { " + step.links + " }"}
		}
		if got := f.State.Chains[fast]; !slices.Equal(got, want) || plane.Offloads() != (want != nil) {
			t.Errorf("%d: flowtable %q, want %q; offloads: %t", i, got, want, plane.Offloads())
		}
		filled := slices.ContainsFunc(f.State.Chains[forward], func(r string) bool { return strings.Contains(r, "flow add @fast") })
		if filled != (want != nil) {
			t.Errorf("%d: filled: %t\n%s", i, filled, strings.Join(f.State.Chains[forward], "\n"))
		}
		if r, err := plane.Apply(t.Context(), step.w); err != nil || r.Writes != 0 {
			t.Errorf("%d: applied twice, the second wrote %q (%v)", i, r.Steps, err)
		}
	}
}

// A nic that is gone has taken itself out of the flowtable: what is left is
// replaced, not corrected.
func TestANicGoesWithAFlowtable(t *testing.T) {
	f := kerneltest.NewFake(map[string]string{"m0": kerneltest.MACs["m0"], "p0": kerneltest.MACs["p0"], "g0": kerneltest.MACs["g0"]})
	f.Offloading = true
	plane := dataplane.New(f, nil)
	w := kerneltest.WantAll()
	if _, err := plane.Apply(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	f.State.Chains[fast] = []string{"devices = { p0 }"}
	r, err := plane.Apply(t.Context(), w)
	if got := f.State.Chains[fast]; err != nil || !slices.Equal(got, []string{"devices = { g0, p0 }"}) {
		t.Errorf("flowtable %q after %q (%v)", got, r.Steps, err)
	}
}
