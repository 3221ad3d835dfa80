package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence   = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	refusal = regexp.MustCompile(`^(sluice .*) # refused: ([a-z0-9-]+)$`)
)

// script makes a script of a guide: its commands one after the other, and its
// files, which their first line names.
func scriptOf(t *testing.T, guide string) (script string, commands int) {
	t.Helper()
	var files strings.Builder
	for _, m := range fence.FindAllStringSubmatch(guide, -1) {
		language, text := m[1], m[2]
		if language == "yaml" {
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
			fmt.Fprintf(&files, "-- %s --\n%s", name, text)
			continue
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			commands++
			if m := refusal.FindStringSubmatch(line); m != nil {
				script += "! " + m[1] + "\nstderr '\\(" + m[2] + "\\)'\n"
				continue
			}
			if !strings.HasPrefix(line, "sluice ") {
				t.Errorf("%q is no command of sluice", line)
			}
			script += line + "\n"
		}
	}
	return script + "cmp stdout nothing\n" + files.String() + "-- nothing --\n[]\n", commands
}

// The guide's commands do what it says, in their order, and leave nothing.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	script, commands := scriptOf(t, string(guide))
	if commands < 40 {
		t.Errorf("only %d commands were found", commands)
	}
	sound, err := os.ReadFile(filepath.Join("testdata", "doctor.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, facts, _ := strings.Cut(string(sound), "-- sound.json --\n")
	facts, _, _ = strings.Cut(facts, "-- broken.json")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "guide.txtar"), script+"-- facts.json --\n"+facts)
	runScripts(t, dir, false)
}
