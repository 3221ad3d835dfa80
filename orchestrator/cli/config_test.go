package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// run is a call without a server.
func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = cli.Main(t.Context(), "", args, &b, &b)
	return code, b.String()
}

func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigShowTellsWhereAValueComesFrom(t *testing.T) {
	path := configured(t, "server: https://file\nca-file: /nowhere\ntoken-file: /file-token\n")
	t.Setenv("SLUICE_CONFIG", path)
	t.Setenv("SLUICE_CA_FILE", "")
	t.Setenv("SLUICE_TOKEN_FILE", "")
	code, out := run(t, "config", "show", "--server", "https://flag")
	want := `NAME        VALUE         FROM
ca-file     -             SLUICE_CA_FILE
server      https://flag  --server
token-file  -             SLUICE_TOKEN_FILE
`
	if code != 0 || out != want {
		t.Errorf("%d:\n%s", code, out)
	}
	if code, out := run(t, "config", "show", "-o", "name"); code != 0 || out != "ca-file\nserver\ntoken-file\n" {
		t.Errorf("%d %s", code, out)
	}
	if _, out := run(t, "config", "show"); !strings.Contains(out, "server      https://file  "+path+":1\n") {
		t.Error(out)
	}
	t.Setenv("SLUICE_CONFIG", "")
	if code, out := run(t, "config", "show", "--config", configured(t, "")); code != 0 || !strings.Contains(out, cli.DefaultServer+"  built in") {
		t.Errorf("%d %s", code, out)
	}
}

func TestConfigurationReachesEveryCommand(t *testing.T) {
	path := configured(t, "server: ftp://nobody\n")
	for _, args := range [][]string{{"zone", "list"}, {"version"}, {"config", "show"}, {"export"}} {
		if code, out := run(t, append(args, "--config", path)...); code != 2 || !strings.Contains(out, "ftp://nobody") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

func TestConfigurationThatIsWrongIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"sever: x\n":                   `line 1: "sever" is unknown; known are ca-file, server, token-file`,
		"server: x\nserver: y\n":       "already",
		"server: {a: b}\n":             "want a value or a list of values",
		"- server\n":                   "want lines such as",
		"server: [\n":                  "yaml",
		"config: /another\n":           `"config" is unknown`,
		"output: json\n":               `"output" is unknown`,
		"token-file: [[a]]\n":          "want a value or a list of values",
		"ca-file: &a [*a]\n":           "want a value",
		"? [complex, key]\n: value\n":  "unknown",
		"server: !!binary SGFsbG8=\n#": "",
	} {
		code, out := run(t, "config", "show", "--config", configured(t, text))
		if code != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: %d %s", text, code, out)
		}
	}
	if code, out := run(t, "zone", "list", "--config", "/not/there.yaml"); code != 1 || !strings.Contains(out, "/not/there.yaml") {
		t.Errorf("%d %s", code, out)
	}
}
