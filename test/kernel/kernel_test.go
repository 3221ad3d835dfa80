package kernel

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/imagebuild"
)

// TestL2Networks runs the suites of L2 networks with VLANs.
func TestL2Networks(t *testing.T) {
	passes(t, Guest{Modules: "veth bridge 8021q"}, map[string]int{
		"TestType/the_host_keeps_its_address_and_its_routes": 2, "TestType/what_was_damaged_is_seen_and_mended": 2,
		"TestFramesStayApart": 1, "TestInterfaceReplaced": 1,
	}, "orchestrator/hostnet/novlan", "orchestrator/hostnet/vlan")
}

// TestPacketFilter has Debian's kernel take the router's table.
func TestPacketFilter(t *testing.T) {
	passes(t, Guest{Modules: "nf_tables nft_ct nft_nat nft_chain_nat nft_limit nft_fib_ipv4"},
		map[string]int{"TestTheKernelTakesTheTable": 1}, "appliance/dataplane/netfilter")
}

// TestConnections has Debian's kernel, which cannot delete by a part of a tuple,
// end connections by what it lists.
func TestConnections(t *testing.T) {
	passes(t, Guest{Modules: "nf_conntrack nf_conntrack_netlink"}, map[string]int{"TestEnd": 1}, "appliance/dataplane/nl")
}

// TestFlowtables has the data plane use the fast path of Debian's kernel.
func TestFlowtables(t *testing.T) {
	passes(t, Flowtables("-test.run='Flowtable|AsNftPrints'"), map[string]int{
		"TestFlowtable": 1, "TestFlowtableRevokes": 1, "TestFlowtableKeepsCounts": 1, "TestFlowtableStopsForgers": 1,
		"TestFlowtableComesAndGoes": 1, "TestFlowtableCarriesTCP": 1, "TestFlowtableKnowsWays": 1, "TestRulesAreAsNftPrintsThem": 1,
	}, "appliance/dataplane/kernel")
}

// TestNATByPackets has the routers' own kernel carry the packets of what a whole
// router's story does not show. Left out is what needs traceroute, and floods
// that an emulated machine cannot send.
func TestNATByPackets(t *testing.T) {
	if os.Getenv("SLUICE_VM") != "all" {
		t.Skip("takes an emulated guest for 80 s: run by `make vm-test`")
	}
	tests := []string{
		"TestSeveralWaysOut", "TestPathMTU", "TestSegmentSizeIsClamped", "TestNoHelperOpensPorts", "TestMulticastStays", "TestFragments",
		"TestForgedAndUntranslatedSources", "TestNobodyGetsPastTheMappings", "TestNothingReachesTheOldGuest", "TestRemovedMappingsEndTheirFlows",
	}
	want := map[string]int{}
	for _, test := range tests {
		want[test] = 1
	}
	g := Flowtables("-test.run='^(" + strings.Join(tests, "|") + ")$'")
	g.Modules += " bridge dummy"
	passes(t, g, want, "test/scenario/nat")
}

// passes runs packages' tests in a guest; want is how often each has to pass.
func passes(t *testing.T, g Guest, want map[string]int, packages ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: apt's package cache")
	}
	for _, tool := range Needs {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool, ": make setup installs it")
		}
	}
	console, took, err := g.Run(t.Context(), t.TempDir(), packages...)
	t.Logf("guest took %.1fs:\n%s", took.Seconds(), console)
	if err != nil {
		t.Fatal(err)
	}
	for test, times := range want {
		if got := strings.Count(console, "--- PASS: "+test+" "); got != times {
			t.Errorf("%s passed %d times, want %d", test, got, times)
		}
	}
	if strings.Contains(console, "--- SKIP") || !strings.Contains(console, imagebuild.PayloadDone+"0\n") {
		t.Error("something failed or was skipped in the guest")
	}
}
