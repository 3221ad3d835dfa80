// Package arch holds the rules of the house as tests: who may import what,
// what is pure, how long a file may be, which names mean nothing.
package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-nfv/sluice/"

// source is one Go file that is no test.
type source struct {
	path    string // from the repository's root
	lines   int
	imports []string
	file    *ast.File
}

func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func sources(t *testing.T) []source {
	t.Helper()
	const root = "../.."
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, b, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		s := source{path: filepath.ToSlash(rel), lines: bytes.Count(b, []byte("\n")), file: f}
		for _, i := range f.Imports {
			s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
		}
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files found: the rules would hold for nothing", len(all))
	}
	return all
}

// doors are the only folders that may import a dangerous package; folders below
// them count too.
var doors = map[string][]string{
	"github.com/digitalocean/go-libvirt": {"orchestrator/hypervisor/libvirt"},
	"libvirt.org/go/libvirtxml":          {"orchestrator/hypervisor/libvirt"},
	"github.com/coreos/go-iptables":      {"appliance/dataplane/netfilter"},
	"sigs.k8s.io/knftables":              {"test/bench"},
	"github.com/google/nftables":         {"appliance/dataplane/netfilter"},
	"github.com/vishvananda/netlink":     {"appliance/dataplane/nl", "orchestrator/hostnet"},
	"github.com/gin-gonic/gin":           {"orchestrator/httpapi"},
	"go.etcd.io/etcd":                    {"orchestrator/store", "test/etcd"},
	"github.com/insomniacslk/dhcp":       {"appliance/services/dhcp"},
	"github.com/miekg/dns":               {"appliance/services/dns", "test"},
	"github.com/spf13/cobra":             {"orchestrator/cli", "orchestrator/cmd", "imagebuild/cmd"},
	"github.com/diskfs/go-diskfs":        {"orchestrator/reconcile", "imagebuild"},
	"os/exec":                            {"appliance/dataplane/netfilter", "appliance/dataplane/kerneltest", "appliance/boot", "imagebuild", "orchestrator/hypervisor/libvirt", "orchestrator/cli", "orchestrator/doctor", "test", "hack"},
}

func within(folder string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool { return folder == a || strings.HasPrefix(folder, a+"/") })
}

func TestDoors(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			for door, allowed := range doors {
				if (imported == door || strings.HasPrefix(imported, door+"/")) && !within(s.folder(), allowed) {
					t.Errorf("%s imports %s: only %v may", s.path, imported, allowed)
				}
			}
		}
	}
}

// never lists what a folder must not import, with the reason.
var never = []struct{ from, imported, why string }{
	{"api", module + "orchestrator", "contracts know no implementation"},
	{"api", module + "appliance", "contracts know no implementation"},
	{"orchestrator", module + "appliance", "the two sides share api only"},
	{"appliance", module + "orchestrator", "the two sides share api only"},
	{"imagebuild", module + "orchestrator", "a template is built without a server"},
	{"orchestrator/model", module + "orchestrator/store", "rules are pure"},
	{"orchestrator/model", module + "orchestrator/reconcile", "rules are pure"},
	{"orchestrator/plan", module + "orchestrator/store", "planning is pure"},
	{"orchestrator/plan", module + "orchestrator/reconcile", "planning is pure"},
	{"orchestrator/store", module + "orchestrator/httpapi", "the spine goes one way"},
	{"orchestrator/store", module + "orchestrator/reconcile", "the spine goes one way"},
	{"orchestrator/reconcile", module + "orchestrator/httpapi", "the spine goes one way"},
	{"orchestrator/backup", module + "orchestrator", "a format knows nothing of who writes it"},
	{"orchestrator/audit", module + "orchestrator", "a chain knows nothing of who writes it"},
	{"orchestrator/hypervisor", module + "orchestrator/model", "a hypervisor knows domains, not networks"},
	{"appliance/dataplane", module + "appliance/services", "services plan for the data plane, not the reverse"},
	{"appliance/services", module + "appliance/agent", "a service does not know who drives it"},
}

func TestDirections(t *testing.T) {
	for _, s := range sources(t) {
		for _, rule := range never {
			if !within(s.folder(), []string{rule.from}) {
				continue
			}
			for _, imported := range s.imports {
				if imported == rule.imported || strings.HasPrefix(imported, rule.imported+"/") {
					t.Errorf("%s imports %s: %s", s.path, imported, rule.why)
				}
			}
		}
	}
}

// pure folders have no clock, no randomness, no files, no network.
var pure = []string{"orchestrator/plan", "api/agentv1", "api/v1"}

func TestPurity(t *testing.T) {
	effects := []string{"os", "net", "math/rand", "math/rand/v2", "log/slog", "sync", "os/exec", "syscall"}
	for _, s := range sources(t) {
		if !within(s.folder(), pure) {
			continue
		}
		for _, imported := range s.imports {
			if slices.Contains(effects, imported) {
				t.Errorf("%s imports %s and should be pure", s.path, imported)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "Now" {
				if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "time" {
					t.Errorf("%s reads the clock and should be pure", s.path)
				}
			}
			return true
		})
	}
}

// The contracts import the standard library and each other.
func TestContractsStandAlone(t *testing.T) {
	for _, s := range sources(t) {
		if !within(s.folder(), []string{"api/v1", "api/agentv1"}) {
			continue
		}
		for _, imported := range s.imports {
			if strings.Contains(imported, ".") && !strings.HasPrefix(imported, module+"api/") {
				t.Errorf("%s imports %s", s.path, imported)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > 600 {
			t.Errorf("%s has %d lines; 600 are the limit", s.path, s.lines)
		}
	}
}

// Services are one folder a side, of the same names.
func TestServicesStandOnBothSides(t *testing.T) {
	for _, name := range []string{"dhcp", "dns", "snat", "eip", "portforwarding"} {
		for _, side := range []string{"orchestrator", "appliance"} {
			for _, file := range []string{"plan.go", "README.md"} {
				if _, err := os.Stat(filepath.Join("../..", side, "services", name, file)); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

var meaningless = regexp.MustCompile(`(Manager|Helper|Utils?|Common|Impl)$`)

func TestNamesMeanSomething(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && meaningless.MatchString(ts.Name.Name) {
					t.Errorf("%s: type %s says nothing", s.path, ts.Name.Name)
				}
			}
		}
	}
}

// logKeys are the words that values have in logs: one for each thing, so that
// one search finds it in every package. Objects are told by UUID.
var logKeys = map[string]string{
	"err": "why something failed", "reason": "why something was chosen", "retry": "when it is tried again",
	"router": "a virtual router", "host": "a host", "l2": "an L2 network", "domain": "a domain that is no router", "volume": "a volume by name", "token": "a bearer token",
	"ip": "an address", "mac": "a MAC", "nic": "a nic of a router, by MAC or name", "link": "a network interface by name",
	"request": "an API call by id", "method": "of it", "path": "of it", "status": "of its answer", "bytes": "of its answer", "caller": "who made it", "took": "how long it was",
	"action": "a step of the reconciler", "stage": "of an action, as users see it", "ms": "how long something took", "silent": "how long nobody answered",
	"generation": "of a spec", "code": "of a refusal", "service": "of a router", "writes": "to the kernel", "step": "one of them", "steps": "all of them",
	"connections": "a number of them", "warning": "what users are told", "fields": "of a file", "revision": "of the store", "before": "a size in bytes", "after": "a size in bytes",
	"chain": "of audit records", "file": "a path", "dir": "a path", "socket": "a path", "listen": "an address to listen on", "version": "of the program or template",
	"panic": "what a defect said", "stack": "where it was", "virtType": "kvm or qemu", "kernel": "its release", "packages": "a number of them", "bootBytes": "size of a template",
}

// TestLogKeysAreTheSameEverywhere looks at each call of a logger.
func TestLogKeysAreTheSameEverywhere(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if !within(s.folder(), []string{"orchestrator", "appliance", "imagebuild"}) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, key := range keysOf(call) {
				if used[key] = true; logKeys[key] == "" {
					t.Errorf("%s logs %q: take one of logKeys, or put it there", s.path, key)
				}
			}
			return true
		})
	}
	for key := range logKeys {
		if !used[key] {
			t.Errorf("nothing logs %q any more", key)
		}
	}
}

// keysOf are the keys of a call of a logger; a key that is no literal is "".
func keysOf(call *ast.CallExpr) (keys []string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !isLogger(method.X) {
		return nil
	}
	from := map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0}
	first, ok := from[method.Sel.Name]
	if !ok || call.Ellipsis.IsValid() {
		return nil
	}
	for i := first; i < len(call.Args); i += 2 {
		key := ""
		if lit, ok := call.Args[i].(*ast.BasicLit); ok {
			key = strings.Trim(lit.Value, `"`)
		}
		keys = append(keys, key)
	}
	return keys
}

// isLogger goes by the name, and by what With returns.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "log" || x.Name == "slog"
	case *ast.SelectorExpr:
		return x.Sel.Name == "log" || x.Sel.Name == "Log"
	case *ast.CallExpr:
		method, ok := x.Fun.(*ast.SelectorExpr)
		return ok && (method.Sel.Name == "With" && isLogger(method.X) || method.Sel.Name == "Default")
	}
	return false
}
