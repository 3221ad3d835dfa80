package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// promises are what administrators are promised of the model, the API and the
// packets, each with the tests that hold it: folder and name, and under that what of it. Who
// changes a rule finds here what has to change with it.
var promises = []struct {
	promise string
	tests   []string
}{
	// Everywhere.
	{"deleting what does not exist succeeds", []string{"orchestrator/model.TestDeletingWhatIsMissingSucceeds", "orchestrator/httpapi.TestEveryKind"}},
	{"what was refused left nothing behind; one owner an address; used and free make the total; nothing names what is gone", []string{"orchestrator/model.TestRandomOperations", "orchestrator/model.TestCheckFindsBreaches", "test/fleet.TestExactAllocation"}},
	{"nothing that a user types reaches XML, iptables or a file name", []string{"orchestrator/httpapi.TestHostileValues", "orchestrator/httpapi.TestHostileBodies", "api/v1.TestValidateNames"}},
	{"wanted and observed never share a field", []string{"orchestrator/plan.TestNext", "orchestrator/plan.TestNextConverges"}},
	// Places and L2 networks.
	{"zones, clusters and hosts are not deleted with what is in them", []string{"orchestrator/model.TestPlacesRefused"}},
	{"hosts connect when their L2 networks are real; Maintenance and delete move routers first", []string{"orchestrator/reconcile.TestHostThatConnectsLaterIsBroughtUpToDate", "orchestrator/reconcile.TestMaintenanceMovesTheRouter", "orchestrator/reconcile.TestDeleteHostMovesRouters", "test/vm.TestRoutersMoveAndAreFenced"}},
	{"a host that is lost is left only by the administrator's word, and cleaned when it is back", []string{"orchestrator/reconcile.TestFencedHost", "orchestrator/model.TestFenceEndsWhenAllIsRemoved", "test/vm.TestRoutersMoveAndAreFenced"}},
	{"an attachment is on all hosts or on none", []string{"orchestrator/reconcile.TestAttachFailsOnTheSecondHost", "orchestrator/model.TestL2Refused", "orchestrator/model.TestVlansShareAnInterface"}},
	{"detaching moves routers or destroys them, and removes bridges", []string{"orchestrator/reconcile.TestDetachMovesOrDestroysRouters", "orchestrator/reconcile.TestDetachAndDeleteRemoveTheBridge", "orchestrator/model.TestDeleteL2Cascades"}},
	{"the host's own address moves to the bridge and back", []string{"orchestrator/hostnet/novlan.TestType", "orchestrator/hostnet/vlan.TestType"}},
	// L3 networks.
	{"ranges are checked, alone, against their neighbours and against routers", []string{"orchestrator/model.TestAddIPRangeRefused", "orchestrator/model.TestAddIPRangeByCIDR", "orchestrator/model.TestNeighbours", "orchestrator/model.TestRangeOverlapsNetworkOfOffering"}},
	{"name servers keep their order", []string{"orchestrator/model.TestDNSKeepsItsOrder", "orchestrator/services/dns.TestContribute"}},
	{"a network has DNS names of its own", []string{"orchestrator/model.TestDNSRecords", "orchestrator/services/dns.TestRecordsOfTheNetwork", "orchestrator/cli.TestScripts"}},
	{"reserved addresses are not handed out; capacity and strategies", []string{"orchestrator/model.TestCapacityAndReserved", "orchestrator/model.TestStrategies", "orchestrator/model.TestDelayedRecycling", "orchestrator/plan/ipam.TestFreeAgainstEveryAddress"}},
	{"deleting a range takes what holds its addresses, and moves routers", []string{"orchestrator/model.TestDeleteIPRange"}},
	{"routers reach orchestrators off the management subnet by its host routes", []string{"orchestrator/model.TestManagementRoutes", "orchestrator/plan.TestBootstrapText", "appliance/services/interfaces.TestPlan", "appliance/dataplane/kernel.TestKernelConforms"}},
	// Services and offerings.
	{"services need a provider and each other; those in use are refused or cascade", []string{"orchestrator/model.TestServicesRefused", "orchestrator/model.TestDetachServicesCascades", "orchestrator/plan.TestAnotherProvider"}},
	{"an offering is checked; one default a zone; which one a guest network gets", []string{"orchestrator/model.TestOfferingsRefused", "orchestrator/model.TestDefaultOffering", "orchestrator/plan/offering.TestChoose"}},
	// Routers.
	{"one router a guest network, however many guests start on however many orchestrators", []string{"orchestrator/reconcile.TestManyGuestsAtOnceOnTwoOrchestrators", "test/vm.TestManyGuestsOneRouter", "test/vm.TestTwoServers"}},
	{"its nics by kind of network; the gateway with SNAT", []string{"orchestrator/model.TestRouterNicsByKindOfNetwork", "orchestrator/model.TestEnsureRouterPlansEverything"}},
	{"addresses and MACs are stored before the first effect and kept over rebuilds", []string{"orchestrator/reconcile.TestCrashAtEachBoundary", "orchestrator/reconcile.TestLostRoutersAreRebuilt", "orchestrator/reconcile.TestRebootedRouterEndsByItself"}},
	{"an address that answers ARP is skipped and reported, the gateway reported only", []string{"orchestrator/hostnet/arp.TestWhoHas", "orchestrator/reconcile.TestRouterSkipsAddressesOfStrangers", "orchestrator/reconcile.TestStrangerHasTheGateway", "orchestrator/reconcile.TestVIPsOfStrangers", "test/vm.TestStrangersOnTheWire"}},
	{"stop, start, reboot, reconnect, rebuild, destroy", []string{"orchestrator/reconcile.TestRouterActions", "orchestrator/model.TestRouterLife", "orchestrator/reconcile.TestRebootedRouterEndsByItself"}},
	{"deleting one of its networks destroys it", []string{"orchestrator/model.TestDeletingItsNetworksDestroysARouter", "orchestrator/reconcile.TestDeletingTakesEverything"}},
	{"every failure names its stage", []string{"orchestrator/reconcile.TestEveryFailureNamesItsStageAndIsOvercome"}},
	// Guests.
	{"VMs are checked, and get what they ask for", []string{"orchestrator/model.TestCreateVMRefused", "orchestrator/model.TestCreateVMHonoursWhatIsAskedFor", "orchestrator/model.TestAddNic"}},
	{"a nic has static routes of its own, the default route on the default nic", []string{"orchestrator/model.TestStaticRoutes", "orchestrator/model.TestDefaultRouteStaysOnDefaultNic", "orchestrator/services/dhcp.TestStaticRoutesOfANic"}},
	{"a start has waited for the router", []string{"orchestrator/httpapi.TestVMStartWaitsForItsRouter"}},
	{"domains started outside are noticed", []string{"orchestrator/reconcile.TestDomainStartedOutsideIsServed", "test/vm.TestDomainStartedByVirsh"}},
	{"<interface> elements for virsh", []string{"orchestrator/httpapi.TestLibvirtXML"}},
	// VIPs, EIPs, port forwarding.
	{"what is refused of VIPs, EIPs and rules", []string{"orchestrator/model.TestVIPsRefused", "orchestrator/model.TestEIPsRefused", "orchestrator/model.TestRulesRefused"}},
	{"candidates are what attach accepts", []string{"orchestrator/model.TestRandomOperations", "orchestrator/model.TestCandidates"}},
	{"a VIP is on a router only while something uses it", []string{"orchestrator/services/eip.TestContribute", "orchestrator/services/portforwarding.TestContribute"}},
	// Packets: translated, let through, dropped. TestStory has most of it once
	// more, in virtual machines.
	{"guests leave by SNAT, with one public address or several, until it is disabled", []string{"test/scenario/nat.TestSourceNAT", "test/scenario/nat.TestSourceNATWithSeveralAddresses", "test/scenario/nat.TestSourceNATDisabledLive", "test/vm.TestStory"}},
	{"an EIP leads in, out and back in from everywhere; it moves, follows its guest's address, and goes with a stopped guest; of several the oldest leads out", []string{"test/scenario/nat.TestElasticIP", "test/scenario/nat.TestElasticIPFollowsItsGuest", "test/scenario/nat.TestMovedMappings", "test/vm.TestStory"}},
	{"ports are forwarded one to one, TCP and UDP apart, to allowed sources, also of the router's own address and for guests", []string{"test/scenario/nat.TestPortForwarding", "test/vm.TestStory"}},
	{"a VIP appears with its first use and goes with the last", []string{"test/scenario/nat.TestAddressAppearsWithItsFirstUse"}},
	{"replies leave by the nic that was asked", []string{"test/scenario/nat.TestSeveralWaysOut", "test/scenario/nat.TestWaysAreAsTraced"}},
	{"segments are clamped; large downloads complete through smaller MTUs; fragments pass", []string{"test/scenario/nat.TestSegmentSizeIsClamped", "test/scenario/nat.TestPathMTU", "test/scenario/nat.TestFragments"}},
	{"ICMP errors reach whom they concern; traceroute and ping work", []string{"test/scenario/nat.TestErrorsFindWhomTheyConcern", "test/scenario/nat.TestEcho", "test/vm.TestStory"}},
	{"no helper opens ports; multicast is left alone", []string{"test/scenario/nat.TestNoHelperOpensPorts", "test/scenario/nat.TestMulticastStays"}},
	{"forged sources are dropped; routing at the router reaches no guest; management is apart; scans find what was promised", []string{"test/scenario/nat.TestForgedAndUntranslatedSources", "test/scenario/nat.TestNobodyGetsPastTheMappings", "test/scenario/nat.TestScan", "test/scenario/nat.TestWhatGotOutUntranslatedStops", "test/vm.TestStory"}},
	{"nothing reaches the old guest once a call has returned, and other flows lose nothing", []string{"test/scenario/nat.TestNothingReachesTheOldGuest", "test/scenario/nat.TestRemovedMappingsEndTheirFlows", "appliance/dataplane.TestAChangeIsTheWhole", "test/vm.TestStory"}},
	{"a change leaves what applying the whole would, is refused as the whole would be, and then changes nothing", []string{"appliance/app.TestAWalkOfChangesIsTheWhole", "appliance/app.TestAnAgentThatIsToldChanges", "appliance/app.TestAChangeIsCheckedAsTheWhole", "appliance/agent.TestAChangeThatIsRefusedChangesNothing", "orchestrator/model.TestDifference"}},
	{"others' rules, addresses and routes stay; ours are healed, and nothing passes meanwhile", []string{"test/scenario/nat.TestStrangersThingsStay", "test/scenario/nat.TestClosedWithoutItsRules", "test/scenario/nat.TestNicsAreHealed", "test/scenario/agent.TestForeignChangesAreHealed"}},
	{"a refused entry of ten thousand is named, and nothing is changed; a change is one transaction", []string{"appliance/dataplane/kernel.TestKernelConforms", "appliance/dataplane/kernel.TestALargeChangeIsOneTransaction"}},
	{"a router is closed before its first spec; equal state writes nothing; flows outlive the agent", []string{"test/scenario/nat.TestClosedBeforeTheFirstSpec", "test/scenario/nat.TestEqualStateWritesNothing", "test/scenario/nat.TestFlowsOutliveTheAgent", "test/scenario/agent.TestKilledAtEachEffect"}},
	{"one guest does not take the table of connections; a SYN flood is survived; ports that run out are counted", []string{"test/scenario/nat.TestOneGuestDoesNotTakeTheTable", "test/scenario/nat.TestSynFloodAtAForwardedPort", "test/scenario/nat.TestPortsThatRunOutAreCounted", "test/scenario/nat.TestAStreamIsNoFlood"}},
	{"traffic is counted for each mapping and nic", []string{"test/scenario/nat.TestTrafficIsCounted", "test/vm.TestStory"}},
	// Tags and quotas.
	{"system tags: known ones, where they belong", []string{"api/v1.TestParseTag", "orchestrator/model.TestTagsComeAndGo", "orchestrator/httpapi.TestSystemTags"}},
	{"commandsParallelismDegree bounds the calls under way at a router", []string{"orchestrator/reconcile.TestCallsAtARouterAreBounded", "orchestrator/reconcile.TestDegreeIsThatOfTheTags"}},
	{"quotas are exact", []string{"orchestrator/httpapi.TestQuotaIsExact"}},
	// The API and the command line.
	{"create, read, list, change, delete of every kind", []string{"orchestrator/httpapi.TestEveryKind", "orchestrator/httpapi.TestListPages", "orchestrator/httpapi.TestListByOtherFields", "orchestrator/httpapi.TestPatchOverHTTP"}},
	{"lists are filtered, sorted and paged by every field, also while rows change; what is not shown is not found", []string{"orchestrator/httpapi.TestEveryFieldOfEveryList", "orchestrator/httpapi.TestListsWhileRowsChange", "orchestrator/httpapi.TestListsHideFromFiltersToo", "orchestrator/httpapi.TestListsOfWhatIsNoResource"}},
	{"a parameter that a call does not have is refused, not left out", []string{"orchestrator/httpapi.TestParametersAreWhatTheySay"}},
	{"?wait holds until routers have it; ?dryRun does nothing", []string{"orchestrator/httpapi.TestChangesSettle", "orchestrator/httpapi.TestDryRunTellsWhatWouldHappen"}},
	{"the same Idempotency-Key has the same answer", []string{"orchestrator/httpapi.TestSameKeySameAnswer", "orchestrator/httpapi.TestCrashBeforeTheAnswerIsNoted"}},
	{"events can be resumed", []string{"orchestrator/httpapi.TestEventsInOrder", "orchestrator/httpapi.TestEventsReset"}},
	{"bodies have bounds; problems have codes that are listed", []string{"orchestrator/httpapi.TestHostileBodies", "orchestrator/httpapi.TestEveryRefusal", "test/docs.TestProblemCodes"}},
	{"HTTPS speaks HTTP/2 too, within the same limits", []string{"orchestrator/httpapi.TestHTTP2", "orchestrator/httpapi.TestRapidReset", "orchestrator/httpapi.TestStreamsAreBounded", "orchestrator/httpapi.TestSlowBodyOverHTTP2", "orchestrator/httpapi.TestEndlessHeaders", "orchestrator/httpapi.TestSlowReaderOverHTTP2"}},
	{"the OpenAPI document is what is served", []string{"orchestrator/httpapi.TestOpenAPI", "orchestrator/httpapi.TestOpenAPIHoldsTogether"}},
	{"who may call what", []string{"orchestrator/httpapi.TestEveryRouteKeepsThePromiseOfTheTable", "orchestrator/httpapi.TestWhoMayCall", "orchestrator/httpapi.TestUnixSocket"}},
	{"each change is on record before it is made; the chain shows what was edited, moved, taken out or cut off, also after old files went", []string{"orchestrator/httpapi.TestEveryChangeIsRecorded", "orchestrator/httpapi.TestNothingIsDoneUnrecorded", "orchestrator/audit.TestCutEnd", "orchestrator/audit.TestRetentionChanges", "orchestrator/httpapi.TestCutEndIsFoundByTheStore"}},
	{"records of several servers on one store can all be seen", []string{"orchestrator/httpapi.TestServersTellOfEachOther", "orchestrator/audit.TestSeveralDirectories", "orchestrator/cli.TestScripts"}},
	{"a backup restores all at one moment, in a directory or an etcd; routers that run are adopted", []string{"orchestrator/store.TestBackupAndRestore", "orchestrator/store.TestRestoreIntoEtcd", "test/fault.TestRestoreElsewhere", "test/vm.TestRestoreAdoptsRunningRouters"}},
	{"a VIP is stored once, after its wire was asked", []string{"orchestrator/httpapi.TestVIPIsStoredOnce", "orchestrator/reconcile.TestAddressesOfNewVIPsAreOfferedOnce"}},
	{"every verb of the command line, apply, export, exit codes, completion", []string{"orchestrator/cli.TestScripts", "orchestrator/cli.TestEveryKindIsANoun", "orchestrator/cli.TestListWatch", "orchestrator/cli.TestGuide"}},
}

// TestPromisesAreHeld: each promise has tests, and they exist.
func TestPromisesAreHeld(t *testing.T) {
	for _, p := range promises {
		if len(p.tests) == 0 {
			t.Errorf("%s: no test", p.promise)
		}
		for _, test := range p.tests {
			at := strings.LastIndex(test, ".")
			if !testNames(t, test[:at])[test[at+1:]] {
				t.Errorf("%s: there is no %s", p.promise, test)
			}
		}
	}
}

var namesByFolder = map[string]map[string]bool{}

// testNames are the tests of a folder.
func testNames(t *testing.T, folder string) map[string]bool {
	t.Helper()
	if names, ok := namesByFolder[folder]; ok {
		return names
	}
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				names[f.Name.Name] = true
			}
		}
	}
	namesByFolder[folder] = names
	return names
}
