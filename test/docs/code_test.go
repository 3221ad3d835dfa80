package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// serverCommand has the flags of `sluice server`, read from its source: it
// belongs to a program, which cannot be imported.
func serverCommand(t *testing.T) *cobra.Command {
	t.Helper()
	const source = root + "/orchestrator/cmd/sluice/server.go"
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{Use: "server", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 4 {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		name, isText := call.Args[1].(*ast.BasicLit)
		if ok && isText && strings.HasSuffix(f.Sel.Name, "Var") {
			cmd.Flags().String(strings.Trim(name.Value, `"`), "", "")
		}
		return true
	})
	if cmd.Flags().Lookup("data-dir") == nil {
		t.Fatalf("%s: its flags were not found", source)
	}
	return cmd
}

// named are commands that a message tells its reader to use.
var named = regexp.MustCompile("`sluice ([^`]*)`|(?m:^ +bin/sluice ([a-z].*?)(?:   |$))")

// What messages in the code tell their reader to run has to exist. Only nouns
// and verbs are looked at: arguments are often left out.
func TestCommandsInMessagesExist(t *testing.T) {
	found := 0
	for _, side := range []string{"api", "appliance", "hack", "imagebuild", "orchestrator"} {
		err := filepath.WalkDir(filepath.Join(root, side), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
				return err
			}
			found += checkMessages(t, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found in messages: are they still looked for rightly?", found)
	}
}

func checkMessages(t *testing.T, p string) (found int) {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, p, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			found++
			if complaint := unknown(t, strings.Fields(m[1]+m[2])); complaint != "" {
				t.Errorf("%s: `sluice %s%s`: %s", set.Position(lit.Pos()), m[1], m[2], complaint)
			}
		}
		return true
	})
	return found
}

func unknown(t *testing.T, words []string) string {
	t.Helper()
	for i, word := range words {
		if strings.HasPrefix(word, "%") && i == 0 { // a noun that the message fills in
			words[i] = "zone"
		}
	}
	cmd, rest, err := cli.Command("", serverCommand(t), cli.RestoreCommand(nowhere), cli.DoctorCommand(nothing)).Find(words)
	switch {
	case err != nil:
		return err.Error()
	case cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
		return strconv.Quote(rest[0]) + " is not known"
	}
	return ""
}
