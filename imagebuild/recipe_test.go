package imagebuild

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/recipe.json")

// TestRecipeGolden shows every change of what is in a router in review.
func TestRecipeGolden(t *testing.T) {
	const file = "testdata/recipe.json"
	got, err := json.MarshalIndent(Default(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := writeFile(file, got); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("recipe differs from %s; if that is meant: go test ./imagebuild -run Golden -update", file)
	}
}

// TestRecipeKeepsRules pins what must not get lost in a change of the recipe.
func TestRecipeKeepsRules(t *testing.T) {
	r := Default()
	for _, word := range r.Cmdline {
		if strings.HasPrefix(word, "mitigations=") || word == "nokaslr" || word == "nopti" {
			t.Errorf("command line gives up a protection: %s", word)
		}
	}
	for _, p := range r.Programs {
		if slices.ContainsFunc([]string{"sh", "bash", "dash", "busybox"}, func(s string) bool { return strings.HasSuffix(p.Path, "/"+s) }) {
			t.Errorf("a shell is in the router: %s", p.Path)
		}
	}
	seen := map[string]bool{}
	for _, m := range r.Modules.All() {
		if seen[m] {
			t.Errorf("module %s is named twice", m)
		}
		seen[m] = true
	}
	if got := strings.Join(r.Cmdline[len(r.Cmdline)-2:], " "); got != "-- init" {
		t.Errorf("command line ends in %q: the agent's binary does not know that it is process 1", got)
	}
	for _, m := range []string{"virtio_pci", "virtio_net", "virtio_blk", "isofs"} {
		if !slices.Contains(r.Modules.Early, m) {
			t.Errorf("a router can not start without %s", m)
		}
	}
}
