// Package docs holds what is written for people against what is there: every
// command that a document shows is tried as far as its words go, every path and
// make target it names has to exist, every topology has to be one.
package docs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/backup"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
	"github.com/sluice-nfv/sluice/orchestrator/doctor"
)

const root = "../.."

// documents are those that introduce the project.
var documents = []string{"README.md", "ARCHITECTURE.md"}

func load(t *testing.T, name string) document {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatalf("%s has to be there: %v", name, err)
	}
	d, err := parse(name, string(b))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// loadAll also has the short ones that lie beside the code.
func loadAll(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, name := range documents {
		all = append(all, load(t, name))
	}
	for _, side := range []string{"api", "appliance", "hack", "imagebuild", "orchestrator", "test"} {
		err := filepath.WalkDir(filepath.Join(root, side), func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(p) != ".md" {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err == nil {
				all = append(all, load(t, rel))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestCommandsAreUnderstood(t *testing.T) {
	for _, d := range loadAll(t) {
		commands := d.commands("sluice")
		if d.name == "README.md" && len(commands) == 0 {
			t.Errorf("%s shows no command of sluice", d.name)
		}
		for _, c := range commands {
			if complaint := refused(t, c.words[1:]); complaint != "" {
				t.Errorf("%s:%d: `%s`: %s", d.name, c.line, strings.Join(c.words, " "), complaint)
			}
		}
	}
}

// nowhere is where nothing is restored.
func nowhere(context.Context, cli.RestoreTarget, io.ReadSeeker) (backup.Info, error) {
	return backup.Info{}, nil
}

// nothing is what a doctor finds on no machine.
func nothing(context.Context, *doctor.Facts) {}

// refused runs a command line without a server. Whatever is right about its
// words fails for want of one, with another exit code.
func refused(t *testing.T, words []string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	args := slices.Concat(words, []string{"--server", "unix:///nowhere/sluice.sock"})
	if code := cli.Main(context.Background(), "", args, &out, &errOut, serverCommand(t), cli.RestoreCommand(nowhere), cli.DoctorCommand(nothing)); code == 2 {
		return strings.TrimSpace(errOut.String())
	}
	return ""
}

func TestTopologiesAreUnderstood(t *testing.T) {
	for _, d := range loadAll(t) {
		found := 0
		for _, f := range d.fences {
			if f.language != "yaml" && f.language != "yml" {
				continue
			}
			found++
			if err := cli.CheckTopology([]byte(f.text())); err != nil {
				t.Errorf("%s:%d: the YAML block is no topology: %v (lines are counted within it)", d.name, f.line, err)
			}
		}
		if d.name == "README.md" && found == 0 {
			t.Errorf("%s shows no topology", d.name)
		}
	}
	const demo = "hack/demo/topology.yaml"
	b, err := os.ReadFile(filepath.Join(root, demo))
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.CheckTopology(b); err != nil {
		t.Errorf("%s: %v", demo, err)
	}
}

func TestMakeTargetsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Za-z0-9_-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	for _, d := range loadAll(t) {
		commands := d.commands("make")
		if d.name == "README.md" && len(commands) == 0 {
			t.Errorf("%s shows no make target", d.name)
		}
		for _, c := range commands {
			for _, word := range c.words[1:] {
				if !strings.Contains(word, "=") && !strings.HasPrefix(word, "-") && !targets[word] {
					t.Errorf("%s:%d: `make %s`: the Makefile has no target %s", d.name, c.line, word, word)
				}
			}
		}
	}
}

var repoPath = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._*-]+)+/?$|^[A-Za-z0-9_-]+\.(go|md|sh|yaml|mod)$`)

func TestPathsExist(t *testing.T) {
	for _, name := range documents {
		d := load(t, name)
		found := 0
		for _, s := range d.spans {
			if !s.folder && !repoPath.MatchString(s.text) {
				continue
			}
			found++
			if err := exists(s.text); err != nil {
				t.Errorf("%s:%d: `%s`: %v", d.name, s.line, s.text, err)
			}
		}
		for _, link := range d.links {
			if err := exists(link.text); err != nil {
				t.Errorf("%s:%d: link to %s: %v", d.name, link.line, link.text, err)
			}
		}
		if name == "ARCHITECTURE.md" && found < 10 {
			t.Errorf("%s names %d paths only: is the table of folders still read?", name, found)
		}
	}
}

// exists also takes what the build makes: bin/NAME is the command NAME.
func exists(p string) error {
	if name, ok := strings.CutPrefix(p, "bin/"); ok {
		for _, pattern := range []string{"*/cmd/" + name, "hack/" + name} {
			if found, _ := filepath.Glob(filepath.Join(root, pattern)); len(found) > 0 {
				return nil
			}
		}
		return errors.New("the build makes no such program")
	}
	found, err := filepath.Glob(filepath.Join(root, path.Clean(p)))
	if err == nil && len(found) == 0 {
		err = errors.New("there is no such path in the repository")
	}
	return err
}

// The tests above find something: mistakes of every sort are mistakes to them.
func TestMistakesAreFound(t *testing.T) {
	for _, line := range []string{
		"sluice gadget list", "sluice zone explode", "sluice zone list --colour red", "sluice zone show", "sluice cluster create c",
		"sluice l3-network attach-services guest magic", "sluice server --nothing", "sluice server now", "sluice zone list -o csv",
	} {
		d, err := parse("x.md", "text\n```sh\n$ "+line+" # why\n```\n")
		if err != nil {
			t.Fatal(err)
		}
		commands := d.commands("sluice")
		if len(commands) != 1 || commands[0].line != 3 || refused(t, commands[0].words[1:]) == "" {
			t.Errorf("`%s` passes: %v", line, commands)
		}
	}
	for _, p := range []string{"orchestrator/nothing", "bin/nothing", "nothing.md"} {
		if exists(p) == nil {
			t.Errorf("%s exists", p)
		}
	}
	if unknown(t, []string{"gadget", "list"}) == "" || unknown(t, []string{"zone", "explode"}) == "" || unknown(t, []string{"%s", "list"}) != "" {
		t.Error("messages are not looked at")
	}
	if _, err := parse("x.md", "```sh\nsluice zone list\n"); err == nil {
		t.Error("an open block passes")
	}
}
