package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoreElsewhere: a site that was backed up is the same site in another
// data directory, with its tokens; the file is nobody else's, and what is not a
// whole backup, or not an empty directory, is refused.
func TestRestoreElsewhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the unix socket serves root only")
	}
	h := newHome(t)
	h.start(0)
	if !h.ready() {
		t.Fatalf("the server ended:\n%s", h.log.String())
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := h.cli(args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	refusal := func(says string, args ...string) {
		t.Helper()
		if out, err := h.cli(args...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %s %v, want %q", args, out, err, says)
		}
	}
	run("apply", "-f", filepath.Join(h.dir, "site.yaml"))
	run("token", "create", "ci", "--role", "operator", "--secret-file", filepath.Join(h.dir, "ci.token"))
	want, tokens := run("export"), run("token", "list")
	file := filepath.Join(h.dir, "backup")
	run("backup", file)
	refusal("file exists", "backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v %v", file, info, err)
	}
	run("vip", "create", "later", "--l3", "public")
	refusal("may be a server's", "restore", file, "--data-dir", h.data())
	h.end()

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h.write("damaged", strings.Replace(string(content), `"key"`, `"kex"`, 1))
	refusal("damaged", "restore", filepath.Join(h.dir, "damaged"), "--data-dir", filepath.Join(h.dir, "other"))
	if err := os.Rename(h.data(), h.data()+".lost"); err != nil {
		t.Fatal(err)
	}
	run("restore", file, "--data-dir", h.data())
	h.start(0)
	if !h.ready() {
		t.Fatalf("the server ended:\n%s", h.log.String())
	}
	if got := run("export"); got != want {
		t.Errorf("restored is\n%s\nnot\n%s", got, want)
	}
	if got := run("token", "list"); got != tokens {
		t.Errorf("tokens are\n%s\nnot\n%s", got, tokens)
	}
	if notes := run("audit", "list", "-o", "wide"); !strings.Contains(notes, "restored from a backup") {
		t.Errorf("the audit log does not say where the store comes from:\n%s", notes)
	}
	run("vip", "create", "later", "--l3", "public")
	h.end()
	h.sound()
}
