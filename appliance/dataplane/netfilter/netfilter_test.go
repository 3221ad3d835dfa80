package netfilter

import (
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

// TestTheKernelTakesTheTable, all of it, and what is read back is what was
// written. It needs no program, so that it runs on any kernel.
func TestTheKernelTakesTheTable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, w := range []dataplane.Want{kerneltest.WantWays(), kerneltest.WantMany(1100)} {
		taken(t, w)
	}
}

func taken(t *testing.T, w dataplane.Want) {
	want := dataplane.Render(w)
	step := dataplane.SetMappings{Rebuild: true, Chains: map[string][]string{}, Del: dataplane.NewElements(), Add: want.Mappings}
	for id, rules := range want.Chains {
		if id.Table == dataplane.TableName {
			step.Chains[id.Chain] = rules
		}
	}
	if err := (&Door{}).SetMappings(t.Context(), step); err != nil {
		t.Fatal(err)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	var have dataplane.State
	if err := observeMappings(c, &have); err != nil || !have.Layout {
		t.Fatalf("layout stands: %t (%v)", have.Layout, err)
	}
	if have.Mappings.String() != want.Mappings.String() {
		t.Errorf("read\n%.2000s, written\n%.2000s", have.Mappings, want.Mappings)
	}
	for name, rules := range step.Chains {
		if is := have.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: name}]; !slices.Equal(is, rules) {
			t.Errorf("chain %s read %q, written %q", name, is, rules)
		}
	}
}
