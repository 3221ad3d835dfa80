package imagebuild

import (
	"strings"
	"testing"
)

const (
	testDep = `kernel/a/libcrc.ko:
kernel/a/crc-fast.ko:
kernel/n/nfnetlink.ko:
kernel/n/nf_tables.ko: kernel/n/nfnetlink.ko kernel/a/libcrc.ko
kernel/n/nft_nat.ko: kernel/n/nf_tables.ko kernel/n/nfnetlink.ko kernel/a/libcrc.ko
`
	testSoft    = "# c\nsoftdep libcrc pre: crc-fast crypto-alias\nsoftdep nft_nat post: libcrc\n"
	testBuiltin = "kernel/net/af_packet.ko\n"
)

func TestClosure(t *testing.T) {
	ix := parseModules(testDep, testSoft, testBuiltin)
	got, err := ix.closure([]string{"nft-nat", "af_packet", "nf_tables"})
	if err != nil {
		t.Fatal(err)
	}
	// crc_fast only by the soft dependency; all before who needs them.
	want := "kernel/a/crc-fast.ko kernel/a/libcrc.ko kernel/n/nfnetlink.ko kernel/n/nf_tables.ko kernel/n/nft_nat.ko"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	if _, err := ix.closure([]string{"gone"}); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("unknown module: got %v", err)
	}
}

func TestPlan(t *testing.T) {
	ix := parseModules(testDep, testSoft, testBuiltin)
	got := ix.plan([]string{"kernel/n/nfnetlink.ko", "kernel/a/libcrc.ko"})
	want := "libcrc kernel/a/crc-fast.ko kernel/a/libcrc.ko\nnfnetlink kernel/n/nfnetlink.ko\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoadLists(t *testing.T) {
	ix := parseModules(testDep, testSoft, testBuiltin)
	lists, err := loadLists(ix, ModuleSet{
		Early: []string{"libcrc"}, Drive: []string{"nfnetlink"}, Late: []string{"nf_tables"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Late does not repeat early, but does not rely on drive.
	if got := strings.Join(lists["late"], " "); got != "kernel/n/nfnetlink.ko kernel/n/nf_tables.ko" {
		t.Errorf("late: %s", got)
	}
	if len(lists["power"]) != 0 || len(lists["early"]) != 2 {
		t.Errorf("lists: %v", lists)
	}
}
