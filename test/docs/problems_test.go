package docs

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the list of problem codes anew")

const problemsFile = root + "/api/openapi/PROBLEMS.md"

// makers are the functions that make a problem, with the status of what they
// make and which argument is the code.
var makers = map[string]struct {
	status string
	code   int
}{
	"Invalid": {"400", 0}, "Forbidden": {"403", 0}, "Conflict": {"409", 0}, "Refused": {"422", 0}, "Unavailable": {"503", 0}, "Errorf": {"", 1},
}

var statuses = map[string]string{
	"StatusNotFound": "404", "StatusPreconditionFailed": "412", "StatusTooManyRequests": "429", "StatusMethodNotAllowed": "405", "StatusUnauthorized": "401",
	"StatusBadRequest": "400", "StatusInternalServerError": "500", "StatusRequestEntityTooLarge": "413", "StatusConflict": "409", "StatusForbidden": "403",
}

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)+$`)

// problem is what is known of a code: its statuses, and words that it comes with.
type problem struct {
	statuses map[string]bool
	words    string
}

// TestProblemCodes: every code that the API may answer with is listed, and no
// other is.
func TestProblemCodes(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Problem codes\n\nEvery answer that is no success is a problem document (RFC 9457). `code` is stable; the words are for people and may change.\n`NAME-required` stands for each service that another one needs, such as `snat-required`.\n\n| code | status | words |\n|---|---|---|\n")
	known := problems(t)
	for _, code := range slices.Sorted(maps.Keys(known)) {
		p := known[code]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, strings.Join(slices.Sorted(maps.Keys(p.statuses)), ", "), strings.ReplaceAll(p.words, "|", `\|`))
	}
	if len(known) < 100 {
		t.Fatalf("only %d codes found: the list would be one of nothing", len(known))
	}
	if *update {
		if err := os.WriteFile(problemsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(problemsFile)
	if err != nil || codesOf(string(have)) != codesOf(b.String()) {
		t.Errorf("%s is not up to date (%v): go test ./test/docs -run TestProblemCodes -update", problemsFile, err)
	}
}

// codesOf is the list without its words, which may lag behind.
func codesOf(list string) string {
	var codes []string
	for line := range strings.Lines(list) {
		if cells := strings.SplitN(line, "|", 4); len(cells) == 4 {
			codes = append(codes, cells[1]+cells[2])
		}
	}
	return strings.Join(codes, "\n")
}

func problems(t *testing.T) map[string]problem {
	t.Helper()
	known := map[string]problem{"not-found": {map[string]bool{"404": true}, "KIND UUID does not exist"}}
	for _, folder := range []string{"api/v1", "orchestrator"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					noteProblem(known, call)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return known
}

// noteProblem takes up a call such as v1.Refused("code", "words").
func noteProblem(known map[string]problem, call *ast.CallExpr) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); !ok || x.Name != "v1" {
			return
		}
		name = f.Sel.Name
	}
	maker, ok := makers[name]
	if !ok || len(call.Args) < maker.code+2 {
		return
	}
	code, words := text(call.Args[maker.code]), text(call.Args[maker.code+1])
	if !codeForm.MatchString(code) {
		return
	}
	status := maker.status
	if f, ok := call.Args[0].(*ast.SelectorExpr); ok && status == "" {
		status = statuses[f.Sel.Name]
	}
	p := known[code]
	if p.statuses == nil {
		p = problem{map[string]bool{}, strings.NewReplacer("`", "'", "<", "&lt;", "*", `\*`).Replace(words)}
	}
	if status != "" {
		p.statuses[status] = true
	}
	known[code] = p
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
