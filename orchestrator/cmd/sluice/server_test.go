package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// configured is what the server would have run with, or the exit code and the
// words of the refusal.
func configured(t *testing.T, args ...string) (c *app.Config, code int, words string) {
	t.Helper()
	var out, errOut bytes.Buffer
	run := func(_ context.Context, got app.Config) error {
		c = &got
		return nil
	}
	code = cli.Main(t.Context(), "v", append([]string{"server"}, args...), &out, &errOut, serverCommand(run))
	return c, code, out.String() + errOut.String()
}

func TestServerIsConfiguredByFlagsThenEnvironmentThenFileThenDefaults(t *testing.T) {
	c, code, words := configured(t)
	if code != 0 || c.DataDir != "/var/lib/sluice" || c.Socket != "/run/sluice/sluice.sock" || c.Listen != ":8743" || len(c.Etcd) != 0 || c.BootTimeout != 90*time.Second || c.RequestsPerSecond != 1000 || c.AuditSize != 1<<30 || c.AuditDir != "" {
		t.Fatalf("defaults: %d %+v %s", code, c, words)
	}
	t.Setenv("SLUICE_DATA_DIR", "/env")
	t.Setenv("SLUICE_SOCKET", "/env.sock")
	t.Setenv("SLUICE_LISTEN", "") // none, which is not the default
	t.Setenv("SLUICE_ETCD", "https://a:1,https://b:1")
	t.Setenv("SLUICE_BOOT_TIMEOUT", "5m")
	t.Setenv("SLUICE_LOG_LEVEL", "debug")
	t.Setenv("SLUICE_SERVER", "https://elsewhere") // the client's, nothing to the server
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte("data-dir: /file\nsocket: /file.sock\ninstance: filed\netcd: [https://c:1]\nrequests-per-second: 2.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLUICE_CONFIG", file)
	c, code, words = configured(t, "--data-dir", "/flag", "--boot-timeout=7s")
	if code != 0 {
		t.Fatal(code, words)
	}
	if c.DataDir != "/flag" || c.BootTimeout != 7*time.Second {
		t.Errorf("flags do not come first: %+v", c)
	}
	if c.Socket != "/env.sock" || c.Listen != "" || !slices.Equal(c.Etcd, []string{"https://a:1", "https://b:1"}) || !c.Log.Enabled(t.Context(), slog.LevelDebug) {
		t.Errorf("the environment does not come second: %+v", c)
	}
	if c.Instance != "filed" || c.RequestsPerSecond != 2.5 {
		t.Errorf("the file does not come third: %+v", c)
	}
	if c.Version != version {
		t.Errorf("defaults do not come last: %+v", c)
	}
}

func TestServerRefusesWhatItCannotRead(t *testing.T) {
	t.Run("a flag", func(t *testing.T) {
		if c, code, words := configured(t, "--boot-timeout", "soon"); c != nil || code != 2 || !strings.Contains(words, "boot-timeout") {
			t.Error(c, code, words)
		}
	})
	t.Run("a rate", func(t *testing.T) {
		for _, rate := range []string{"-1", "NaN", "+Inf", "1e7", "many"} {
			if c, code, words := configured(t, "--requests-per-second="+rate); c != nil || code != 2 || !strings.Contains(words, "requests-per-second") {
				t.Error(c, code, words)
			}
		}
		if c, code, words := configured(t, "--requests-per-second", "0"); code != 0 || c.RequestsPerSecond != 0 {
			t.Error("without limit:", code, words)
		}
	})
	t.Run("a size", func(t *testing.T) {
		for _, size := range []string{"-1", "0", "15", "9223372036854775807", "1GiB"} {
			if c, code, words := configured(t, "--audit-size="+size); c != nil || code != 2 || !strings.Contains(words, "audit-size") {
				t.Error(c, code, words)
			}
		}
		if c, code, words := configured(t, "--audit-size", "16"); code != 0 || c.AuditSize != 16<<20 {
			t.Error("the least:", code, words)
		}
	})
	t.Run("a level", func(t *testing.T) {
		if c, code, words := configured(t, "--log-level", "loud"); c != nil || code != 2 || !strings.Contains(words, `"loud"`) {
			t.Error(c, code, words)
		}
	})
	t.Run("a variable", func(t *testing.T) {
		t.Setenv("SLUICE_BOOT_TIMEOUT", "soon")
		if c, code, words := configured(t); c != nil || code != 2 || !strings.Contains(words, "SLUICE_BOOT_TIMEOUT") {
			t.Error(c, code, words)
		}
		if c, code, words := configured(t, "--boot-timeout", "1s"); c == nil || code != 0 {
			t.Error("a flag does not hide a variable that is wrong:", code, words)
		}
	})
	t.Run("an argument", func(t *testing.T) {
		if c, code, words := configured(t, "now"); c != nil || code != 2 {
			t.Error(c, code, words)
		}
	})
}

func TestHelpTellsOfTheServer(t *testing.T) {
	_, code, words := configured(t, "--help")
	for _, want := range []string{"SLUICE_DATA_DIR", "--data-dir", "admin-token", "sluice server --data-dir"} {
		if code != 0 || !strings.Contains(words, want) {
			t.Errorf("%q is missing: %s", want, words)
		}
	}
}
