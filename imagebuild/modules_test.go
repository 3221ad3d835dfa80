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

func TestLoadLists(t *testing.T) {
	ix := parseModules(testDep, testSoft, testBuiltin)
	lists, err := loadLists(ix, ModuleSet{
		Early: []string{"libcrc"}, Drive: []string{"nfnetlink"}, Filter: []string{"nf_tables"}, Power: []string{"nft_nat"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Filter does not repeat early, but does not rely on drive.
	if got := strings.Join(lists["filter"], " "); got != "kernel/n/nfnetlink.ko kernel/n/nf_tables.ko" {
		t.Errorf("filter: %s", got)
	}
	if got := strings.Join(lists["power"], " "); got != "kernel/n/nft_nat.ko" {
		t.Errorf("power: %s", got)
	}
	if len(lists["early"]) != 2 {
		t.Errorf("lists: %v", lists)
	}
}
